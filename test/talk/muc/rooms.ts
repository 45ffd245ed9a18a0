/** What conversations in rooms share: people enter, and what they are sent is told in one line each. */
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { muc } from "../../../src/modules/muc/muc.ts";
import { presence } from "../../../src/modules/presence.ts";
import type { Element } from "../../../src/xml/element.ts";
import { Conversation, type ConversationOptions, type Person } from "../../support/conversation.ts";

export const service = "conference.localhost";
export const room = `den@${service}`;
export const user = "http://jabber.org/protocol/muc#user";
export const admin = "http://jabber.org/protocol/muc#admin";
export const owner = "http://jabber.org/protocol/muc#owner";
export const forms = "jabber:x:data";
export const instant = `<iq type='set' id='open' to='${room}'><query xmlns='${owner}'><x xmlns='${forms}' type='submit'/></query></iq>`;

export interface Rooms {
  readonly talk: Conversation;
  readonly alice: Person;
  readonly bob: Person;
}

/** Options of the module in the file's names. */
export type Options = Readonly<Record<string, unknown>>;

export function start(options: Options = {}, more: Partial<ConversationOptions> = {}): Promise<Conversation> {
  const { modules = [], options: others = {}, ...rest } = more;
  return Conversation.start({
    ...rest,
    modules: [presence, ...modules, muc as ModuleDefinition],
    accounts: ["alice", "bob", "carol", "dave"],
    options: { ...others, mod_muc: { ...options } },
  });
}

export const enter = (nick: string, inside = "", to = room): string =>
  `<presence to='${to}/${nick}'><x xmlns='http://jabber.org/protocol/muc'>${inside}</x></presence>`;

/** An open room that alice owns, in which bob is; what they were sent on the way is taken. */
export async function inRoom(options: Options = {}, more: Parameters<typeof start>[1] = {}): Promise<Rooms> {
  const talk = await start(options, more);
  const alice = await talk.login("alice@localhost/phone");
  await alice.sends(enter("Alice"));
  await alice.sends(instant);
  const bob = await talk.login("bob@localhost/pc");
  await bob.sends(enter("Bob"));
  await alice.takes();
  await bob.takes();
  return { talk, alice, bob };
}

/** Submits a configuration form with these fields. */
export function configure(fields: Readonly<Record<string, string | readonly string[]>>, to = room): string {
  const shown = Object.entries(fields).map(([name, values]) => {
    const list = typeof values === "string" ? [values] : values;
    return `<field var='${name}'>${list.map((value) => `<value>${value}</value>`).join("")}</field>`;
  });
  return `<iq type='set' id='cfg' to='${to}'><query xmlns='${owner}'><x xmlns='${forms}' type='submit'>
    <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>${shown.join("")}</x></query></iq>`;
}

export const adminSet = (items: string, to = room): string =>
  `<iq type='set' id='adm' to='${to}'><query xmlns='${admin}'>${items}</query></iq>`;
export const adminGet = (item: string, to = room): string =>
  `<iq type='get' id='list' to='${to}'><query xmlns='${admin}'>${item}</query></iq>`;

export const invite = (to: string): string =>
  `<message to='${room}'><x xmlns='${user}'><invite to='${to}'/></x></message>`;

/** Of an answer to `adminGet`. */
export const items = (answer: Element): readonly Element[] => answer.child("query", admin)!.childrenNamed("item");

export const say = (text: string, to = room): string =>
  `<message type='groupchat' id='m1' to='${to}'><body>${text}</body></message>`;

/**
 * A stanza in one line: kind, type, nickname (or whole address outside of the room), what it says. For example
 * `presence Bob member participant 110 100`, `message groupchat Bob hello`, `iq error not-allowed`.
 */
export function told(stanza: Element): string {
  const from = stanza.attr("from") ?? "";
  const words = [stanza.name];
  if (stanza.attr("type") !== undefined) words.push(stanza.attr("type")!);
  if (stanza.name !== "iq") words.push(from.startsWith(`${room}/`) ? from.slice(room.length + 1) : from);
  const x = stanza.child("x", user);
  const item = x?.child("item");
  if (item !== undefined) {
    words.push(item.attr("affiliation")!);
    if (item.attr("role") !== undefined) words.push(item.attr("role")!);
    if (item.attr("jid") !== undefined) words.push(item.attr("jid")!);
    if (item.attr("nick") !== undefined) words.push(`nick=${item.attr("nick")}`);
    if (item.child("actor") !== undefined) words.push(`by=${item.child("actor")!.attr("nick")}`);
    if (item.child("reason") !== undefined) words.push(`(${item.child("reason")!.text()})`);
  }
  for (const status of x?.childrenNamed("status") ?? []) words.push(status.attr("code")!);
  if (x?.child("destroy") !== undefined) words.push(`destroyed ${x.child("destroy")!.attr("jid") ?? ""}`.trim());
  const client = "jabber:client";
  for (const name of ["body", "show", "status"]) {
    const text = stanza.childText(name, client);
    if (text !== undefined) words.push(text);
  }
  const subject = stanza.child("subject", client);
  if (subject !== undefined) words.push(`subject:${subject.text()}`);
  const error = stanza.child("error", client);
  if (error !== undefined) words.push(error.elements()[0]!.name);
  return words.join(" ");
}

/** Everything a person got so far, told. */
export async function hears(person: Person): Promise<string[]> {
  return (await person.takes()).map(told);
}

/** What comes back for an IQ alone. */
export async function asks(person: Person, iq: string): Promise<Element> {
  await person.takes();
  await person.sends(iq);
  return (await person.takes()).find((stanza) => stanza.name === "iq")!;
}
