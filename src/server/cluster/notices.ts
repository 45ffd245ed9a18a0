/** Word from module to module across nodes, mostly that what is remembered of an account is old. */

import { ByteReader, ByteWriter } from "../../cluster/bytes.ts";
import type { FabricChannel } from "../../cluster/fabric/channel.ts";

type Heard = (key: string | undefined) => void;

const version = 1;

export class Notices {
  readonly #topics = new Map<string, Heard[]>();
  readonly #writer = new ByteWriter();
  readonly counters = { told: 0, heard: 0, missed: 0 };
  #channel: FabricChannel | undefined = undefined;

  on(topic: string, heard: Heard): (key: string) => void {
    const known = this.#topics.get(topic);
    if (known === undefined) this.#topics.set(topic, [heard]);
    else known.push(heard);
    return (key) => this.#tell(topic, key);
  }

  join(channel: FabricChannel): void {
    this.#channel = channel;
  }

  #tell(topic: string, key: string): void {
    const channel = this.#channel;
    if (channel === undefined || channel.peers.size === 0) return;
    this.#writer.reset();
    this.#writer.u8(version);
    this.#writer.text(topic);
    this.#writer.text(key);
    channel.broadcast(this.#writer.copy());
    this.counters.told++;
  }

  /** Throws `WireError`. What is of another version is not understood, so everything may be old. */
  message(bytes: Uint8Array): void {
    const reader = new ByteReader(bytes);
    if (reader.u8() !== version) return this.missed();
    const topic = reader.text();
    const key = reader.text();
    this.counters.heard++;
    for (const heard of this.#topics.get(topic) ?? []) heard(key);
  }

  /** Something may not have been heard. */
  missed(): void {
    this.counters.missed++;
    for (const handlers of this.#topics.values()) for (const heard of handlers) heard(undefined);
  }
}
