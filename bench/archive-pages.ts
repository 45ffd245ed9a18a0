/**
 * How long a page of 50 takes out of an archive of ten million messages in PostgreSQL: fills a database of its own by
 * statements of the database itself, then asks as clients do, counts included. Where PostgreSQL is: PGHOST, PGUSER, PGPASSWORD.
 */
import { performance } from "node:perf_hooks";
import { sql } from "kysely";
import { ArchiveReader } from "../src/modules/mam/archive-reader.ts";
import { ArchiveStore } from "../src/modules/mam/archive-store.ts";
import { archiveMigrations, conversationOf, ownerWord } from "../src/modules/mam/archive-tables.ts";
import { systemClock } from "../src/runtime/bun/clock.ts";
import { parseJid } from "../src/stanza/jid.ts";
import { GroupCommit } from "../src/store/group-commit.ts";
import { migrate } from "../src/store/migrations.ts";
import { openStore, type Store } from "../src/store/store.ts";
import { firstIdAt, timeOfId } from "../src/util/time-ids.ts";
import { parseElement } from "../src/xml/element.ts";
import { dropDatabase, freshDatabase, postgres } from "./servers/postgres.ts";

const database = "meerkat_bench_archive";
const waits = { poolSize: 4, connectTimeoutMs: 10_000, queryTimeoutMs: 60_000 };
const owner = parseJid("alice@localhost")!;
/** One of them has a tenth of all messages, the others share the rest. */
const contacts = 1_000;
/** Other archives in the same table, a tenth of its rows. */
const others = 5_000;
const stepRows = 250_000;
/** A message each ten seconds. */
const start = Date.UTC(2021, 0, 1);
const idStep = 10_000n << 22n;

const silent = { info: () => undefined, warn: () => undefined };

async function fill(store: Store, rowsWanted: number): Promise<void> {
  await store.dedicated(async (db) => {
    const run = (statement: string) => sql.raw(statement).execute(db);
    // Built at the end, as after a restore; the others grow with the rows.
    await run("drop index archive_messages_words");
    await run("set synchronous_commit = off");
    await run(
      "create temporary table people (number int primary key, owner text, peer text, conversation bigint, word text)",
    );
    for (const [first, count, ownerAt] of [
      [0, contacts, () => owner.bare],
      [contacts, others, (number: number) => `user${number}@localhost`],
    ] as const) {
      const values = Array.from({ length: count }, (_, at) => {
        const [bare, peer] = [ownerAt(first + at), `contact${at}@localhost`];
        return `(${first + at}, '${bare}', '${peer}', ${conversationOf(bare, peer)}, '${ownerWord(bare)}')`;
      });
      await run(`insert into people values ${values.join(", ")}`);
    }
    for (let done = 0; done < rowsWanted; done += stepRows) {
      const until = Math.min(done + stepRows, rowsWanted) - 1;
      // Of ten rows one is another's, one is with the first contact, eight are with any.
      await run(`
        insert into archive_messages
        select p.owner, ${firstIdAt(start)} + n::bigint * ${idStep}, p.peer, 'phone', p.conversation, n, n % 2, 0,
          '<message from=''' || p.owner || '/phone'' to=''' || p.peer || ''' type=''chat'' id=''id' || n || '''><body>Message ' || n
            || ' about subject ' || n % 9973 || ' and thing ' || n % 101 || ' in a text of the usual length</body></message>',
          (p.word || ' message ' || n || ' about subject s' || n % 9973 || ' and thing t' || n % 101 || ' in a text of the usual length')::tsvector
        from generate_series(${done}, ${until}) as n
        join people p on p.number = case n % 10 when 0 then ${contacts} + n % ${others} when 1 then 0 else n * 31 % ${contacts} end`);
      process.stderr.write(`\r${until + 1} of ${rowsWanted} rows`);
    }
    process.stderr.write("\nindex of words\n");
    await run("set maintenance_work_mem = '512MB'");
    await run("create index archive_messages_words on archive_messages using gin (words)");
    await run("vacuum analyze archive_messages");
  });
}

interface Row {
  readonly query: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly messages: number;
}

async function measure(store: Store, rowsWanted: number): Promise<Row[]> {
  const writes = new GroupCommit(store, systemClock);
  const limits = { defaultResultLimit: 50, maxResultLimit: 50, enforceSimpleQueries: false };
  const reader = new ArchiveReader(new ArchiveStore(store), () => writes.flush().then(() => true), limits);
  const archive = { owner, kind: "account", seesRealAddresses: true, fullTextSearch: true } as const;
  const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
  const ask = (fields: string, set: string) =>
    reader.answer(
      parseElement(
        `<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>${fields}</x><set xmlns='http://jabber.org/protocol/rsm'><max>50</max>${set}</set></query>`,
        "jabber:client",
      ),
      archive,
      owner.withResource("phone"),
    );
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  /** The id of a message of the archive; every row that is not the tenth is one. */
  const anId = () => firstIdAt(start) + BigInt(random(rowsWanted / 10) * 10 + 2) * idStep;
  const iso = (id: bigint) => new Date(timeOfId(id)).toISOString();
  // Those whose number ends in 0 or 1 have no messages: see `fill`.
  const contact = () => `contact${random(contacts / 10) * 10 + 2 + random(8)}@localhost`;
  const queries: readonly (readonly [string, () => ReturnType<typeof ask>])[] = [
    ["the first page", () => ask("", "")],
    ["the last page", () => ask("", "<before/>")],
    ["after some message", () => ask("", `<after>${anId()}</after>`)],
    ["before some message", () => ask("", `<before>${anId()}</before>`)],
    ["from some time on", () => ask(field("start", iso(anId())), "")],
    ["last page with one of 1,000 contacts", () => ask(field("with", contact()), "<before/>")],
    ["last page with the contact of a tenth", () => ask(field("with", "contact0@localhost"), "<before/>")],
    [
      "search of a rare word",
      () => ask(field("{urn:xmpp:fulltext:0}fulltext", `subject s${random(9_973)}`), "<before/>"),
    ],
    [
      "search of a frequent word",
      () => ask(field("{urn:xmpp:fulltext:0}fulltext", `thing t${random(101)}`), "<before/>"),
    ],
  ];
  const rows: Row[] = [];
  for (const [query, run] of queries) {
    const times: number[] = [];
    let messages = 0;
    for (let round = 0; round < 120; round++) {
      const before = performance.now();
      const answer = await run();
      if (round >= 20) times.push(performance.now() - before); // the first ones warm caches and plans
      messages = answer.messages.length;
    }
    times.sort((a, b) => a - b);
    rows.push({ query, p50Ms: times[50]!, p99Ms: times[98]!, messages });
  }
  await writes.close();
  return rows;
}

export interface ArchivePagesOptions {
  readonly rows: number;
  /** Leaves the database there, for another look. */
  readonly keep: boolean;
  /** Takes the database as it was left. */
  readonly reuse: boolean;
}

export async function archivePages({ rows: rowsWanted, keep, reuse }: ArchivePagesOptions): Promise<void> {
  if (!reuse) await freshDatabase(database);
  const settings = { driver: "pgsql", ...postgres, database, ...waits } as const;
  const store = await openStore(settings, { clock: systemClock, log: silent });
  await migrate(store, archiveMigrations, { clock: systemClock });
  if (!reuse) await fill(store, rowsWanted);
  const rows = await measure(store, rowsWanted);
  await store.close();
  if (!keep) await dropDatabase(database);
  console.log(`A page of 50 out of ${rowsWanted.toLocaleString("en")} messages, counts included, in ms:`);
  for (const { query, p50Ms, p99Ms, messages } of rows) {
    const times = `p50 ${p50Ms.toFixed(2).padStart(8)}  p99 ${p99Ms.toFixed(2).padStart(8)}`;
    console.log(`${query.padEnd(40)} ${times}  ${messages} messages`);
  }
}
