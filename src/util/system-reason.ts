/** "no such file or directory" of the runtime's `ENOENT: no such file or directory, open '…'`; any other message as it is. */
export function systemReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /^E[A-Z0-9]+: ([^,]+)/.exec(message)?.[1] ?? message;
}
