/** What conversations in MUC Light rooms share: rooms are made, and what people are sent is told in one line each. */
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { mucLight } from "../../../src/modules/muc-light/muc-light.ts";
import { presence } from "../../../src/modules/presence.ts";
import type { Element } from "../../../src/xml/element.ts";
import { Conversation, type ConversationOptions, type Person } from "../../support/conversation.ts";

export const service = "muclight.localhost";
export const room = `den@${service}`;
export const light = "urn:xmpp:muclight:0";
const client = "jabber:client";

/** Options of the module in the file's names. */
export type Options = Readonly<Record<string, unknown>>;

export function start(options: Options = {}, more: Partial<ConversationOptions> = {}): Promise<Conversation> {
  const { modules = [], options: others = {}, ...rest } = more;
  return Conversation.start({
    modules: [presence, ...modules, mucLight as ModuleDefinition],
    accounts: ["alice", "bob", "carol", "dave"],
    ...rest,
    options: { ...others, mod_muc_light: { ...options } },
  });
}

export const user = (name: string, affiliation: string): string =>
  `<user affiliation='${affiliation}'>${name.includes("@") ? name : `${name}@localhost`}</user>`;

export const request = (type: "get" | "set", what: string, inside = "", to = room, id = "r1"): string =>
  `<iq type='${type}' id='${id}' to='${to}'><query xmlns='${light}#${what}'>${inside}</query></iq>`;

export const creation = (occupants: string, fields = "", to = room): string =>
  request(
    "set",
    "create",
    `<configuration>${fields}</configuration><occupants>${occupants}</occupants>`,
    to,
    "create1",
  );

export const affiliations = (...users: string[]): string =>
  request("set", "affiliations", users.join(""), room, "aff1");
export const configuration = (fields: string): string => request("set", "configuration", fields, room, "cfg1");
export const say = (text: string, to = room): string =>
  `<message type='groupchat' id='m1' to='${to}'><body>${text}</body></message>`;

/** Somebody who is there; his own presence is taken. */
export async function online(talk: Conversation, address: string, priority = 0): Promise<Person> {
  const person = await talk.online(address, priority);
  for (const each of talk.people) if (each.session.account.bare === person.session.account.bare) await each.takes();
  return person;
}

export interface Den {
  readonly talk: Conversation;
  readonly alice: Person;
  readonly bob: Person;
  readonly carol: Person;
}

/** A room that alice owns and bob is a member of; carol is outside. What they were sent on the way is taken. */
export async function den(options: Options = {}, more: Parameters<typeof start>[1] = {}): Promise<Den> {
  const talk = await start(options, more);
  const alice = await online(talk, "alice@localhost/phone");
  const bob = await online(talk, "bob@localhost/pc");
  const carol = await online(talk, "carol@localhost/tablet");
  await alice.sends(creation(user("bob", "member")));
  for (const person of [alice, bob, carol]) await person.takes();
  return { talk, alice, bob, carol };
}

/**
 * A stanza in one line. For example `iq result`, `iq error not-allowed`, `alice@localhost says hello`,
 * `affiliations random1>random2 owner:alice member:bob`, `configuration >random2 subject=tea`.
 */
export function told(stanza: Element): string {
  const from = stanza.attr("from") ?? "";
  const error = stanza.child("error", client);
  if (error !== undefined) return `${stanza.name} error ${error.elements()[0]!.name}`;
  if (stanza.name !== "message") {
    const query = stanza.elements()[0];
    return [stanza.name, stanza.attr("type"), query === undefined ? "" : inside(query)].join(" ").trim();
  }
  const words: string[] = [];
  if (from !== room) words.push(from.startsWith(`${room}/`) ? from.slice(room.length + 1) : from);
  for (const x of stanza.childrenNamed("x", `${light}#affiliations`)) words.push(inside(x));
  for (const x of stanza.childrenNamed("x", `${light}#configuration`)) words.push(inside(x));
  if (stanza.child("x", `${light}#destroy`) !== undefined) words.push("destroyed");
  const body = stanza.childText("body", client);
  if (body === undefined) words.push("no body");
  else if (body !== "") words.push(`says ${body}`);
  return words.join(" ");
}

function inside(element: Element): string {
  const words = [element.ns.startsWith(light) ? element.ns.slice(light.length + 1) : element.name];
  const version = element.childText("version");
  const previous = element.childText("prev-version");
  if (previous !== undefined || version !== undefined) words.push(`${previous ?? ""}>${version ?? ""}`);
  words.push(...listed(element));
  return words.join(" ");
}

function listed(element: Element): string[] {
  return element.elements().flatMap((child) => {
    const { name } = child;
    if (name === "version" || name === "prev-version") return [];
    if (name === "occupants" || name === "configuration") return [`${name}(${listed(child).join(" ")})`];
    const mark = child.attr("affiliation") ?? child.attr("action");
    if (mark !== undefined)
      return [`${name === "user" ? "" : `${name}:`}${mark}:${child.text().replace("@localhost", "")}`];
    return [`${name}=${child.text()}`];
  });
}

/** Everything a person got so far, told. */
export async function hears(person: Person): Promise<string[]> {
  return (await person.takes()).map(told);
}

/** The same with every version as `v`. */
export async function hearsOf(person: Person): Promise<string[]> {
  return (await hears(person)).map((line) => line.replace(/random\d+/g, "v"));
}
