/** Waiting, in tests from outside, for what nothing tells of. */

/** Tries until it works; then returns what that gave. Throws the last error when the time is over. */
export async function eventually<T>(withinMs: number, attempt: () => T | Promise<T>): Promise<T> {
  const started = performance.now();
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() - started > withinMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
