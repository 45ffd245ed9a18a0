/** Faults put into the cluster's code on purpose: the simulator must find every one of them, or it proves nothing. */
import type { ByteReader } from "../../src/cluster/bytes.ts";
import type { FabricChannel } from "../../src/cluster/fabric/channel.ts";
import { Channel } from "../../src/cluster/fabric/channel.ts";
import type { FabricEvents } from "../../src/cluster/fabric/fabric.ts";
import { GoneOwners } from "../../src/cluster/gone-owners.ts";
import { KeyedTable } from "../../src/cluster/keyed-table.ts";
import { Link } from "../../src/cluster/link.ts";
import { OwnTable } from "../../src/cluster/own-table.ts";
import { PeerTable } from "../../src/cluster/peer-table.ts";
import { SessionDirectory } from "../../src/cluster/session-directory.ts";
import type { PublishedSession } from "../../src/cluster/session-entry.ts";
import { SessionShard } from "../../src/cluster/session-shard.ts";
import { SessionSlots } from "../../src/cluster/session-slots.ts";
import type { TableStore } from "../../src/cluster/table-store.ts";

/** Puts another method in the place of one; returns what takes it back. */
function replace<Part extends object, Name extends keyof Part>(
  part: { prototype: Part },
  name: Name,
  make: (original: Part[Name]) => Part[Name],
): () => void {
  const original = part.prototype[name];
  part.prototype[name] = make(original);
  return () => {
    part.prototype[name] = original;
  };
}

function both(one: () => void, other: () => void): () => void {
  return () => {
    one();
    other();
  };
}

const nothing = () => {};

/** Takes entries in while their owner is hidden: then nobody is told of two of one key. */
function unseen<Table extends TableStore>(original: TableStore["apply"]): TableStore["apply"] {
  return function (this: Table, slot, entry) {
    this.hide(slot);
    try {
      original.call(this, slot, entry);
    } finally {
      this.show(slot);
    }
  };
}

export interface Mutant {
  readonly name: string;
  /** Puts the fault in and returns what takes it out. */
  readonly install: () => () => void;
}

export const mutants: readonly Mutant[] = [
  {
    // Each by itself is made up for by the other.
    name: "a missing write is not noticed, and digests look at the number of the last write only",
    install: () =>
      both(
        replace(
          PeerTable,
          "writes",
          (original) =>
            function (this: PeerTable, first: number, count: number, entries: ByteReader) {
              original.call(this, Math.min(first, (this.seq ?? 0) + 1), count, entries);
              if (this.seq !== undefined) this.seq = Math.max(this.seq, first + count - 1);
            },
        ),
        replace(
          PeerTable,
          "digest",
          (original) =>
            function (this: PeerTable, seq, digest) {
              original.call(this, seq, this.seq === seq ? this.store.digest(this.slot) : digest);
            },
        ),
      ),
  },
  {
    name: "digests are not compared once an owner is known",
    install: () =>
      replace(
        PeerTable,
        "digest",
        (original) =>
          function (this: PeerTable, seq, digest) {
            if (this.phase === "unknown" && this.seq === undefined) original.call(this, seq, digest);
            else if (this.phase === "unknown") original.call(this, this.seq!, this.store.digest(this.slot));
          },
      ),
  },
  {
    name: "a snapshot leaves what was there before it",
    install: () => replace(SessionSlots, "drop", () => nothing),
  },
  {
    name: "a lost chunk is not asked for again",
    install: () =>
      both(
        replace(PeerTable, "messagesLost", () => () => false),
        replace(PeerTable, "tick", () => () => false),
      ),
  },
  {
    name: "the log says it has what it has not",
    install: () =>
      replace(
        OwnTable,
        "asked",
        (original) =>
          function (this: OwnTable, node, incarnation, request, have) {
            return original.call(this, node, incarnation, request, have === undefined ? undefined : this.seq);
          },
      ),
  },
  {
    name: "an owner that is gone stays in reads",
    install: () => replace(SessionDirectory, "hide", () => nothing),
  },
  {
    name: "an owner that returns stays hidden",
    install: () => replace(SessionDirectory, "show", () => nothing),
  },
  {
    name: "nobody takes over from a cleaner that dies",
    install: () =>
      both(
        replace(GoneOwners, "peerDown", () => nothing),
        replace(GoneOwners, "tick", () => nothing),
      ),
  },
  {
    name: "every survivor cleans up",
    install: () =>
      replace(
        GoneOwners,
        "add",
        (original) =>
          function (this: GoneOwners, owner) {
            original.call(this, owner, []);
          },
      ),
  },
  {
    name: "a node that cannot clean up does not say so",
    install: () => replace(GoneOwners, "refused", () => nothing),
  },
  {
    name: "a new session may be earlier than the one it sees",
    install: () =>
      replace(
        SessionDirectory,
        "publish",
        (original) =>
          function (this: SessionDirectory, session: PublishedSession) {
            const seen = this.find(session);
            const startedAt =
              seen === undefined ? session.startedAt : Math.min(session.startedAt, seen.startedAt - 1000);
            original.call(this, { ...session, startedAt: startedAt - 3_600_000 });
            return startedAt;
          },
      ),
  },
  {
    name: "the owner of a room is not told that another has it",
    install: () => replace(KeyedTable<unknown>, "apply", unseen),
  },
  {
    name: "the owner of a session is not told that another has its address",
    install: () => replace(SessionDirectory, "apply", unseen),
  },
  {
    name: "the directory's index forgets accounts beside one that ends",
    install: () => replace(SessionShard, "next", () => () => 0),
  },
  {
    name: "the link is not told of gaps",
    install: () =>
      replace(
        Link,
        "listen",
        (original) =>
          function (this: Link, events) {
            const listen = Channel.prototype.listen;
            Channel.prototype.listen = function (this: FabricChannel, own: FabricEvents) {
              listen.call(this as Channel, { ...own, gap: nothing });
            };
            original.call(this, events);
            Channel.prototype.listen = listen;
          },
      ),
  },
];
