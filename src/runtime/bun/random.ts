/** Cryptographic randomness, drawn from the kernel in blocks. */
import { randomFillSync } from "node:crypto";
import type { Randomness } from "../../util/random.ts";

const blockBytes = 4096;
const block = Buffer.allocUnsafeSlow(blockBytes);
let used = blockBytes;

/** The next `count` bytes of the block; they are wiped there, so that a later bug cannot read them again. */
function draw(count: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(count);
  if (count > blockBytes / 4) return randomFillSync(bytes);
  if (used + count > blockBytes) {
    randomFillSync(block);
    used = 0;
  }
  block.copy(bytes, 0, used, used + count);
  block.fill(0, used, used + count);
  used += count;
  return bytes;
}

/** As `draw`, as text: this runs for every message, so nothing is copied or allocated on the way. */
function drawText(count: number): string {
  if (count > blockBytes / 4) return draw(count).toString("base64url");
  if (used + count > blockBytes) {
    randomFillSync(block);
    used = 0;
  }
  const text = block.toString("base64url", used, used + count);
  block.fill(0, used, used + count);
  used += count;
  return text;
}

export const systemRandom: Randomness = {
  bytes: (count) => new Uint8Array(draw(count).buffer),
  id: (bytes = 16) => drawText(bytes),
  next: () => Math.random(),
};
