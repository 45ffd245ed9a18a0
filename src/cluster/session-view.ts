/** Shows one record of the session directory after the other, without an object for each. */
import type { NodeIdentity } from "./fabric/fabric.ts";
import type { SessionEntry } from "./session-entry.ts";
import type { SessionShard } from "./session-shard.ts";

/** Priorities are -128 to 127, and kept as 0 to 255. */
export const priorityBias = 128;

/** What of a record is not in its shard. */
export interface ViewedDirectory {
  domainName(id: number): string;
  ownerOf(slot: number): NodeIdentity;
  millis(startedAt: number): number;
}

/** Shows one record; moved from record to record. */
export class SessionView implements SessionEntry {
  shard: SessionShard | undefined;
  record = 0;
  readonly #directory: ViewedDirectory;

  constructor(directory: ViewedDirectory) {
    this.#directory = directory;
  }

  get local(): string {
    const { shard, record } = this;
    const at = shard!.namesAt(record);
    return shard!.bytes.toString("utf8", at, at + shard!.localBytes(record));
  }

  get domain(): string {
    return this.#directory.domainName(this.shard!.domainOf(this.record));
  }

  get resource(): string {
    const { shard, record } = this;
    const at = shard!.namesAt(record) + shard!.localBytes(record);
    return shard!.bytes.toString("utf8", at, at + shard!.resourceBytes(record));
  }

  get owner(): NodeIdentity {
    return this.#directory.ownerOf(this.shard!.slotOf(this.record));
  }

  get serial(): number {
    return this.shard!.serialOf(this.record);
  }

  get startedAt(): number {
    return this.#directory.millis(this.shard!.startedAtOf(this.record));
  }

  get priority(): number {
    return (this.shard!.stateOf(this.record) & 0xff) - priorityBias;
  }

  get marks(): number {
    return this.shard!.stateOf(this.record) >>> 8;
  }
}
