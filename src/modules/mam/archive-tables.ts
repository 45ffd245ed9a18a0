/**
 * The tables of archives. A row is a message in the archive of one owner; between two users of ours it is there twice.
 *
 * Pages are read by the primary key (owner, id), and those of one conversation by (conversation, id), a hash of owner and
 * peer, so that the second index is small. Whoever finds a row by a hash compares what was hashed too.
 */
import { type Kysely, sql } from "kysely";
import { autoId, bigint, flag, key, text } from "../../store/columns.ts";
import type { Migration } from "../../store/migrations.ts";
import type { Schema } from "../../store/schema.ts";
import { textHash } from "../../util/text-hash.ts";

export interface ArchiveTables {
  archive_messages: {
    /** Bare address of the account or room. */
    owner: string;
    /** See util/time-ids.ts. */
    id: number | bigint;
    /** With whom: the contact's bare address; in a room the sender's real address, "" when nobody is left behind it. */
    peer: string;
    /** The contact's resource; in a room the sender's nick. */
    resource: string;
    /** `conversationOf`. */
    conversation: number;
    /** `referenceOf`: what else the row is looked up by. */
    reference: number | null;
    /** 1 when the owner sent it. */
    outgoing: number;
    /** 1 for a message of a group; all of a room are. */
    groupchat: number;
    /** The message, valid where the default namespace is `jabber:client`; without the archive's own `<stanza-id/>`. */
    stanza: string;
    /** The words it is found by, the first one standing for its owner; null where nobody searches. */
    words: string | null;
  };
  archive_preferences: {
    owner: string;
    /** As JSON: see preferences.ts. */
    preferences: string;
  };
  archive_cleanup: {
    /** The host whose archives were cleaned. */
    domain: string;
    /** From then on it is due again, milliseconds since the epoch. */
    due_at: number;
  };
}

/** A user's messages with one contact; a room's messages of one nick. */
export function conversationOf(owner: string, peer: string): number {
  return textHash(`${owner} ${peer}`);
}

/** A message of a user's archive by its `id` attribute: retractions name it. */
export function referenceToMessage(owner: string, id: string): number {
  return textHash(`${owner} ${id}`);
}

/** All messages one account has sent to rooms: his data, wherever it is. `sender` is a bare address. */
export function referenceToSender(sender: string): number {
  return textHash(`sender ${sender}`);
}

/** The first word of every row: with it a search of one archive does not wade through those of others. */
export function ownerWord(owner: string): string {
  return `o_${textHash(owner).toString(36)}`;
}

/** Bare addresses have a localpart, "@" and a domain of 250 characters each. */
const ownerChars = 501;

export const archiveMigrations: readonly Migration[] = [
  {
    name: "archive/1-create",
    async up(schema) {
      const owned = {
        owner: key({ chars: ownerChars }),
        id: bigint(),
        peer: text(),
        resource: text(),
        conversation: bigint(),
        reference: bigint({ nullable: true }),
        outgoing: flag(),
        groupchat: flag(),
        stanza: text(),
      };
      const indexes = {
        archive_messages_conversation: ["conversation", "id"],
        archive_messages_reference: ["reference", "id"],
      };
      // FTS5 points at rows by number. SQLite's own numbers may change (VACUUM), so there the table has some.
      await schema.createTable(
        "archive_messages",
        schema.dialect === "sqlite"
          ? { columns: { number: autoId(), ...owned }, unique: { archive_messages_owner: ["owner", "id"] }, indexes }
          : { columns: owned, primaryKey: ["owner", "id"], indexes },
      );
      await addWords(schema);
      await schema.createTable("archive_preferences", {
        columns: { owner: key({ chars: ownerChars }), preferences: text() },
        primaryKey: ["owner"],
      });
      await schema.createTable("archive_cleanup", {
        columns: { domain: key(), due_at: bigint() },
        primaryKey: ["domain"],
      });
    },
  },
  { name: "archive/2-statistics", up: countWordsBetter },
];

/**
 * PostgreSQL has to know how rare words are, or it takes all it does not know for frequent, and reads an archive from its end
 * until it has found a page. By default it remembers the thousand most frequent; now ten thousand.
 */
async function countWordsBetter(schema: Schema): Promise<void> {
  if (schema.dialect !== "postgres") return;
  await sql.raw("alter table archive_messages alter column words set statistics 1000").execute(schema.db);
}

/**
 * FTS5 only marks what is deleted until it merges its index, which may be never. Between `true` and `false`, in one transaction, it takes
 * words out of the index itself, which costs some milliseconds a message.
 */
export async function deleteWordsForGood(db: Kysely<ArchiveTables>, on: boolean): Promise<void> {
  // A parameter would be a real number, which FTS5 does not take here.
  await sql`insert into archive_words (archive_words, rank) values ('secure-delete', ${sql.lit(on ? 1 : 0)})`.execute(
    db,
  );
}

/** Full-text search is each database's own: the only part of the tables that differs. */
async function addWords(schema: Schema): Promise<void> {
  const run = (statement: string) => sql.raw(statement).execute(schema.db);
  switch (schema.dialect) {
    case "postgres":
      if (!(await schema.hasColumn("archive_messages", "words"))) {
        await run("alter table archive_messages add column words tsvector");
      }
      await run("create index if not exists archive_messages_words on archive_messages using gin (words)");
      return;
    case "mysql": {
      await schema.addColumn("archive_messages", "words", text({ nullable: true }));
      const { rows } = await sql`
        select 1 from information_schema.statistics where table_schema = database()
        and table_name = 'archive_messages' and index_name = 'archive_messages_words'`.execute(schema.db);
      if (rows.length === 0) await run("create fulltext index archive_messages_words on archive_messages (words)");
      return;
    }
    case "sqlite":
      // The words are kept in the row, since FTS5 wants them back when the row goes.
      await schema.addColumn("archive_messages", "words", text({ nullable: true }));
      await run(
        `create virtual table if not exists archive_words using fts5(words, content='archive_messages', content_rowid='number', tokenize="ascii tokenchars '_'")`,
      );
      await run(`create trigger if not exists archive_words_insert after insert on archive_messages
        when new.words is not null begin
        insert into archive_words (rowid, words) values (new.number, new.words); end`);
      await run(`create trigger if not exists archive_words_delete after delete on archive_messages
        when old.words is not null begin
        insert into archive_words (archive_words, rowid, words) values ('delete', old.number, old.words); end`);
      await run(`create trigger if not exists archive_words_update after update of words on archive_messages
        when old.words is not null begin
        insert into archive_words (archive_words, rowid, words) values ('delete', old.number, old.words); end`);
  }
}
