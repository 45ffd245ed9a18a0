/** XEP-0441 Message Archive Management Preferences: which messages a user wants to be archived. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { MaybePromise } from "../../hooks/effect.ts";
import type { PersonalData } from "../../hooks/points.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { upsertRow } from "../../store/rows.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import type { ArchiveTables } from "./archive-tables.ts";

export interface Preferences {
  readonly default: "always" | "never" | "roster";
  readonly always: readonly string[];
  readonly never: readonly string[];
}

/** Of whoever has set none. */
const everything: Preferences = { default: "always", always: [], never: [] };
/** Addresses in both lists together. */
const addressesMax = 1_000;
/** Accounts whose preferences are remembered. */
const rememberedMax = 20_000;

/** Section 2.2: the address itself counts before the bare one; "roster" where the contact list has to say. */
export function preferenceFor(preferences: Preferences, peer: Jid): "always" | "never" | "roster" {
  for (const address of peer.resource === "" ? [peer.full] : [peer.full, peer.bare]) {
    if (preferences.never.includes(address)) return "never";
    if (preferences.always.includes(address)) return "always";
  }
  return preferences.default;
}

/** Throws `StanzaError`: bad-request, jid-malformed, policy-violation. */
export function readPreferences(element: Element): Preferences {
  const behaviour = element.attr("default");
  if (behaviour !== "always" && behaviour !== "never" && behaviour !== "roster") {
    throw new StanzaError("bad-request", { text: "The default is always, never or roster" });
  }
  const always = addressesOf(element, "always");
  const never = addressesOf(element, "never");
  if (always.length + never.length > addressesMax) {
    throw new StanzaError("policy-violation", { text: `At most ${addressesMax} addresses` });
  }
  return { default: behaviour, always, never };
}

function addressesOf(element: Element, list: string): string[] {
  const addresses = new Set<string>();
  for (const item of element.child(list)?.childrenNamed("jid") ?? []) {
    const jid = parseJid(item.text());
    if (jid === undefined) throw new StanzaError("jid-malformed", { text: "In the lists stand addresses" });
    addresses.add(jid.full);
  }
  return [...addresses];
}

export function preferencesElement(preferences: Preferences): Xml {
  const list = (addresses: readonly string[]) => addresses.map((address) => xml`<jid>${address}</jid>`);
  return xml`<prefs xmlns='${ns.mam}' default='${preferences.default}'><always>${list(preferences.always)}</always><never>${list(preferences.never)}</never></prefs>`;
}

export type PreferencesHouse = Pick<ModuleContext<unknown>, "store" | "ask" | "notices">;

/** The preferences of a host's accounts, remembered while they are used. All methods may throw the errors of the store. */
export class PreferenceBook {
  readonly #house: PreferencesHouse;
  readonly #remembered = new BoundedMap<string, Preferences>(rememberedMax);
  readonly #tellOthers: (account: string) => void;

  constructor(house: PreferencesHouse) {
    this.#house = house;
    this.#tellOthers = house.notices("preferences", (account) => {
      if (account === undefined) this.#remembered.clear();
      else this.#remembered.delete(account);
    });
  }

  get #db() {
    return this.#house.store.tables<ArchiveTables>();
  }

  /** Whether a message with this contact is archived for the account. */
  wants(account: Jid, peer: Jid): MaybePromise<boolean> {
    const known = this.#remembered.get(account.bare);
    if (known === undefined) return this.get(account).then((preferences) => this.#decide(preferences, account, peer));
    return this.#decide(known, account, peer);
  }

  #decide(preferences: Preferences, account: Jid, peer: Jid): MaybePromise<boolean> {
    if (preferences === everything) return true;
    const said = preferenceFor(preferences, peer);
    if (said !== "roster") return said === "always";
    const contact = this.#house.ask("rosterItem", account, peer.toBare());
    return contact instanceof Promise ? contact.then((item) => item !== undefined) : contact !== undefined;
  }

  async get(account: Jid): Promise<Preferences> {
    const query = this.#db.selectFrom("archive_preferences").select("preferences").where("owner", "=", account.bare);
    const row = await query.executeTakeFirst();
    const preferences = row === undefined ? everything : (JSON.parse(row.preferences) as Preferences);
    this.#remembered.set(account.bare, preferences);
    return preferences;
  }

  async set(account: Jid, preferences: Preferences): Promise<void> {
    const row = { owner: account.bare, preferences: JSON.stringify(preferences) };
    await upsertRow(this.#db, "archive_preferences", row, ["owner"]);
    this.#forget(account);
  }

  personalData(account: Jid): PersonalData {
    const read = () => this.get(account);
    return {
      name: "archive_preferences",
      columns: ["default", "always", "never"],
      async *rows() {
        const { default: behaviour, always, never } = await read();
        yield [behaviour, always.join("\n"), never.join("\n")];
      },
    };
  }

  async remove(account: Jid): Promise<void> {
    await this.#db.deleteFrom("archive_preferences").where("owner", "=", account.bare).execute();
    this.#forget(account);
  }

  #forget(account: Jid): void {
    this.#remembered.delete(account.bare);
    this.#tellOthers(account.bare);
  }
}
