/**
 * XEP-0402 PEP Native Bookmarks: one item a room in a node of the account. Clients of the old way (XEP-0048 in XEP-0049's
 * private storage) see and change the same bookmarks (section 4, `#compat`): once there is the node it is the truth, and
 * the old form is made from it; before, the node is made from the old form by whoever asks for it first.
 */
import type { Effect } from "../../hooks/effect.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { Element, parseElement } from "../../xml/element.ts";
import type { Core, PubSubNode, PubSubService } from "./core.ts";
import { retractEvent } from "./events.ts";
import type { Publishing } from "./publishing.ts";
import type { Item } from "./pubsub-tables.ts";

/** Section 3.1: for the owner's eyes only, and all of them kept. */
const configuration = new Map<string, readonly string[]>([
  ["pubsub#access_model", ["whitelist"]],
  ["pubsub#persist_items", ["true"]],
  ["pubsub#max_items", ["max"]],
  ["pubsub#send_last_published_item", ["never"]],
  ["pubsub#notify_retract", ["true"]],
]);

interface Bookmark {
  readonly id: string;
  readonly element: Element;
}

export class Bookmarks {
  readonly #core: Core;
  readonly #publishing: Publishing;

  constructor(core: Core, publishing: Publishing) {
    this.#core = core;
    this.#publishing = publishing;
  }

  #node(service: PubSubService): Promise<PubSubNode | undefined> {
    return this.#core.nodes.find(service, ns.bookmarks);
  }

  #items(node: PubSubNode): Promise<Item[]> {
    return this.#core.store.newest(node.id, this.#core.settings.maxItems);
  }

  /** The owner asks for his bookmarks: those he has in private storage become items, once. */
  async prepare(service: PubSubService, owner: Jid): Promise<void> {
    if ((await this.#node(service)) !== undefined) return;
    const stored = await this.#core.house.service("privateStorage")?.get(owner, "storage", ns.bookmarkStorage);
    if (stored === undefined) return;
    const bookmarks = conferencesIn(parseElement(stored, ""));
    if (bookmarks.length > 0) await this.#change(service, owner, bookmarks);
  }

  /** The old form of what is in the node; undefined while there is no node. `stored` may hold more than rooms. */
  async asStorage(service: PubSubService, stored: string | undefined): Promise<string | undefined> {
    const node = await this.#node(service);
    if (node === undefined) return undefined;
    const storage = new Element("storage", ns.bookmarkStorage);
    for (const item of (await this.#items(node)).reverse()) {
      const conference = oldForm(item);
      if (conference !== undefined) storage.append(conference);
    }
    const others = stored === undefined ? [] : parseElement(stored, "").elements();
    storage.append(...others.filter((element) => element.name !== "conference"));
    return storage.toXml();
  }

  /** An old client has stored its bookmarks: the node follows. */
  async stored(service: PubSubService, owner: Jid, storage: Element): Promise<readonly Effect[]> {
    return this.#change(service, owner, conferencesIn(storage));
  }

  async #change(service: PubSubService, owner: Jid, bookmarks: readonly Bookmark[]): Promise<Effect[]> {
    let node = await this.#node(service);
    if (node === undefined) {
      if (bookmarks.length === 0) return [];
      node = await this.#publishing.make(service, ns.bookmarks, owner, configuration);
    }
    const before = new Map((await this.#items(node)).map((item) => [item.id, item]));
    const effects: Effect[] = [];
    for (const { id, element } of bookmarks.slice(0, this.#core.settings.maxItems)) {
      const item = before.get(id);
      const was = item === undefined ? undefined : newForm(item);
      before.delete(id);
      // What only the new form holds stays.
      const extensions = was?.child("extensions");
      if (extensions !== undefined) element.append(extensions);
      if (was !== undefined && was.toXml() === element.toXml()) continue;
      const given = this.#publishing.given(id, [element]);
      effects.push(...(await this.#publishing.publishOn(service, node, owner, [given])));
    }
    const gone = [...before.keys()];
    if (gone.length > 0) {
      for (const id of gone) await this.#core.store.retract(node.id, [id]);
      effects.push(...(await this.#core.notifier.toAll(service, node, retractEvent(node.name, gone))));
    }
    return effects;
  }
}

/** The rooms of the old form, in the new one. One without an address, or named before, is left out. */
function conferencesIn(storage: Element): Bookmark[] {
  const bookmarks = new Map<string, Bookmark>();
  for (const conference of storage.childrenNamed("conference", ns.bookmarkStorage)) {
    const id = parseJid(conference.attr("jid") ?? "")?.bare;
    if (id === undefined || bookmarks.has(id)) continue;
    const autojoin = conference.attr("autojoin");
    const element = conferenceElement(ns.bookmarks, {
      name: conference.attr("name"),
      autojoin: autojoin === "1" || autojoin === "true",
      nick: conference.childText("nick"),
      password: conference.childText("password"),
    });
    bookmarks.set(id, { id, element });
  }
  return [...bookmarks.values()];
}

interface Conference {
  readonly name: string | undefined;
  readonly autojoin: boolean;
  readonly nick: string | undefined;
  readonly password: string | undefined;
}

function conferenceElement(namespace: string, { name, autojoin, nick, password }: Conference): Element {
  const element = new Element("conference", namespace, { name, autojoin: autojoin ? "true" : undefined });
  if (nick !== undefined) element.append(new Element("nick", namespace, {}, [nick]));
  if (password !== undefined) element.append(new Element("password", namespace, {}, [password]));
  return element;
}

function conferenceOf(item: Item): Element | undefined {
  const element = item.payload === "" ? undefined : parseElement(item.payload, "");
  return element?.is("conference", ns.bookmarks) === true ? element : undefined;
}

function readConference(element: Element): Conference {
  const autojoin = element.attr("autojoin");
  return {
    name: element.attr("name"),
    autojoin: autojoin === "1" || autojoin === "true",
    nick: element.childText("nick"),
    password: element.childText("password"),
  };
}

/** An item as `conferencesIn` would make it, so that both can be compared. */
function newForm(item: Item): Element | undefined {
  const element = conferenceOf(item);
  if (element === undefined) return undefined;
  const form = conferenceElement(ns.bookmarks, readConference(element));
  return form.append(element.child("extensions"));
}

function oldForm(item: Item): Element | undefined {
  const element = conferenceOf(item);
  return element === undefined
    ? undefined
    : conferenceElement(ns.bookmarkStorage, readConference(element)).set("jid", item.id);
}
