/** Sends numbered frames over a node's link and sees whether those that come are in order, none lost and none twice. */
import type { FabricChannel } from "../../src/cluster/fabric/channel.ts";
import type { NodeIdentity } from "../../src/cluster/fabric/fabric.ts";
import type { Link } from "../../src/cluster/link.ts";

interface Direction {
  /** How often the peer has come up; nothing of an earlier time may come. */
  time: number;
  /** The next frame to be sent, or to come. */
  next: number;
}

export class LinkWitness {
  /** What was wrong. */
  readonly faults: string[] = [];
  framesIn = 0;
  acknowledged = 0;
  readonly #self: NodeIdentity;
  readonly #link: Link;
  readonly #out = new Map<number, Direction>();
  readonly #in = new Map<string, Direction>();

  constructor(self: NodeIdentity, link: Link) {
    this.#self = self;
    this.#link = link;
  }

  /** Takes a channel of its own, to see when peers come up. */
  start(channel: FabricChannel, met: (peer: NodeIdentity) => void): void {
    this.#link.listen({ frame: (from, bytes) => this.#came(from, bytes) });
    channel.listen({
      message: () => {},
      request: () => Promise.reject(new Error("nobody answers")),
      peerUp: (peer) => {
        met(peer);
        this.#out.set(peer.number, { time: (this.#out.get(peer.number)?.time ?? 0) + 1, next: 0 });
      },
      peerDown: () => {},
      gap: () => {},
    });
  }

  /** A frame to a peer, if it is up. */
  send(node: number): void {
    const direction = this.#out.get(node);
    if (direction === undefined) return;
    const frame = new Uint32Array([direction.time, direction.next, this.#self.incarnation]);
    const sent = this.#link.send(node, new Uint8Array(frame.buffer), true)!;
    direction.next++;
    sent.then(
      () => {
        this.acknowledged++;
      },
      () => {
        // The peer went down: what becomes of the frame is the caller's matter. When it is up it is numbered anew.
      },
    );
  }

  /** How many frames have come of those that were sent to a peer since it came up. */
  sentTo(node: number): number {
    return this.#out.get(node)?.next ?? 0;
  }

  cameFrom(number: number, incarnation: number): number {
    return this.#in.get(`${number}.${incarnation}`)?.next ?? 0;
  }

  #came(from: NodeIdentity, bytes: Uint8Array): void {
    const copy = bytes.slice();
    const [time, number, incarnation] = new Uint32Array(copy.buffer) as unknown as [number, number, number];
    const life = `${from.number}.${from.incarnation}`;
    if (incarnation !== from.incarnation)
      this.faults.push(`a frame of ${from.number}.${incarnation} came from ${life}`);
    let direction = this.#in.get(life) ?? { time: 0, next: 0 };
    if (time > direction.time) direction = { time, next: 0 };
    this.#in.set(life, direction);
    if (time < direction.time || number !== direction.next) {
      const expected = `${direction.time}:${direction.next}`;
      this.faults.push(`${this.#self.number}: frame ${time}:${number} of ${life} instead of ${expected}`);
    }
    direction.next = number + 1;
    this.framesIn++;
  }
}
