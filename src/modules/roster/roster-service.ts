/** The rosters of a host's accounts for the admin API: as if the account's own client had asked. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { Effect } from "../../hooks/effect.ts";
import type { RosterEntry } from "../../hooks/points.ts";
import type { MutualContact, RosterService, SubscriptionAction } from "../../hooks/services.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { presence } from "../../stanza/stanza.ts";
import { checkNames } from "./roster-item.ts";
import type { Rosters } from "./rosters.ts";
import type { SubscriptionType } from "./subscription.ts";

const stanzaOf: Record<SubscriptionAction, SubscriptionType> = {
  invite: "subscribe",
  accept: "subscribed",
  decline: "unsubscribed",
  cancel: "unsubscribe",
};

type House = Pick<ModuleContext<unknown>, "domain" | "accountExists" | "run">;

export class AdminRosters implements RosterService {
  readonly #house: House;
  readonly #rosters: Rosters;

  constructor(house: House, rosters: Rosters) {
    this.#house = house;
    this.#rosters = rosters;
  }

  async list(account: Jid): Promise<readonly RosterEntry[]> {
    await this.#check(account);
    return this.#rosters.entries(account);
  }

  async get(account: Jid, contact: Jid): Promise<RosterEntry | undefined> {
    await this.#check(account);
    return this.#rosters.entry(account, contact);
  }

  async requests(account: Jid): Promise<readonly string[]> {
    await this.#check(account);
    return this.#rosters.requesters(account);
  }

  async set(account: Jid, contact: Jid, name: string, groups: readonly string[]): Promise<void> {
    await this.#check(account);
    checkNames(name, groups);
    await this.#run(await this.#rosters.put(account, contact, name, groups));
  }

  async remove(account: Jid, contact: Jid): Promise<void> {
    await this.#check(account);
    await this.#run(await this.#rosters.remove(account, contact));
  }

  async subscription(account: Jid, contact: Jid, action: SubscriptionAction): Promise<void> {
    await this.#check(account);
    const stanza = presence({ type: stanzaOf[action], from: account, to: contact.toBare() });
    await this.#run(await this.#rosters.outbound(stanza, account));
  }

  async setMutual(first: MutualContact, second: MutualContact, action: "connect" | "disconnect"): Promise<void> {
    const connect = action === "connect";
    const { account: one } = first;
    const { account: other } = second;
    for (const { account, name = "", groups = [] } of [first, second]) {
      await this.#check(account);
      checkNames(name, groups);
    }
    const force = (account: Jid, { account: contact, name = "", groups = [] }: MutualContact) =>
      this.#rosters.force(account, contact.toBare(), name, groups, connect);
    await this.#run(await force(one, second));
    await this.#run(await force(other, first));
    await this.#run(await this.#rosters.share(one, other.toBare(), connect));
    await this.#run(await this.#rosters.share(other, one.toBare(), connect));
  }

  async #check(account: Jid): Promise<void> {
    if (account.domain !== this.#house.domain || account.local === "" || !(await this.#house.accountExists(account))) {
      throw new StanzaError("item-not-found", { text: `${account.bare} is no account of ${this.#house.domain}` });
    }
  }

  /** There is no stanza at hand that could be dropped or handled: only what goes to others counts. */
  async #run(effects: readonly Effect[]): Promise<void> {
    await this.#house.run(
      effects.filter(({ do: what }) => what === "route" || what === "deliver" || what === "present"),
    );
  }
}
