/**
 * Writes inboxes: what many messages change within some milliseconds goes out as one statement for messages and one for markers, together
 * with whatever else the node commits then. Changes of one conversation keep their order.
 */
import type { ExpressionBuilder, Transaction } from "kysely";
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { Log } from "../../observe/log.ts";
import type { AnyDatabase } from "../../store/engine.ts";
import { isRetriable, StoreOverloaded, StoreUnavailable } from "../../store/errors.ts";
import type { GroupCommit } from "../../store/group-commit.ts";
import { insertAny } from "../../store/rows.ts";
import { type Arrival, arrivalMerge, type InboxTables, inboxKey } from "./inbox-tables.ts";

export interface ConversationKey {
  readonly server: string;
  readonly username: string;
  readonly peer: string;
}

/** A marker: everything was read, if the message it names is the last one. */
export interface Reading extends ConversationKey {
  readonly messageId: string;
}

/** The account is no part of the conversation any more. */
export interface Removal extends ConversationKey {
  /** Into the bin, at this time; undefined to leave nothing. */
  readonly binnedAt: number | undefined;
}

/** Changes that wait for one commit. */
const changesMax = 1_000;
/** What such a batch may take of the queue's memory, in characters of messages. */
const batchChars = 1_000_000;
/** What a change takes beside the text of its message. */
const changeChars = 500;
/** Texts of messages that are put together for one statement. */
const statementChars = 1_000_000;
/** Conversations in one statement that lays markers down. */
const readingsMax = 50;

export type WriterHouse = Pick<ModuleContext<unknown>, "writes" | "writtenElsewhere"> & {
  readonly log: Pick<Log, "error">;
};

export class InboxWriter {
  readonly #house: WriterHouse;
  #open: Batch | undefined = undefined;
  /** What was taken in, for metrics. */
  messages = 0;
  markers = 0;
  rows = 0;

  constructor(house: WriterHouse) {
    this.#house = house;
  }

  get #writes(): GroupCommit {
    return this.#house.writes;
  }

  /**
   * Each resolves when the change is committed; several share a promise. `rest` continues the content: what is said in a room is kept once,
   * however many people it is for.
   */
  arrive(arrival: Arrival, rest = ""): Promise<void> {
    const batch = this.#batch();
    this.messages++;
    if (batch.arrive({ arrival, rest })) this.rows++;
    return batch.stored;
  }

  /**
   * A message may be read before the node that took it in has written it: a marker that names none that is stored is laid down once more
   * when the other nodes have written.
   */
  async read(reading: Reading): Promise<void> {
    this.markers++;
    const batch = this.#follow(reading, reading, undefined);
    await batch.stored;
    const others = batch.unplaced.has(reading) ? this.#house.writtenElsewhere() : undefined;
    if (others === undefined) return;
    await others;
    await this.#follow(reading, reading, undefined).stored;
  }

  #follow(conversation: ConversationKey, reading: Reading | undefined, removal: Removal | undefined): Batch {
    const batch = this.#batch();
    batch.follow(conversation, reading, removal);
    return batch;
  }

  remove(removal: Removal): Promise<void> {
    return this.#follow(removal, undefined, removal).stored;
  }

  #batch(): Batch {
    if (this.#open !== undefined && this.#open.size < changesMax && this.#open.chars < batchChars) return this.#open;
    const batch = new Batch();
    this.#open = batch;
    batch.stored = this.#writes
      .add({
        chars: batchChars,
        run: (trx) => {
          // From now on it may be repeated, so nothing more goes into it.
          this.#close(batch);
          return batch.write(trx);
        },
      })
      .catch((error: unknown) => this.#failed(batch, error));
    return batch;
  }

  #close(batch: Batch): void {
    if (this.#open === batch) this.#open = undefined;
  }

  /** One change that no database takes must not keep its neighbours away. */
  async #failed(batch: Batch, error: unknown): Promise<void> {
    this.#close(batch);
    if (error instanceof StoreUnavailable || error instanceof StoreOverloaded || isRetriable(error)) throw error;
    if (batch.size === 1) throw error;
    for (const single of batch.apart()) {
      try {
        await this.#writes.add({ run: (trx) => single.write(trx) });
        for (const reading of single.unplaced) batch.unplaced.add(reading);
      } catch (failure) {
        this.#house.log.error({ err: failure }, "a change of an inbox could not be written");
      }
    }
  }
}

interface Message {
  readonly arrival: Arrival;
  readonly rest: string;
}

interface Round {
  readonly arrivals: Map<string, Message>;
  readonly readings: Reading[];
  readonly removals: Removal[];
}

/** The rounds are written one after the other; in a round messages come first, and each conversation has one message and one thing more. */
class Batch {
  stored: Promise<void> = Promise.resolve();
  size = 0;
  /** Of memory; what many messages share counts once where they come in a row. */
  chars = 0;
  #shared = "";
  /** Once it is written: markers that name no conversation's last message. */
  readonly unplaced = new Set<Reading>();
  readonly #rounds: Round[] = [];
  /** The round of each conversation's last change, and whether that was a message. */
  readonly #last = new Map<string, { round: number; arrived: boolean }>();

  /** Whether it is a row of its own. */
  arrive(message: Message): boolean {
    const { arrival, rest } = message;
    this.size++;
    this.chars += changeChars + arrival.content.length + (rest === this.#shared ? 0 : rest.length);
    this.#shared = rest;
    const key = keyOf(arrival);
    const last = this.#last.get(key);
    if (last?.arrived === true) {
      const { arrivals } = this.#rounds[last.round]!;
      const before = arrivals.get(key)!;
      const joined = join(before.arrival, arrival);
      if (joined !== undefined) {
        arrivals.set(key, { arrival: joined, rest });
        return false;
      }
    }
    const round = last === undefined ? 0 : last.round + 1;
    this.#round(round).arrivals.set(key, message);
    this.#last.set(key, { round, arrived: true });
    return true;
  }

  follow(conversation: ConversationKey, reading: Reading | undefined, removal: Removal | undefined): void {
    this.size++;
    this.chars += changeChars;
    const key = keyOf(conversation);
    const last = this.#last.get(key);
    const at = last === undefined ? 0 : last.arrived ? last.round : last.round + 1;
    const round = this.#round(at);
    if (reading !== undefined) round.readings.push(reading);
    if (removal !== undefined) round.removals.push(removal);
    this.#last.set(key, { round: at, arrived: false });
  }

  #round(at: number): Round {
    this.#rounds[at] ??= { arrivals: new Map(), readings: [], removals: [] };
    return this.#rounds[at];
  }

  /** Touches nothing but `trx` and its own notes, which begin anew: it is repeated when its transaction is. */
  async write(trx: AnyDatabase): Promise<void> {
    const db = trx as Transaction<InboxTables>;
    this.unplaced.clear();
    for (const { arrivals, readings, removals } of this.#rounds) {
      await insertAll(trx, arrivals);
      for (let from = 0; from < readings.length; from += readingsMax) {
        await layDown(db, readings.slice(from, from + readingsMax), this.unplaced);
      }
      for (const removal of removals) await remove(db, removal);
    }
  }

  /** Each change as a batch of its own, in order. */
  *apart(): Generator<Batch> {
    for (const { arrivals, readings, removals } of this.#rounds) {
      for (const message of arrivals.values()) yield alone((batch) => batch.arrive(message));
      for (const reading of readings) yield alone((batch) => batch.follow(reading, reading, undefined));
      for (const removal of removals) yield alone((batch) => batch.follow(removal, undefined, removal));
    }
  }
}

function alone(fill: (batch: Batch) => void): Batch {
  const batch = new Batch();
  fill(batch);
  return batch;
}

function keyOf({ server, username, peer }: ConversationKey): string {
  return `${server}\n${username}\n${peer}`;
}

/** The whole text of a message is there only while its statement is. */
async function insertAll(trx: AnyDatabase, arrivals: ReadonlyMap<string, Message>): Promise<void> {
  const onConflict = { key: inboxKey, merge: arrivalMerge };
  let rows: Arrival[] = [];
  let chars = 0;
  // In one order on all nodes, so that they seldom wait for each other in a circle.
  for (const key of [...arrivals.keys()].sort()) {
    const { arrival, rest } = arrivals.get(key)!;
    rows.push(rest === "" ? arrival : { ...arrival, content: arrival.content + rest });
    chars += arrival.content.length + rest.length;
    if (chars < statementChars) continue;
    await insertAny(trx, "inbox", rows, onConflict);
    rows = [];
    chars = 0;
  }
  if (rows.length > 0) await insertAny(trx, "inbox", rows, onConflict);
}

/** Two messages as one: the later is shown, and an own one says that what was before it is read. Undefined when the clock was set back. */
function join(first: Arrival, second: Arrival): Arrival | undefined {
  if (second.last_at < first.last_at) return undefined;
  if (second.read_at > 0) return second;
  return { ...second, unread_count: first.unread_count + second.unread_count, read_at: first.read_at };
}

/** Markers that name no last message are added to `unplaced`. */
async function layDown(
  db: Transaction<InboxTables>,
  readings: readonly Reading[],
  unplaced: Set<Reading>,
): Promise<void> {
  const named = (on: ExpressionBuilder<InboxTables, "inbox">) =>
    on.or(
      readings.map(({ server, username, peer, messageId }) =>
        on.and([
          on("server", "=", server),
          on("username", "=", username),
          on("peer", "=", peer),
          on.or([on("msg_id", "=", messageId), on("room_msg_id", "=", messageId)]),
        ]),
      ),
    );
  const shown = ["server", "username", "peer", "msg_id", "room_msg_id", "unread_count"] as const;
  const rows = new Map<string, { msg_id: string | null; room_msg_id: string | null }>();
  let unread = false;
  for (const row of await db.selectFrom("inbox").select(shown).where(named).execute()) {
    rows.set(keyOf(row), row);
    unread ||= row.unread_count > 0;
  }
  for (const reading of readings) {
    const row = rows.get(keyOf(reading));
    if (row?.msg_id !== reading.messageId && row?.room_msg_id !== reading.messageId) unplaced.add(reading);
  }
  if (!unread) return;
  await db.updateTable("inbox").set({ unread_count: 0 }).where("unread_count", ">", 0).where(named).execute();
}

async function remove(db: Transaction<InboxTables>, { server, username, peer, binnedAt }: Removal): Promise<void> {
  if (binnedAt === undefined) {
    const rows = db.deleteFrom("inbox").where("server", "=", server).where("username", "=", username);
    await rows.where("peer", "=", peer).execute();
    return;
  }
  await db
    .updateTable("inbox")
    .set((on) => ({ binned_at: on.fn.coalesce("binned_at", on.val(binnedAt)), box: "bin" }))
    .where("server", "=", server)
    .where("username", "=", username)
    .where("peer", "=", peer)
    .execute();
}
