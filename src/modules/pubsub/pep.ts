/** XEP-0163 section 4.3: who comes online gets the last items of the nodes he wants, his own and his contacts'. */
import { deliverTo, type Effect } from "../../hooks/effect.ts";
import { marks, type Resource } from "../../session/resource.ts";
import { asItIs, Session, SessionSlot } from "../../session/session.ts";
import type { Jid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Core, PubSubNode, PubSubService } from "./core.ts";
import { expiredBefore } from "./core.ts";
import { interestsOf } from "./interests.ts";

/** The nodes whose last items a session has been sent. */
const served = new SessionSlot<readonly string[]>("pep", asItIs);
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
    for (const { jid, subscription } of contacts) {
      const contact = jid.toBare();
      if (subscription === "from" || contact.domain !== house.domain || contact.local === "") continue;
      if (this.#core.settings.ignoreOffline && !house.isAvailable(contact)) continue;
      accounts.push(contact);
    }
    const all = await this.#candidates(accounts, wanted);
    if (all.length === 0) return;
    // Each must share its presence by its own roster, not by ours alone.
    const sharing = await house.ask("sharingPresenceWith", session.account);
    const shared = all.filter(({ service: { address } }) => {
      return address.bare === session.account.bare || sharing?.has(address.bare) === true;
    });
    const effects = await this.#effects(session, shared);
    if (session.available) await house.run(effects);
  }

  /** A contact has just been allowed to see the account's presence: his resources get what they want (section 4.3.4). */
  async forContact(account: Jid, contact: Jid): Promise<readonly Effect[]> {
    const effects: Effect[] = [];
    for (const resource of this.#core.house.resourcesOf(contact)) {
      if (!resource.available) continue;
      if (resource instanceof Session) {
        const wanted = interestsOf(this.#core.house, resource);
        // A client that is being asked gets them when it has answered.
        if (wanted instanceof Promise || wanted.size === 0) continue;
        effects.push(...(await this.#effects(resource, await this.#candidates([account], wanted))));
      } else if (resource.marked(marks.events)) {
        effects.push(...(await this.#effects(resource, await this.#candidates([account], undefined))));
      }
    }
    return effects;
  }

  /** The nodes whose last items go out; `wanted` is undefined where it is not known here. */
  async #candidates(accounts: readonly Jid[], wanted: ReadonlySet<string> | undefined): Promise<Candidate[]> {
    const nodes = await this.#core.nodes.ofAccounts(
      this.#core.house.domain,
      accounts.map((account) => account.local),
    );
    const candidates: Candidate[] = [];
    for (const account of accounts) {
      for (const node of nodes.get(account.local) ?? []) {
        const { config } = node;
        if (wanted?.has(node.name) === false || !config.persist_items || !config.deliver_notifications) continue;
        if (config.send_last_published_item !== "on_sub_and_presence") continue;
        candidates.push({ service: this.#serviceOf(account), node });
      }
    }
    return candidates;
  }

  async #effects(resource: Resource, candidates: readonly Candidate[]): Promise<Effect[]> {
    if (candidates.length === 0) return [];
    const { store, access, house, notifier } = this.#core;
    const items = await store.lastItems(candidates.map(({ node }) => node.id));
    const effects: Effect[] = [];
    for (const { service, node } of candidates) {
      const item = items.get(node.id);
      if (item === undefined || item.publishedAt < expiredBefore(node.config, house.clock.now())) continue;
      // That the candidate shares his presence is known already.
      const open = !node.shared && (node.config.access_model === "presence" || node.config.access_model === "open");
      if (!open && (await access.readingRefused(service, node, resource.jid)) !== undefined) continue;
      const stanza = notifier.lastItem(service, node, item, resource);
      if (!(await this.#isBlocked(service.address, resource, stanza))) effects.push(deliverTo(resource, stanza));
    }
    return effects;
  }

  async #isBlocked(account: Jid, resource: Resource, stanza: Stanza): Promise<boolean> {
    const receiver = resource.jid.toBare();
    if (account.bare === receiver.bare) return false;
    const { house } = this.#core;
    if ((await house.ask("blocked", account, undefined, stanza, "out")) === true) return true;
    return (await house.ask("blocked", receiver, undefined, stanza, "in")) === true;
  }
}
