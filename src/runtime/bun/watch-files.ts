/** Files that change while the server runs. */
import { statSync } from "node:fs";
import type { Clock, Timer } from "../../util/clock.ts";

/**
 * Calls `changed` when one of the files was replaced or written since the last look. It looks by time and size instead
 * of asking the kernel: that also works on network file systems and for the links that Kubernetes swaps.
 */
export function watchFiles(clock: Clock, files: readonly string[], everyMs: number, changed: () => void): Timer {
  let seen = files.map(stampOf).join(" ");
  return clock.every(everyMs, () => {
    const now = files.map(stampOf).join(" ");
    if (now === seen) return;
    seen = now;
    changed();
  });
}

function stampOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs}:${size}:${ino}`;
  } catch (error) {
    // A file that is being replaced may be missing for a moment; its return is a change.
    return String((error as NodeJS.ErrnoException).code);
  }
}
