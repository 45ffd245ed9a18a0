/**
 * The worked example of docs/module-guide.md: notes that an account keeps on the server. A client writes, lists and
 * removes them by IQ, and keeps the text of a message it sends by marking it. The protocol is this example's own.
 */
import { option } from "../../src/config/option.ts";
import { defineModule } from "../../src/hooks/define-module.ts";
import { replaceWith, reply, secureBy } from "../../src/hooks/effect.ts";
import { isoTime, personalRows } from "../../src/hooks/personal-rows.ts";
import type { PersonalData } from "../../src/hooks/points.ts";
import { StanzaError } from "../../src/stanza/errors.ts";
import type { Jid } from "../../src/stanza/jid.ts";
import { key, millis, text } from "../../src/store/columns.ts";
import type { AnyDatabase } from "../../src/store/engine.ts";
import type { Migration } from "../../src/store/migrations.ts";
import { upsertRow } from "../../src/store/rows.ts";
import type { Store } from "../../src/store/store.ts";
import type { Element } from "../../src/xml/element.ts";
import { xml } from "../../src/xml/xml.ts";

const namespace = "urn:example:notes:0";
const titleCharsMax = 100;

const noteMigrations: readonly Migration[] = [
  {
    name: "example-notes/1-create",
    up: (schema) =>
      schema.createTable("example_notes", {
        columns: {
          server: key(),
          username: key(),
          title: key({ chars: titleCharsMax }),
          body: text(),
          changed_at: millis(),
        },
        primaryKey: ["server", "username", "title"],
      }),
  },
];

export const notes = defineModule({
  name: "mod_example_notes",
  summary: "Keeps short notes of each account on the server.",
  options: {
    max_notes: option.integer({ doc: "Most notes of one account.", default: 100, min: 1, max: 10_000 }),
    max_note_size: option.integer({ doc: "Most bytes of one note.", default: 4_096, min: 1, unit: "bytes" }),
    keep_messages: option.boolean({ doc: "Whether marked messages are kept as notes.", default: true }),
  },
  features: { server: [namespace] },
  migrations: noteMigrations,

  setup(on, context) {
    const { maxNotes, maxNoteSize, keepMessages } = context.options;
    const shelf = new NoteShelf(context.store, maxNotes);

    on.iq("get", "account", namespace, "notes", async (_request, { target }) => {
      const found = await shelf.list(target);
      const items = found.map(({ title, body }) => xml`<note title='${title}'>${body}</note>`);
      return reply(xml`<notes xmlns='${namespace}'>${items}</notes>`);
    });

    // Without an effect the client gets an empty result: the note is in the database when it arrives.
    on.iq("set", "account", namespace, "note", async (_request, { target, payload }) => {
      const note = checkedNote(payload.attr("title"), payload.text(), maxNoteSize);
      if (note.body === "") await shelf.remove(target, note.title);
      else await context.store.db.transaction().execute((trx) => shelf.put(trx, target, note));
      return undefined;
    });

    if (keepMessages) {
      on.stage("outgoing", "message", (stanza, session) => {
        // The hot path of every message of this host: has() reads the index of children and parses nothing.
        if (!stanza.has("keep", namespace)) return undefined;
        const keep = stanza.child("keep", namespace);
        const note = checkedNote(keep?.attr("title"), stanza.text("body") ?? "", maxNoteSize);
        if (note.body === "") throw new StanzaError("bad-request", { text: "There is no body to keep" });
        const stored = context.writes.add({
          run: (trx) => shelf.put(trx, session.account, note),
          chars: note.body.length,
        });
        // The message goes on at once, without the mark; its acknowledgement waits for the commit.
        return [secureBy(stored), replaceWith(stanza.withoutChildren(isMark))];
      });
    }

    on.account("removed", (account) => shelf.removeAll(account));
    on.answer("personalData", (account) => [shelf.personalData(account)]);
    return undefined;
  },
});

function isMark(name: string, ns: string, _parse: () => Element): boolean {
  return name === "keep" && ns === namespace;
}

export interface Note {
  readonly title: string;
  readonly body: string;
}

/**
 * What a client wants to keep; an empty body means: remove.
 * @throws StanzaError bad-request without a fit title, policy-violation for too long a body.
 */
export function checkedNote(title: string | undefined, body: string, bodyBytesMax: number): Note {
  if (title === undefined || title === "" || [...title].length > titleCharsMax) {
    throw new StanzaError("bad-request", { text: `A note needs a title of 1 to ${titleCharsMax} characters` });
  }
  if (Buffer.byteLength(body) > bodyBytesMax) {
    throw new StanzaError("policy-violation", { text: `A note may have ${bodyBytesMax} bytes` });
  }
  return { title, body };
}

interface NoteTables {
  example_notes: { server: string; username: string; title: string; body: string; changed_at: number };
}

/** The notes in the database. All methods may throw the errors of the store. */
class NoteShelf {
  readonly #store: Store;
  readonly #notesMax: number;

  constructor(store: Store, notesMax: number) {
    this.#store = store;
    this.#notesMax = notesMax;
  }

  /** All notes of an account by title; as many as `max_notes`, so no more pages are needed. */
  list(account: Jid): Promise<Note[]> {
    return this.#store
      .tables<NoteTables>()
      .selectFrom("example_notes")
      .select(["title", "body"])
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .orderBy("title")
      .limit(this.#notesMax)
      .execute();
  }

  /**
   * Writes a note, or over the one of the same title. It may run again, so it touches nothing but the transaction.
   * @throws StanzaError resource-constraint when there are too many others.
   */
  async put(trx: AnyDatabase, account: Jid, { title, body }: Note): Promise<void> {
    const others = await trx
      .selectFrom("example_notes")
      .select((columns) => columns.fn.countAll().as("total"))
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("title", "!=", title)
      .executeTakeFirstOrThrow();
    if (Number(others.total) >= this.#notesMax) {
      throw new StanzaError("resource-constraint", { text: `An account may keep ${this.#notesMax} notes` });
    }
    const row = {
      server: account.domain,
      username: account.local,
      title,
      body,
      changed_at: this.#store.clock.now(),
    };
    await upsertRow(trx, "example_notes", row, ["server", "username", "title"]);
  }

  async remove(account: Jid, title: string): Promise<void> {
    await this.#store
      .tables<NoteTables>()
      .deleteFrom("example_notes")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("title", "=", title)
      .execute();
  }

  /** What `ctl gdpr retrievePersonalData` gives the person. */
  personalData(account: Jid): PersonalData {
    const db = this.#store.tables<NoteTables>();
    const query = db
      .selectFrom("example_notes")
      .select(["title", "body", "changed_at"])
      .where("server", "=", account.domain)
      .where("username", "=", account.local);
    return personalRows("example_notes", db, query, ["title"], {
      title: (row) => row.title,
      body: (row) => row.body,
      changed_at: (row) => isoTime(row.changed_at),
    });
  }

  async removeAll(account: Jid): Promise<void> {
    await this.#store
      .tables<NoteTables>()
      .deleteFrom("example_notes")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }
}
