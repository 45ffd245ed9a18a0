/**
 * The table of inboxes: one row for each conversation of an account. Every message changes rows of it, from any node, so each change is one
 * statement that says what becomes of the row as the database finds it; nobody reads a count in order to write it.
 */
import { sql } from "kysely";
import { bigint, key, millis, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";
import type { Merge, Row } from "../../store/rows.ts";

export interface InboxTables {
  inbox: {
    server: string;
    username: string;
    /** With whom: bare address of a user or room. */
    peer: string;
    /** "inbox", "archive", "bin", or one the operator has named. */
    box: string;
    /** The last message, valid where the default namespace is `jabber:client`. */
    content: string;
    /** Its `id` attribute, by which markers name it; null for none. */
    msg_id: string | null;
    /** In a room: the id the room has given it, by which markers name it too. */
    room_msg_id: string | null;
    /** When it was sent; milliseconds since the epoch, like all times here. */
    last_at: number;
    unread_count: number;
    /** When the account has last written here itself; 0 for never. */
    read_at: number;
    /** 0 when it is not muted. */
    muted_until: number;
    /** Since when it is in the bin. */
    binned_at: number | null;
  };
}

export type InboxRow = InboxTables["inbox"];

/** What all dialects take as a key; addresses that are longer, though legal, have no inbox. */
export const peerCharsMax = 250;
/** Longest name of a box. */
export const boxCharsMax = 64;

export const inboxMigrations: readonly Migration[] = [
  {
    name: "inbox/1-create",
    async up(schema) {
      await schema.createTable("inbox", {
        columns: {
          server: key(),
          username: key(),
          peer: key({ chars: peerCharsMax }),
          box: key({ chars: boxCharsMax }),
          content: text(),
          msg_id: text({ nullable: true }),
          room_msg_id: text({ nullable: true }),
          last_at: millis(),
          unread_count: bigint(),
          read_at: millis(),
          muted_until: millis({ initial: 0 }),
          binned_at: millis({ nullable: true }),
        },
        primaryKey: ["server", "username", "peer"],
        indexes: { inbox_last: ["server", "username", "last_at"] },
      });
      // For the cleaner of bins, who looks for the few rows that have a time. MySQL's indexes hold all rows or none.
      if (schema.dialect === "mysql") return schema.createIndex("inbox_binned", "inbox", ["binned_at"]);
      await sql
        .raw("create index if not exists inbox_binned on inbox (binned_at) where binned_at is not null")
        .execute(schema.db);
    },
  },
];

/** A message on its way into an inbox. */
export interface Arrival extends Row {
  readonly server: string;
  readonly username: string;
  readonly peer: string;
  readonly box: "inbox" | "bin";
  readonly content: string;
  readonly msg_id: string | null;
  readonly room_msg_id: string | null;
  readonly last_at: number;
  /** By how much the count grows; behind the account's own message, from nothing. */
  readonly unread_count: number;
  /** When the account's own message was sent; 0 where there is none. */
  readonly read_at: number;
  readonly binned_at: number | null;
}

/** A node has written what it took in after this at the latest; what seems to be older comes from a clock that was set back. */
const lateMsMax = 5_000;

export const inboxKey = ["server", "username", "peer"] as const;

/**
 * How a message changes a conversation that is there. Counts only add up, whatever the order in which nodes come to write, while what is
 * shown is the newest message by the clocks of the nodes. The account's own message says that all before it was read, also what another
 * node comes to write only then; what came later stays unread.
 */
export const arrivalMerge: Merge = [
  ...["content", "msg_id", "room_msg_id"].map(
    (column) =>
      [
        column,
        (old: Name, fresh: Name) => `case when ${newer(old, fresh)} then ${fresh(column)} else ${old(column)} end`,
      ] as const,
  ),
  [
    "unread_count",
    (old, fresh) =>
      `case when ${fresh("read_at")} >= ${old("last_at")} then ${fresh("unread_count")} when ${old("read_at")} > ${fresh("last_at")} and ${old("read_at")} < ${fresh("last_at")} + ${lateMsMax} then ${old("unread_count")} else ${old("unread_count")} + ${fresh("unread_count")} end`,
  ],
  [
    "read_at",
    (old, fresh) =>
      `case when ${fresh("read_at")} > ${old("read_at")} then ${fresh("read_at")} else ${old("read_at")} end`,
  ],
  [
    "binned_at",
    (old, fresh) =>
      `case when ${fresh("box")} = 'bin' then coalesce(${old("binned_at")}, ${fresh("binned_at")}) else ${old("binned_at")} end`,
  ],
  [
    "box",
    (old, fresh) =>
      `case when ${fresh("box")} = 'bin' then 'bin' when ${old("box")} = 'archive' then 'inbox' else ${old("box")} end`,
  ],
  ["last_at", (old, fresh) => `case when ${newer(old, fresh)} then ${fresh("last_at")} else ${old("last_at")} end`],
];

type Name = (column: string) => string;

function newer(old: Name, fresh: Name): string {
  return `${fresh("last_at")} >= ${old("last_at")}`;
}
