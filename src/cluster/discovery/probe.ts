/** Whether a registered node still lives, asked of the node itself before another one takes its name. */
import type { Clock } from "../../util/clock.ts";
import { clusterHash, HEADER_BYTES, KIND_HELLO, MAGIC, readU16, readU32 } from "../fabric/envelope.ts";
import { answersAt } from "../fabric/local.ts";
import type { Transport } from "../fabric/transport.ts";
import type { RegisteredNode } from "./discovery.ts";

/** With the local fabric the system knows: a dead process has no socket. */
export function probeLocal(node: RegisteredNode): Promise<boolean> {
  return node.address === "" ? Promise.resolve(false) : answersAt(node.address);
}

/**
 * Otherwise it is listened for: whoever lives says hello every second, and who was not heard for `waitMs` is dead.
 * `transport` is one of number 0, not started, that only hears what is said to all. An aborted question is answered with no.
 */
export async function probeByHello(
  transport: Transport,
  cluster: string,
  node: RegisteredNode,
  waitMs: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<boolean> {
  const hash = clusterHash(cluster);
  const heard = Promise.withResolvers<boolean>();
  const aborted = (): void => {
    heard.resolve(false);
    void transport.stop(); // also ends a start that waits for its server
  };
  signal?.addEventListener("abort", aborted, { once: true });
  await transport.start({
    received: (bytes) => {
      if (bytes.length < HEADER_BYTES || bytes[0] !== MAGIC || bytes[2] !== KIND_HELLO) return;
      if (readU32(bytes, 16) !== hash || readU16(bytes, 4) !== node.number) return;
      // Of another incarnation, later than the row: then the row is about to change, and will be read again.
      if (readU32(bytes, 8) >= node.incarnation) heard.resolve(true);
    },
    reachable: () => {},
    lost: () => {},
  });
  const timer = clock.after(waitMs, () => heard.resolve(false));
  try {
    return await heard.promise;
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", aborted);
    await transport.stop();
  }
}
