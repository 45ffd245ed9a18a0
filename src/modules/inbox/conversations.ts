/** What messages do to inboxes: one to one, and in rooms. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { type MaybePromise, type Outcome, secureBy } from "../../hooks/effect.ts";
import type { RoomMessage } from "../../hooks/points.ts";
import type { Session } from "../../session/session.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import type { InboxLimit } from "./inbox-limit.ts";
import { type Arrival, peerCharsMax } from "./inbox-tables.ts";
import { inboxVerdict, markedIds } from "./inbox-verdict.ts";
import type { InboxWriter } from "./inbox-writer.ts";
import type { InboxOptions } from "./options.ts";

export type InboxHouse = Pick<
  ModuleContext<InboxOptions>,
  "domain" | "options" | "clock" | "writes" | "ask" | "servedDomains" | "resourcesOf" | "accountExists"
>;

/** Private messages in rooms that are remembered, since each device in the room gets one of its own. */
const privatelyMost = 2_000;

export class Conversations {
  readonly #house: InboxHouse;
  readonly #writer: InboxWriter;
  readonly #limit: InboxLimit;
  readonly #ofMuc: boolean;
  readonly #ofMucLight: boolean;
  readonly #suffix: string;
  /** The kinds of rooms by domain, once asked. */
  readonly #kinds = new BoundedMap<string, "muc" | "muclight" | "none">(100);
  readonly #privately = new BoundedMap<string, true>(privatelyMost);

  constructor(house: InboxHouse, writer: InboxWriter, limit: InboxLimit) {
    this.#house = house;
    this.#writer = writer;
    this.#limit = limit;
    this.#ofMuc = house.options.groupchat.includes("muc");
    this.#ofMucLight = house.options.groupchat.includes("muclight");
    this.#suffix = `@${house.domain}`;
  }

  /** Stage "outgoing": the sender's own conversation, which he has read to the end; or a marker, by which he says so. */
  sent(stanza: Stanza, session: Session): MaybePromise<Outcome> {
    const { to } = stanza;
    const { account } = session;
    // What a user sends to himself arrives, and is dealt with then; what is said in rooms comes back from them.
    if (to === undefined || to.bare === account.bare) return undefined;
    const marks = stanza.hasNamespace(ns.chatMarkers) && stanza.type !== "error" ? this.#marks(stanza) : [];
    const shown = stanza.type !== "groupchat" && inboxVerdict(stanza).shown;
    if (marks.length === 0 && !shown) return undefined;
    return this.#whenThereIsRoom(() => {
      const stored: Promise<void>[] = [];
      for (const messageId of marks) stored.push(this.#writer.read({ ...keyOf(account, to), messageId }));
      if (shown) stored.push(this.#arrive(account, to, stanza, { own: true, counted: false }));
      return secureBy(all(stored));
    });
  }

  #marks(stanza: Stanza): readonly string[] {
    return markedIds(stanza, this.#house.options.resetMarkers);
  }

  /** Stage "incoming": the recipient's conversation. */
  received(stanza: Stanza, account: Jid): MaybePromise<Outcome> {
    const { from, type } = stanza;
    if (from === undefined) return undefined;
    if (type === "groupchat") {
      // What is said in rooms they tell themselves. What a room of MUC Light says of itself is for the one who gets it.
      if (!this.#ofMucLight || from.resource !== "" || this.#kindOf(from.domain) !== "muclight") return undefined;
      return this.#ofLightRoom(stanza, account);
    }
    const verdict = inboxVerdict(stanza);
    if (!verdict.shown) return undefined;
    if (stanza.has("x", ns.mucUser) && this.#again(stanza, account)) return undefined;
    const own = from.bare === account.bare;
    return this.#ifExists(account, () => {
      return secureBy(this.#arrive(account, from, stanza, { own, counted: verdict.counted && !own }));
    });
  }

  /** A room sends a private message to each device that is in it. */
  #again(stanza: Stanza, account: Jid): boolean {
    if (stanza.id === undefined || stanza.id.length > 500) return false;
    const key = `${account.bare}\n${stanza.from!.full}\n${stanza.id}`;
    if (this.#privately.get(key) === true) return true;
    this.#privately.set(key, true);
    return false;
  }

  #kindOf(domain: string): "muc" | "muclight" | "none" {
    const known = this.#kinds.get(domain);
    if (known !== undefined) return known;
    const kind = this.#house.ask("roomKind", domain) ?? "none";
    this.#kinds.set(domain, kind);
    return kind;
  }

  /** The account has come or gone: what others hear of that is nothing to him. */
  #ofLightRoom(stanza: Stanza, account: Jid): MaybePromise<Outcome> {
    const affiliation = ownAffiliation(stanza, account);
    if (affiliation === undefined) return undefined;
    const { affChanges, removeOnKicked, backend } = this.#house.options;
    const room = stanza.from!;
    const gone = affiliation === "none" && removeOnKicked;
    const binnedAt = gone && backend === "rdbms_async" ? this.#now() : undefined;
    if (gone && binnedAt === undefined) {
      return this.#whenThereIsRoom(() => secureBy(this.#writer.remove({ ...keyOf(account, room), binnedAt })));
    }
    return this.#ifExists(account, () => {
      const stored: Promise<void>[] = [];
      if (affChanges) stored.push(this.#arrive(account, room, stanza, { own: false, counted: true }));
      if (gone) stored.push(this.#writer.remove({ ...keyOf(account, room), binnedAt }));
      return stored.length === 0 ? undefined : secureBy(all(stored));
    });
  }

  /** A room has accepted a message: it is for everybody who belongs to the room, whether or not he is there. */
  said({ kind, room, sender, stanza, id, people }: RoomMessage): Outcome {
    if (kind === "muc" ? !this.#ofMuc : !this.#ofMucLight) return undefined;
    const verdict = inboxVerdict(stanza);
    if (!verdict.shown || !fits(room.bare)) return undefined;
    const text = stanza.withTo(undefined).toXml();
    const rest = text.slice("<message".length);
    const last_at = this.#now();
    const stored = new Set<Promise<void>>();
    for (const jid of people()) {
      if (!jid.endsWith(this.#suffix)) continue;
      const own = jid === sender.bare;
      const arrival: Arrival = {
        server: this.#house.domain,
        username: jid.slice(0, -this.#suffix.length),
        peer: room.bare,
        box: "inbox",
        // The address of an account holds nothing to escape.
        content: `<message to='${jid}'`,
        msg_id: stanza.id ?? null,
        room_msg_id: id === "" ? null : id,
        last_at,
        unread_count: own || !verdict.counted ? 0 : 1,
        read_at: own ? last_at : 0,
        binned_at: null,
      };
      const written = this.#writer.arrive(arrival, rest);
      this.#limit.arrived(arrival.username, written);
      stored.add(written);
    }
    return stored.size === 0 ? undefined : secureBy(all([...stored]));
  }

  #arrive(
    account: Jid,
    peer: Jid,
    stanza: Stanza,
    { own, counted }: { own: boolean; counted: boolean },
  ): Promise<void> {
    if (!fits(peer.bare)) return Promise.resolve();
    const last_at = this.#now();
    const written = this.#writer.arrive({
      ...keyOf(account, peer),
      box: "inbox",
      content: stanza.toXml(),
      msg_id: stanza.id ?? null,
      room_msg_id: null,
      last_at,
      unread_count: counted ? 1 : 0,
      read_at: own ? last_at : 0,
      binned_at: null,
    });
    this.#limit.arrived(account.local, written);
    return written;
  }

  /** Whole milliseconds; the clock of simulations is finer. */
  #now(): number {
    return Math.trunc(this.#house.clock.now());
  }

  #ifExists(account: Jid, write: () => Outcome): MaybePromise<Outcome> {
    if (this.#house.resourcesOf(account).length > 0) return this.#whenThereIsRoom(write);
    const exists = this.#house.accountExists(account);
    if (exists instanceof Promise) return exists.then((yes) => (yes ? this.#whenThereIsRoom(write) : undefined));
    return exists ? this.#whenThereIsRoom(write) : undefined;
  }

  /** Where the database is slower than those who write, they wait for it: what they send is not read until there is room. */
  #whenThereIsRoom(write: () => Outcome): MaybePromise<Outcome> {
    const { writes } = this.#house;
    return writes.full ? writes.whenDrained().then(write) : write();
  }
}

function keyOf(account: Jid, peer: Jid): { server: string; username: string; peer: string } {
  return { server: account.domain, username: account.local, peer: peer.bare };
}

function fits(peer: string): boolean {
  return peer.length <= peerCharsMax || [...peer].length <= peerCharsMax;
}

function all(stored: readonly Promise<void>[]): Promise<void> {
  return stored.length === 1 ? stored[0]! : Promise.all(stored).then(() => undefined);
}

/** What a room of MUC Light says the account now is; undefined when it speaks of others. */
function ownAffiliation(stanza: Stanza, account: Jid): string | undefined {
  if (!stanza.has("x", ns.mucLightAffiliations)) return undefined;
  for (const user of stanza.child("x", ns.mucLightAffiliations)!.childrenNamed("user")) {
    if (parseJid(user.text().trim())?.bare === account.bare) return user.attr("affiliation");
  }
  return undefined;
}
