/** Smart markers of MongooseIM (`esl:xmpp:smart-markers:0`): the last chat marker (XEP-0333) of everybody in a conversation can be asked for. */
import { option } from "../../config/option.ts";
import { defineModule, type ModuleContext } from "../../hooks/define-module.ts";
import { drop, type MaybePromise, type Outcome, replaceWith, reply, secureBy } from "../../hooks/effect.ts";
import type { IqContext, PersonalData, RoomMessage } from "../../hooks/points.ts";
import type { Session } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { parseTimestamp } from "../../stanza/timestamp.ts";
import { attributes, type Xml, xml } from "../../xml/xml.ts";
import { type Marker, MarkerStore, type MarkerType, markerMigrations, markerTypes } from "./marker-store.ts";

/** Longer names of threads are kept nowhere. */
const threadCharsMax = 250;
const idCharsMax = 1_000;
/** Most markers of one account; the oldest go. */
const markersMost = 10_000;
/** So many are set before an account's are counted, on average. */
const markersBetweenLooks = 200;
/** Most markers of one answer: of a big room, those set last. */
const answerMax = 1_000;

export const smartMarkers = defineModule({
  name: "mod_smart_markers",
  summary: "Remembers how far everybody has read in each conversation, for clients that come back.",
  xeps: [{ number: 333, version: "0.4", note: "of smart markers: the last one of each kind can be asked for" }],
  options: {
    backend: option.choice({
      doc: "Both keep markers in the SQL database, written in groups and before a message is acknowledged.",
      values: ["rdbms", "rdbms_async"],
      default: "rdbms",
    }),
    async_writer: option.optionalTable(
      {
        pool_size: option.integer({
          doc: "Accepted for configurations of MongooseIM, without effect: there are no workers.",
          min: 0,
        }),
      },
      { doc: "Accepted for configurations of MongooseIM, without effect: writes are grouped for some 5 ms." },
    ),
    keep_private: option.boolean({
      doc: "Markers are for their senders' own devices: nobody else gets them, and nobody else's are told.",
      default: false,
    }),
  },
  features: { server: [ns.smartMarkers], account: [ns.smartMarkers] },
  migrations: markerMigrations,

  setup(on, context) {
    const markers = new SmartMarkers(context, context.options.keepPrivate);
    on.stage("outgoing", "message", (stanza, session) => markers.sent(stanza, session));
    if (context.options.keepPrivate) {
      on.stage("incoming", "message", (stanza, account) => withoutMarkers(stanza, account));
    }
    on.room("said", (message) => markers.said(message));
    on.room("parted", (room, account) => markers.parted(room, account));
    on.room("destroyed", (room) => markers.destroyed(room));
    on.iq("get", "account", ns.smartMarkers, "query", async (_request, iq) => reply(await markers.answer(iq)));
    on.iq("set", "account", ns.smartMarkers, "query", () => {
      throw new StanzaError("not-allowed", { text: "Markers are set by sending them" });
    });
    on.answer("personalData", (account) => [markers.personalData(account)]);
    on.account("removed", (account) => markers.removeAccount(account));
    return undefined;
  },
});

/** What is private reaches nobody; the sender's own devices learn of it by carbons, as of all he sends. */
function withoutMarkers(stanza: Stanza, account: Jid): Outcome {
  if (!stanza.hasNamespace(ns.chatMarkers) || stanza.type === "error" || stanza.from?.bare === account.bare) {
    return undefined;
  }
  const rest = stanza.withoutChildren((name, namespace) => namespace === ns.chatMarkers && isMarker(name));
  if (rest === stanza) return undefined;
  return rest.has("body", ns.client) ? replaceWith(rest) : drop("a marker, and those are private");
}

function isMarker(name: string): name is MarkerType {
  return (markerTypes as readonly string[]).includes(name);
}

type MarkersHouse = Pick<
  ModuleContext<unknown>,
  "domain" | "store" | "writes" | "written" | "clock" | "random" | "log" | "ask"
>;

class SmartMarkers {
  readonly #house: MarkersHouse;
  readonly #store: MarkerStore;
  readonly #private: boolean;

  constructor(house: MarkersHouse, isPrivate: boolean) {
    this.#house = house;
    this.#store = new MarkerStore(house.store);
    this.#private = isPrivate;
  }

  /** Stage "outgoing": what the sender marks in a conversation of two. In rooms markers count once the room has taken them. */
  sent(stanza: Stanza, { account }: Session): MaybePromise<Outcome> {
    const { to, type } = stanza;
    if (!stanza.hasNamespace(ns.chatMarkers) || to === undefined || to.local === "") return undefined;
    if (type === "error" || type === "groupchat" || this.#isRoom(to)) return undefined;
    const { writes } = this.#house;
    if (writes.full) return writes.whenDrained().then(() => this.#add(account, to, stanza));
    return this.#add(account, to, stanza);
  }

  said({ room, sender, stanza }: RoomMessage): Outcome {
    if (!stanza.hasNamespace(ns.chatMarkers) || sender.domain !== this.#house.domain || sender.local === "") {
      return undefined;
    }
    return this.#add(sender.toBare(), room, stanza);
  }

  #isRoom(jid: Jid): boolean {
    return this.#house.ask("roomKind", jid.domain) !== undefined;
  }

  #add(account: Jid, peer: Jid, stanza: Stanza): Outcome {
    const thread = stanza.has("thread", ns.client) ? (stanza.text("thread") ?? "") : "";
    if (thread.length > threadCharsMax) return undefined;
    const { writes, clock } = this.#house;
    const stored: Promise<void>[] = [];
    for (const type of markerTypes) {
      const id = stanza.has(type, ns.chatMarkers) ? stanza.child(type, ns.chatMarkers)!.attr("id") : undefined;
      if (id === undefined || id === "" || id.length > idCharsMax) continue;
      stored.push(this.#store.add(writes, { account, peer, thread }, type, id, Math.trunc(clock.now())));
    }
    if (stored.length === 0) return undefined;
    const all = Promise.all(stored).then(() => undefined);
    this.#limit(account, all);
    return secureBy(all);
  }

  /** Threads have any names a client likes, so their number needs an end. As of inboxes, chance says when it is looked for. */
  #limit(account: Jid, stored: Promise<void>): void {
    const { random, log } = this.#house;
    if (random.next() * markersBetweenLooks >= 1) return;
    stored
      .then(() => this.#store.trim(account, markersMost))
      .catch((error: unknown) => log.warn({ err: error }, "markers could not be made fewer"));
  }

  async answer({ from, payload }: IqContext): Promise<Xml> {
    const peer = parseJid(payload.attr("peer") ?? "")?.toBare();
    if (peer === undefined) throw new StanzaError("bad-request", { text: "invalid-peer" });
    const after = payload.attr("after");
    const since = after === undefined ? 0 : parseTimestamp(after);
    if (since === undefined) throw new StanzaError("bad-request", { text: "invalid-timestamp" });
    const thread = payload.attr("thread") ?? "";
    await this.#house.written();
    const markers = await this.#seen(from.toBare(), peer, thread, since);
    const elements = markers.map(({ server, username, id, type, at }) => {
      const timestamp = new Date(at).toISOString();
      const marker = { from: `${username}@${server}`, id, type, timestamp, thread: thread === "" ? undefined : thread };
      return xml`<marker${attributes(marker)}/>`;
    });
    return xml`<query xmlns='${ns.smartMarkers}' peer='${peer.bare}'>${elements}</query>`;
  }

  /** His own always; the other's, or those of a room's people, where they are not private and he may know who is there. */
  async #seen(account: Jid, peer: Jid, thread: string, since: number): Promise<readonly Marker[]> {
    const own = { account, peer, thread };
    if (this.#private || account.bare === peer.bare) return this.#store.placed(own, since);
    const kind = this.#house.ask("roomKind", peer.domain);
    if (kind !== undefined) {
      const viewer = await this.#house.ask("roomViewer", peer, account);
      // Occupants of MUC Light bear their addresses openly.
      const seesAll = viewer !== undefined && (kind === "muclight" || viewer.seesRealAddresses);
      if (seesAll) return this.#store.inRoom(peer, thread, since, answerMax);
      return this.#store.placed(own, since);
    }
    const other = peer.local === "" ? [] : await this.#store.placed({ account: peer, peer: account, thread }, since);
    return [...(await this.#store.placed(own, since)), ...other];
  }

  async parted(room: Jid, account: string): Promise<void> {
    const jid = parseJid(account);
    if (jid === undefined || jid.domain !== this.#house.domain) return;
    // Not on all nodes: many may leave one after the other.
    await this.#house.writes.flush();
    await this.#store.removeFromRoom(room, jid);
  }

  async destroyed(room: Jid): Promise<void> {
    await this.#house.written();
    await this.#store.removeRoom(room);
  }

  async removeAccount(account: Jid): Promise<void> {
    await this.#house.writes.flush();
    await this.#store.removeAccount(account);
  }

  personalData(account: Jid): PersonalData {
    const store = this.#store;
    return {
      name: "smart_markers",
      columns: ["jid", "thread", "type", "msg_id", "timestamp"],
      async *rows() {
        for await (const page of store.all(account)) {
          for (const { peer, thread, type, id, at } of page) {
            yield [peer, thread === "" ? null : thread, type, id, new Date(at).toISOString()];
          }
        }
      },
    };
  }
}
