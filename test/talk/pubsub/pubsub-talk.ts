/** What conversations about publish-subscribe have in common. */
import { expect } from "bun:test";
import { caps } from "../../../src/modules/caps/caps.ts";
import { disco } from "../../../src/modules/disco.ts";
import { presence } from "../../../src/modules/presence.ts";
import { blocking } from "../../../src/modules/privacy/blocking.ts";
import { pubsub } from "../../../src/modules/pubsub/pubsub.ts";
import { roster } from "../../../src/modules/roster/roster.ts";
import { capsVersion, type DiscoInfo, discoInfoElement } from "../../../src/stanza/disco-info.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import { ns } from "../../../src/stanza/ns.ts";
import type { Element } from "../../../src/xml/element.ts";
import { Conversation, type ConversationOptions, type Person } from "../../support/conversation.ts";

export const service = "pubsub.localhost";

export function start(options: Partial<ConversationOptions> = {}): Promise<Conversation> {
  return Conversation.start({
    modules: [blocking, roster, presence, caps, pubsub, disco, ...(options.modules ?? [])],
    ...(options.accounts === undefined ? {} : { accounts: options.accounts }),
    ...(options.options === undefined ? {} : { options: options.options }),
    access: { all: "allow", ...options.access },
  });
}

/** Both see each other's presence. */
export async function befriend(talk: Conversation, first: string, second: string, groups: readonly string[] = []) {
  const a = { account: parseJid(`${first}@localhost`)!, groups };
  const b = { account: parseJid(`${second}@localhost`)!, groups };
  await talk.host.registry.service("roster")!.setMutual(a, b, "connect");
  await talk.settle();
}

/** Binds a resource whose client wants the events of these nodes, and sends presence. What came before is taken. */
export async function onlineWanting(talk: Conversation, address: string, ...nodes: readonly string[]): Promise<Person> {
  const person = await talk.login(address);
  await present(person, ...nodes);
  return person;
}

/** Sends presence with capabilities and explains them when asked; resolves with everything else that came. */
export async function present(person: Person, ...nodes: readonly string[]): Promise<Element[]> {
  const info: DiscoInfo = {
    identities: [{ category: "client", type: "pc", name: "Test" }],
    features: nodes.map((node) => `${node}+notify`).sort(),
    forms: [],
  };
  const hash = capsVersion(info, "sha-1");
  await person.sends(
    `<presence><c xmlns='${ns.caps}' hash='sha-1' node='urn:example:client' ver='${hash}'/></presence>`,
  );
  const others: Element[] = [];
  for (const stanza of await person.takes()) {
    if (stanza.child("query", ns.discoInfo) === undefined) others.push(stanza);
    else {
      await person.sends(
        `<iq type='result' id='${stanza.attr("id")}' to='localhost'>${discoInfoElement(info).text}</iq>`,
      );
    }
  }
  return [...others, ...(await person.takes())];
}

/** Sends a request of everybody's namespace and resolves with what came back. */
export function asks(person: Person, type: "get" | "set", inside: string, to?: string): Promise<Element> {
  return sent(person, type, `<pubsub xmlns='${ns.pubsub}'>${inside}</pubsub>`, to);
}

export function owns(person: Person, type: "get" | "set", inside: string, to?: string): Promise<Element> {
  return sent(person, type, `<pubsub xmlns='${ns.pubsubOwner}'>${inside}</pubsub>`, to);
}

let ids = 0;
const kept = new WeakMap<Person, Element[]>();

/** The answer to a request; other stanzas are kept for `events`. */
export async function sent(person: Person, type: "get" | "set", payload: string, to?: string): Promise<Element> {
  const id = `q${++ids}`;
  await person.sends(`<iq type='${type}' id='${id}'${to === undefined ? "" : ` to='${to}'`}>${payload}</iq>`);
  const all = await person.takes();
  const answer = all.find((stanza) => stanza.name === "iq" && stanza.attr("id") === id);
  if (answer === undefined) throw new Error(`no answer to ${payload}`);
  kept.set(person, [...(kept.get(person) ?? []), ...all.filter((stanza) => stanza !== answer)]);
  return answer;
}

/** Messages that have come since the last call. */
export async function events(person: Person): Promise<Element[]> {
  const all = [...(kept.get(person) ?? []), ...(await person.takes())];
  kept.set(person, []);
  return all.filter((stanza) => stanza.name === "message");
}

/** What the events that came are about, one text each: `NODE item ID`, `NODE retract ID`, `NODE delete` and so on. */
export async function told(person: Person): Promise<string[]> {
  const texts: string[] = [];
  for (const stanza of await events(person)) {
    for (const what of stanza.child("event", ns.pubsubEvent)?.elements() ?? []) {
      const node = what.attr("node");
      if (what.name !== "items") texts.push(`${node} ${what.name}`);
      for (const item of what.name === "items" ? what.elements() : []) {
        texts.push(`${node} ${item.name} ${item.attr("id")}`);
      }
    }
  }
  return texts;
}

/** The condition of an error, and that of XEP-0060 behind it. */
export function errorOf(answer: Element): string {
  expect(answer.attr("type")).toBe("error");
  return answer
    .child("error")!
    .elements()
    .filter((element) => element.name !== "text")
    .map((element) => element.name)
    .join(" ");
}

export function ok(answer: Element): Element {
  if (answer.attr("type") !== "result") throw new Error(answer.toXml());
  return answer;
}

export const field = (name: string, ...values: readonly string[]) =>
  `<field var='pubsub#${name}'>${values.map((value) => `<value>${value}</value>`).join("")}</field>`;

export const form = (type: string, ...fields: readonly string[]) =>
  `<x xmlns='${ns.dataForms}' type='submit'><field var='FORM_TYPE' type='hidden'><value>${ns.pubsub}#${type}</value></field>${fields.join("")}</x>`;

export const item = (id: string, text = id) => `<item id='${id}'><note xmlns='urn:example:note'>${text}</note></item>`;

export const publish = (node: string, items: string, ...options: readonly string[]) =>
  `<publish node='${node}'>${items}</publish>${
    options.length === 0 ? "" : `<publish-options>${form("publish-options", ...options)}</publish-options>`
  }`;

export const configure = (...fields: readonly string[]) => `<configure>${form("node_config", ...fields)}</configure>`;

/** The ids in an answer to a request for items. */
export function idsOf(answer: Element): string[] {
  const items = ok(answer).child("pubsub", ns.pubsub)!.child("items")!;
  return items.childrenNamed("item").map((one) => one.attr("id")!);
}
