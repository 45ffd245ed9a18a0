/** Talking to inboxes (mod_inbox) in conversations. */
import { expect } from "bun:test";
import type { Element } from "../../src/xml/element.ts";
import { field } from "./archive-talk.ts";
import type { Person } from "./conversation.ts";

export const inboxNs = "erlang-solutions.com:xmpp:inbox:0";
export const conversationNs = `${inboxNs}#conversation`;
const rsm = "http://jabber.org/protocol/rsm";
const stanzaErrors = "urn:ietf:params:xml:ns:xmpp-stanzas";

export interface InboxAnswer {
  /** Each conversation in one line: `bob@localhost 2 hello`, then what is unusual: the box, `muted`. */
  readonly lines: readonly string[];
  readonly results: readonly Element[];
  readonly first: string | undefined;
  readonly last: string | undefined;
  /** `<count/>`, `<unread-messages/>`, `<active-conversations/>`. */
  readonly counts: readonly number[];
}

export { field };

/** Asks for the inbox and reads its answer: messages, then the result that ends them. Throws an error's condition and text. */
export async function inboxOf(person: Person, fields = "", set = "", queryid = "queryid='q1'"): Promise<InboxAnswer> {
  await person.takes();
  const form =
    fields === ""
      ? ""
      : `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${inboxNs}</value></field>${fields}</x>`;
  const pages = set === "" ? "" : `<set xmlns='${rsm}'>${set}</set>`;
  await person.sends(`<iq type='set' id='i1'><inbox xmlns='${inboxNs}' ${queryid}>${form}${pages}</inbox></iq>`);
  const got = await person.takes();
  const end = got.pop()!;
  if (end.attr("type") === "error") throw new Error(errorIn(end));
  expect([end.name, end.attr("type"), end.attr("id")]).toEqual(["iq", "result", "i1"]);
  const fin = end.child("fin", inboxNs)!;
  const page = fin.child("set", rsm)!;
  const results = got.map((message) => {
    const { account, jid } = person.session;
    expect([message.attr("from"), message.attr("to")]).toEqual([account.bare, jid.full]);
    const result = message.child("result", inboxNs)!;
    expect(result.attr("queryid")).toBe(queryid === "" ? "i1" : "q1");
    return result;
  });
  return {
    lines: results.map((result) => line(person, result)),
    results,
    first: page.childText("first"),
    last: page.childText("last"),
    counts: ["count", "unread-messages", "active-conversations"].map((name) => Number(fin.childText(name))),
  };
}

function line(person: Person, result: Element): string {
  const message = lastIn(result);
  const bare = (name: string) => message.attr(name)?.split("/")[0];
  const peer = bare("from") === person.session.account.bare ? bare("to") : bare("from");
  const unread = result.attr("unread")!;
  expect(result.childText("read")).toBe(String(unread === "0"));
  const box = result.childText("box")!;
  expect(result.childText("archive")).toBe(String(box === "archive"));
  const words = [peer, unread, message.childText("body") ?? message.elements()[0]?.name];
  if (box !== "inbox") words.push(box);
  if (result.childText("mute") !== "0") words.push("muted");
  return words.join(" ");
}

/** The last message, inside a result or a whole entry. */
export function lastIn(result: Element): Element {
  return result.child("forwarded", "urn:xmpp:forward:0")!.child("message", "jabber:client")!;
}

/** `condition type text` of an error stanza. */
export function errorIn(stanza: Element): string {
  const error = stanza.child("error")!;
  const condition = error.elements().find((child) => child.ns === stanzaErrors && child.name !== "text")!;
  return `${condition.name} ${error.attr("type")} ${error.child("text", stanzaErrors)?.text() ?? ""}`.trim();
}

/** Sets properties of a conversation; returns what the client got, the answer last. */
export async function sets(person: Person, jid: string, properties: string): Promise<Element[]> {
  await person.takes();
  await person.sends(`<iq type='set' id='s1'><query xmlns='${conversationNs}' ${jid}>${properties}</query></iq>`);
  return person.takes();
}
