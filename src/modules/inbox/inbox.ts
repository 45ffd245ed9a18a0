/** Inbox of MongooseIM (`erlang-solutions.com:xmpp:inbox:0`): a list of conversations with what is unread in each. */
import { defineModule, type ModuleContext } from "../../hooks/define-module.ts";
import { deliverTo, feedTo, handled, type Outcome, reply, route } from "../../hooks/effect.ts";
import type { IqContext, PersonalData } from "../../hooks/points.ts";
import type { InboxService } from "../../hooks/services.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { attributes, xml } from "../../xml/xml.ts";
import { Conversations } from "./conversations.ts";
import { changedMessage, finElement, forwardedLast, propertyElements, resultMessage } from "./inbox-answers.ts";
import { InboxLimit } from "./inbox-limit.ts";
import {
  propertyForm,
  queryForm,
  readChange,
  readInboxQuery,
  readPeer,
  readQueryId,
  requirePeer,
} from "./inbox-query.ts";
import { type Entry, InboxStore } from "./inbox-store.ts";
import { inboxMigrations } from "./inbox-tables.ts";
import { InboxWriter } from "./inbox-writer.ts";
import { type InboxOptions, inboxOptions, pageMax } from "./options.ts";

export const inbox = defineModule({
  name: "mod_inbox",
  summary: "Keeps a list of each user's conversations, with the last message and the number of unread ones.",
  xeps: [{ number: 333, version: "0.4", note: "of inboxes: markers say what was read" }],
  options: inboxOptions,
  features: { server: [ns.inbox], account: [ns.inbox] },
  migrations: inboxMigrations,

  setup(on, context) {
    const writer = new InboxWriter(context);
    const { metrics } = context;
    metrics.total("messages_total", "Entries of messages taken into inboxes", () => writer.messages);
    metrics.total("rows_total", "Rows written for them", () => writer.rows);
    metrics.total("markers_total", "Markers that may reset a count", () => writer.markers);
    const store = new InboxStore(context.store);
    const limit = new InboxLimit(context, store, context.options.maxConversations);
    const conversations = new Conversations(context, writer, limit);
    const desk = new InboxDesk(context, store);

    on.stage("outgoing", "message", (stanza, session) => conversations.sent(stanza, session));
    on.stage("incoming", "message", (stanza, account) => conversations.received(stanza, account));
    on.room("said", (message) => conversations.said(message));

    on.iq("get", "account", ns.inbox, "query", () => reply(queryForm(desk.boxes)));
    on.iq("set", "account", ns.inbox, "inbox", (request, iq) => desk.list(request, iq));
    on.iq("set", "account", ns.inbox, "empty-bin", async (_request, { from }) => {
      const removed = await desk.flushUserBin(from.toBare(), 0);
      return reply(xml`<empty-bin xmlns='${ns.inbox}'><num>${removed}</num></empty-bin>`);
    });
    on.iq("get", "account", ns.inboxConversation, "query", (_request, iq) => desk.properties(iq));
    on.iq("set", "account", ns.inboxConversation, "query", (request, iq) => desk.change(request, iq));
    on.iq("set", "account", ns.inboxConversation, "reset", async (_request, iq) => {
      await desk.reset(iq);
      return reply(xml`<reset xmlns='${ns.inboxConversation}'/>`);
    });

    on.answer("unreadCount", (account) => desk.unread(account));
    on.answer("isMuted", (account, peer) => desk.isMuted(account, peer));
    on.answer("personalData", (account) => [desk.personalData(account)]);
    on.account("removed", (account) => desk.removeAccount(account));
    on.provide("inbox", desk);
    return desk.keepBinsClean();
  },
});

type DeskHouse = Pick<
  ModuleContext<InboxOptions>,
  "domain" | "options" | "writes" | "written" | "clock" | "random" | "log" | "resourcesOf"
>;

/** Answers the owner of an inbox, and the operator. */
class InboxDesk implements InboxService {
  readonly boxes: readonly string[];
  readonly #house: DeskHouse;
  readonly #store: InboxStore;

  constructor(house: DeskHouse, store: InboxStore) {
    this.#house = house;
    this.#store = store;
    this.boxes = ["inbox", "archive", "bin", ...house.options.boxes];
  }

  /** The conversations go out before the result that ends them. */
  async list(request: Stanza, iq: IqContext): Promise<Outcome> {
    const { session } = iq;
    if (session === undefined) return [handled, ...(await this.#answer(request, iq)).map(route)];
    return [handled, feedTo(session, async () => ({ stanzas: await this.#answer(request, iq) }))];
  }

  async #answer(request: Stanza, { from, payload }: IqContext): Promise<Stanza[]> {
    const query = readInboxQuery(payload, request.id!, this.boxes);
    const limit = Math.min(query.max ?? pageMax, this.#house.options.maxResultLimit, pageMax);
    await this.#house.written();
    const backwards = query.before !== undefined;
    const beyond = query.before === "end" ? undefined : (query.before ?? query.after);
    const order = backwards ? (query.order === "asc" ? "desc" : "asc") : query.order;
    const page = { order, limit, ...(beyond === undefined ? {} : { beyond }) } as const;
    const entries: Entry[] = limit === 0 ? [] : await this.#store.page(from.toBare(), query.filter, page);
    if (backwards) entries.reverse();
    const { clock, random } = this.#house;
    const now = clock.now();
    const messages = entries.map((entry) => resultMessage(entry, from, random.id(), query.queryId, now));
    return [...messages, resultOf(request, finElement(entries))];
  }

  async properties({ from, payload }: IqContext): Promise<Outcome> {
    const peer = readPeer(payload);
    if (peer === undefined) return reply(propertyForm(this.boxes));
    await this.#house.written();
    const entry = await this.#store.entry(from.toBare(), peer);
    if (entry === undefined) throw noSuchConversation();
    const last = payload.attr("complete") === "true" ? forwardedLast(entry) : undefined;
    const elements = propertyElements(entry, this.#house.clock.now());
    return reply(
      xml`<query xmlns='${ns.inboxConversation}'${attributes({ jid: peer.bare })}>${last}${elements}</query>`,
    );
  }

  /** All devices of the account are told, the one that asks among them, before it gets its result. */
  async change(request: Stanza, { from, session, payload }: IqContext): Promise<Outcome> {
    const { clock, resourcesOf } = this.#house;
    const account = from.toBare();
    const peer = requirePeer(payload);
    const queryId = readQueryId(payload, request.id!);
    const now = Math.trunc(clock.now());
    const change = readChange(payload, this.boxes, now);
    await this.#house.written();
    const properties = await this.#store.change(account, peer, change, now);
    if (properties === undefined) throw noSuchConversation();
    const told = changedMessage(account, peer, request.id!, queryId, propertyElements(properties, now));
    const result = resultOf(request);
    return [
      handled,
      ...resourcesOf(account)
        .filter((resource) => resource.available)
        .map((resource) => deliverTo(resource, told)),
      session === undefined ? route(result) : deliverTo(session, result),
    ];
  }

  async reset({ from, payload }: IqContext): Promise<void> {
    const peer = requirePeer(payload);
    await this.#house.written();
    await this.#store.reset(from.toBare(), peer);
  }

  async unread(account: Jid): Promise<number> {
    await this.#house.writes.flush();
    return this.#store.unread(account);
  }

  isMuted(account: Jid, peer: Jid): MaybePromise<boolean> {
    return then(this.#store.mutedUntil(account, peer), (until) => until > this.#house.clock.now());
  }

  async flushUserBin(account: Jid, days: number): Promise<number> {
    await this.#house.writes.flush();
    return this.#store.emptyBin(account, this.#before(days));
  }

  async flushBins(days: number): Promise<number> {
    await this.#house.writes.flush();
    return this.#store.emptyBins(this.#house.domain, this.#before(days));
  }

  #before(days: number): number {
    return Math.trunc(this.#house.clock.now()) + 1 - days * 86_400_000;
  }

  /** Every node looks, which costs next to nothing where another was there before. Returns what ends it. */
  keepBinsClean(): () => void {
    const { clock, log, domain, options } = this.#house;
    const timer = clock.every(options.binCleanAfterMs, () => {
      this.#store.emptyBins(domain, Math.trunc(clock.now()) + 1 - options.binTtlMs).catch((error: unknown) => {
        log.warn({ err: error }, "Bins could not be cleaned; trying again later");
      });
    });
    return () => timer.cancel();
  }

  async removeAccount(account: Jid): Promise<void> {
    await this.#house.writes.flush();
    await this.#store.removeAll(account);
  }

  personalData(account: Jid): PersonalData {
    const store = this.#store;
    return {
      name: "inbox",
      columns: ["jid", "content", "unread_count", "timestamp", "box", "muted_until"],
      async *rows() {
        for await (const page of store.all(account)) {
          for (const { peer, content, unread, lastAt, box, mutedUntil } of page) {
            const muted = mutedUntil === 0 ? null : new Date(mutedUntil).toISOString();
            yield [peer, content, unread, new Date(lastAt).toISOString(), box, muted];
          }
        }
      },
    };
  }
}

function noSuchConversation(): StanzaError {
  return new StanzaError("item-not-found", { text: "item-not-found" });
}
