/** XEP-0049 Private XML Storage 1.2: what a client keeps on the server for itself, by root element and namespace. */
import { option } from "../config/option.ts";
import { defineModule, type ModuleContext } from "../hooks/define-module.ts";
import { type Effect, reply } from "../hooks/effect.ts";
import { isoTime, personalRows } from "../hooks/personal-rows.ts";
import type { PersonalData } from "../hooks/points.ts";
import type { PrivateStorageService } from "../hooks/services.ts";
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { key, keyCharsMax, millis, text } from "../store/columns.ts";
import type { Migration } from "../store/migrations.ts";
import { upsertRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { Element } from "../xml/element.ts";
import { raw, type Xml, xml } from "../xml/xml.ts";

export const privateMigrations: readonly Migration[] = [
  {
    name: "private/1-create",
    up: (schema) =>
      schema.createTable("private_storage", {
        columns: { server: key(), username: key(), element: key(), data: text(), created_at: millis() },
        primaryKey: ["server", "username", "element"],
      }),
  },
];

export const privateStorage = defineModule({
  name: "mod_private",
  summary: "Lets clients keep their own data, such as old-style bookmarks, on the server.",
  xeps: [{ number: 49, version: "1.2" }],
  options: {
    backend: option.choice({
      doc: "Where the data is kept.",
      values: ["rdbms"],
      default: "rdbms",
      unsupported: { mnesia: "private storage is kept in the SQL database" },
    }),
    max_item_size: option.integer({
      doc: "Most bytes of one element.",
      default: 131_072,
      min: 1_024,
      unit: "bytes",
    }),
    max_items: option.integer({ doc: "Most different elements of one account.", default: 200, min: 1 }),
  },
  features: { server: [ns.private] },
  migrations: privateMigrations,

  setup(on, context) {
    const { maxItemSize, maxItems } = context.options;
    const storage = new PrivateStorage(context.store, { itemBytesMax: maxItemSize, itemsMax: maxItems });

    /** What else changes with it, such as bookmarks in their newer form. */
    const stored = async (account: Jid, elements: readonly Element[]): Promise<Effect[]> => {
      const effects: Effect[] = [];
      for (const element of elements) {
        effects.push(...(await context.askAll("privateDataStored", account, element)).flat());
      }
      return effects;
    };

    on.iq("get", "account", ns.private, "query", async (_request, { target, payload }) => {
      const wanted = checkedItems(payload, "get");
      if (wanted.size > maxItems)
        throw new StanzaError("bad-request", { text: `Ask for ${maxItems} elements at most` });
      const found = await storage.get(target, [...wanted.keys()]);
      // An element that was never stored comes back as it was asked for: empty.
      const items: Xml[] = [];
      for (const [id, [asked]] of wanted) {
        const kept = await context.ask("privateData", target, asked!.name, asked!.ns, found.get(id));
        items.push(raw(kept ?? found.get(id) ?? asked!.toXml()));
      }
      return reply(xml`<query xmlns='${ns.private}'>${items}</query>`);
    });
    on.iq("set", "account", ns.private, "query", async (_request, { target, payload }) => {
      await storage.set(target, checkedItems(payload, "set"));
      return stored(target, payload.elements());
    });
    on.iq("get", "user", ns.private, "query", refuse);
    on.iq("set", "user", ns.private, "query", refuse);

    on.account("removed", (account) => storage.removeAll(account));
    on.answer("personalData", (account) => [storage.personalData(account)]);

    on.provide("privateStorage", new AdminStorage(storage, context, stored));
    return undefined;
  },
});

function refuse(): never {
  throw new StanzaError("forbidden", { type: "cancel", text: "Private data is its owner's alone" });
}

/** Elements of a query by their id in the database; those of one name and namespace belong together. */
type Items = ReadonlyMap<string, readonly Element[]>;

/**
 * What a query asks for or stores (section 2.3).
 * @throws StanzaError bad-request for a `get` of nothing or of two namespaces; not-acceptable for a `set` of nothing,
 * an element without a namespace of its own, and reserved namespaces.
 */
export function checkedItems(query: Element, type: "get" | "set"): Items {
  const elements = query.elements();
  if (elements.length === 0) {
    const text = "The query needs a child element in a namespace of its own";
    throw new StanzaError(type === "get" ? "bad-request" : "not-acceptable", { type: "modify", text });
  }
  const items = new Map<string, Element[]>();
  for (const element of elements) {
    if (type === "get" && element.ns !== elements[0]!.ns) {
      throw new StanzaError("bad-request", { text: "Ask for one namespace at a time" });
    }
    const id = itemId(element.name, element.ns);
    const together = items.get(id);
    if (together === undefined) items.set(id, [element]);
    else together.push(element);
  }
  return items;
}

/** @throws StanzaError not-acceptable for what cannot be stored. */
function itemId(name: string, namespace: string): string {
  if (namespace === "" || isReserved(namespace)) {
    throw new StanzaError("not-acceptable", { text: `The namespace '${namespace.slice(0, 64)}' is reserved` });
  }
  const id = `${name} ${namespace}`;
  if ([...id].length > keyCharsMax) {
    throw new StanzaError("not-acceptable", {
      text: `Name and namespace have more than ${keyCharsMax - 1} characters`,
    });
  }
  return id;
}

/** Section 2.3: namespaces of the protocols themselves. */
export function isReserved(namespace: string): boolean {
  return namespace.startsWith("jabber:") || namespace.startsWith("http://jabber.org/") || namespace === ns.vcard;
}

interface PrivateTables {
  private_storage: {
    server: string;
    username: string;
    /** Name of the element, a space, its namespace. */
    element: string;
    /** The element as XML, namespace declared; several when they were stored at once. */
    data: string;
    created_at: number;
  };
}

export interface PrivateLimits {
  readonly itemBytesMax: number;
  readonly itemsMax: number;
}

/** Private data on the database. All methods may throw the errors of the store. */
export class PrivateStorage {
  readonly #store: Store;
  readonly #limits: PrivateLimits;

  constructor(store: Store, limits: PrivateLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  /** The stored XML by id; what is not stored is left out. */
  async get(account: Jid, ids: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#store
      .tables<PrivateTables>()
      .selectFrom("private_storage")
      .select(["element", "data"])
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .where("element", "in", ids)
      .execute();
    return new Map(rows.map((row) => [row.element, row.data]));
  }

  /**
   * Stores all of it or nothing. An element without content is removed, for so it reads when it is not there.
   * @throws StanzaError policy-violation for too large an element, resource-constraint for too many.
   */
  async set(account: Jid, items: Items): Promise<void> {
    if (items.size > this.#limits.itemsMax) throw this.#tooMany();
    const remove: string[] = [];
    const write: { element: string; data: string }[] = [];
    for (const [element, parts] of items) {
      const isEmpty = parts.every((part) => part.children.length === 0 && part.attributes.size === 0);
      const data = parts.map((part) => part.toXml()).join("");
      if (isEmpty) remove.push(element);
      else write.push({ element, data });
      if (Buffer.byteLength(data) > this.#limits.itemBytesMax) {
        throw new StanzaError("policy-violation", {
          text: `One element may have ${this.#limits.itemBytesMax} bytes`,
        });
      }
    }
    await this.#store
      .tables<PrivateTables>()
      .transaction()
      .execute(async (trx) => {
        const mine = trx
          .selectFrom("private_storage")
          .where("server", "=", account.domain)
          .where("username", "=", account.local);
        if (write.length > 0) {
          const others = await mine
            .select((columns) => columns.fn.countAll().as("total"))
            .where("element", "not in", [...items.keys()])
            .executeTakeFirstOrThrow();
          if (Number(others.total) + write.length > this.#limits.itemsMax) {
            throw this.#tooMany();
          }
        }
        const owner = { server: account.domain, username: account.local, created_at: this.#store.clock.now() };
        for (const row of write) {
          await upsertRow(trx, "private_storage", { ...owner, ...row }, ["server", "username", "element"]);
        }
        if (remove.length === 0) return;
        await trx
          .deleteFrom("private_storage")
          .where("server", "=", account.domain)
          .where("username", "=", account.local)
          .where("element", "in", remove)
          .execute();
      });
  }

  #tooMany(): StanzaError {
    return new StanzaError("resource-constraint", {
      text: `One account may store ${this.#limits.itemsMax} different elements`,
    });
  }

  personalData(account: Jid): PersonalData {
    const db = this.#store.tables<PrivateTables>();
    const query = db
      .selectFrom("private_storage")
      .select(["element", "data", "created_at"])
      .where("server", "=", account.domain)
      .where("username", "=", account.local);
    return personalRows("private_storage", db, query, ["element"], {
      element: (row) => row.element,
      data: (row) => row.data,
      changed_at: (row) => isoTime(row.created_at),
    });
  }

  async removeAll(account: Jid): Promise<void> {
    await this.#store
      .tables<PrivateTables>()
      .deleteFrom("private_storage")
      .where("server", "=", account.domain)
      .where("username", "=", account.local)
      .execute();
  }
}

/** What an administrator may type; clients' names come out of the parser. */
const elementName = /^[\p{L}_][\p{L}\p{N}._-]*$/u;

type StorageHouse = Pick<ModuleContext<unknown>, "accountExists" | "ask" | "run">;

class AdminStorage implements PrivateStorageService {
  readonly #storage: PrivateStorage;
  readonly #house: StorageHouse;
  readonly #stored: (account: Jid, elements: readonly Element[]) => Promise<Effect[]>;

  constructor(
    storage: PrivateStorage,
    house: StorageHouse,
    stored: (account: Jid, elements: readonly Element[]) => Promise<Effect[]>,
  ) {
    this.#storage = storage;
    this.#house = house;
    this.#stored = stored;
  }

  async get(account: Jid, name: string, namespace: string): Promise<string> {
    await this.#check(account);
    const id = itemId(name, namespace);
    if (!elementName.test(name)) throw new StanzaError("not-acceptable", { text: "That is no name of an element" });
    const found = (await this.#storage.get(account, [id])).get(id);
    const kept = await this.#house.ask("privateData", account, name, namespace, found);
    return kept ?? found ?? new Element(name, namespace).toXml();
  }

  async set(account: Jid, element: Element): Promise<void> {
    await this.#check(account);
    await this.#storage.set(account, new Map([[itemId(element.name, element.ns), [element]]]));
    await this.#house.run(await this.#stored(account, [element]));
  }

  async #check(account: Jid): Promise<void> {
    if (!(await this.#house.accountExists(account))) {
      throw new StanzaError("item-not-found", { text: "There is no such account" });
    }
  }
}
