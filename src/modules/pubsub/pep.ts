/** XEP-0163 section 4.3: who comes online gets the last items of the nodes he wants, his own and his contacts'. */
import type { Effect } from "../../hooks/effect.ts";
import { marks } from "../../session/resource.ts";
import { type Session, SessionSlot } from "../../session/session.ts";
import type { Jid } from "../../stanza/jid.ts";
import type { Core, PubSubNode, PubSubService } from "./core.ts";
import { expiredBefore } from "./core.ts";
import { interestsOf } from "./interests.ts";

/** The nodes whose last items a session has been sent. */
const served = new SessionSlot<readonly string[]>("pep");
const nobody: readonly string[] = [];

interface Candidate {
  readonly service: PubSubService;
  readonly node: PubSubNode;
}

export class LastItems {
  readonly #core: Core;
  readonly #serviceOf: (account: Jid) => PubSubService;

  constructor(core: Core, serviceOf: (account: Jid) => PubSubService) {
    this.#core = core;
    this.#serviceOf = serviceOf;
  }

  /** A session has sent presence. Nothing waits for this: its client may have to be asked what it wants first. */
  presented(session: Session): void {
    const wanted = interestsOf(this.#core.house, session);
    if (!(wanted instanceof Promise)) this.#learnt(session, wanted);
    else wanted.then((nodes) => this.#learnt(session, nodes)).catch((error: unknown) => this.#failed(error, session));
  }

  gone(session: Session): void {
    served.set(session, undefined);
  }

  #learnt(session: Session, wanted: ReadonlySet<string>): void {
    if (!session.available) return;
    session.mark(marks.events, wanted.size > 0);
    const before = served.get(session) ?? nobody;
    const fresh = [...wanted].filter((node) => !before.includes(node));
    if (fresh.length === 0) return;
    served.set(session, [...wanted]);
    this.#send(session, new Set(fresh)).catch((error: unknown) => this.#failed(error, session));
  }

  #failed(error: unknown, session: Session): void {
    this.#core.house.log.warn({ err: error, jid: session.jid.full }, "last items could not be sent");
  }

  async #send(session: Session, wanted: ReadonlySet<string>): Promise<void> {
    const { house } = this.#core;
    const accounts = [session.account];
    const contacts = (await house.ask("presenceContacts", session.account)) ?? [];
    const sharing = await house.ask("sharingPresenceWith", session.account);
    for (const { jid, subscription } of contacts) {
      const contact = jid.toBare();
      if (subscription === "from" || contact.domain !== house.domain || contact.local === "") continue;
      if (sharing?.has(contact.bare) !== true) continue;
      if (this.#core.settings.ignoreOffline && !house.isAvailable(contact)) continue;
      accounts.push(contact);
    }
    await this.#deliver(session, await this.#candidates(accounts, wanted));
  }

  /** A contact has just been allowed to see the account's presence: his resources get what they want (section 4.3.4). */
  async toNewContact(account: Jid, contact: Jid): Promise<void> {
    const contactEntry = await this.#core.house.ask("rosterItem", account, contact);
    if (contactEntry?.subscription !== "from" && contactEntry?.subscription !== "both") return;
    for (const session of this.#core.house.sessionsOf(contact)) {
      if (!session.available) continue;
      const wanted = await interestsOf(this.#core.house, session);
      if (wanted.size > 0) await this.#deliver(session, await this.#candidates([account], wanted));
    }
  }

  async #candidates(accounts: readonly Jid[], wanted: ReadonlySet<string>): Promise<Candidate[]> {
    const nodes = await this.#core.nodes.ofAccounts(
      this.#core.house.domain,
      accounts.map((account) => account.local),
    );
    const candidates: Candidate[] = [];
    for (const account of accounts) {
      for (const node of nodes.get(account.local) ?? []) {
        const { config } = node;
        if (!wanted.has(node.name) || !config.persist_items || !config.deliver_notifications) continue;
        if (config.send_last_published_item !== "on_sub_and_presence") continue;
        candidates.push({ service: this.#serviceOf(account), node });
      }
    }
    return candidates;
  }

  async #deliver(session: Session, candidates: readonly Candidate[]): Promise<void> {
    if (candidates.length === 0) return;
    const { store, access, house, notifier } = this.#core;
    const items = await store.lastItems(candidates.map(({ node }) => node.id));
    const effects: Effect[] = [];
    for (const { service, node } of candidates) {
      const item = items.get(node.id);
      if (item === undefined || item.publishedAt < expiredBefore(node.config, house.clock.now())) continue;
      // That the candidate shares his presence is known already.
      const open = !node.shared && (node.config.access_model === "presence" || node.config.access_model === "open");
      if (!open && (await access.readingRefused(service, node, session.jid)) !== undefined) continue;
      const effect = notifier.toSession(service, node, item, session);
      if (await this.#isBlocked(service.address, session, effect)) continue;
      effects.push(effect);
    }
    if (session.available) await house.run(effects);
  }

  async #isBlocked(account: Jid, session: Session, effect: Effect): Promise<boolean> {
    if (account.bare === session.account.bare || effect.do !== "deliver") return false;
    const { house } = this.#core;
    if ((await house.ask("blocked", account, undefined, effect.stanza, "out")) === true) return true;
    return (await house.ask("blocked", session.account, session, effect.stanza, "in")) === true;
  }
}
