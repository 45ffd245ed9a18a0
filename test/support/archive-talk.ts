/** Talking to archives (mod_mam) in conversations. */
import { expect } from "bun:test";
import type { Element } from "../../src/xml/element.ts";
import type { Person } from "./conversation.ts";

export const mamNs = "urn:xmpp:mam:2";
const ns = mamNs;
const rsm = "http://jabber.org/protocol/rsm";

export interface Answer {
  readonly bodies: readonly string[];
  readonly ids: readonly string[];
  readonly results: readonly Element[];
  readonly complete: boolean;
  readonly first: string | undefined;
  readonly last: string | undefined;
  readonly index: string | undefined;
  readonly count: string | undefined;
}

/** A field of a form. */
export const field = (name: string, ...values: string[]) =>
  `<field var='${name}'>${values.map((value) => `<value>${value}</value>`).join("")}</field>`;

/** Sends a query and reads its answer: messages, then the result that ends them. */
export async function query(
  person: Person,
  fields = "",
  set = "",
  { to = "", extra = "", id = "q" }: { to?: string; extra?: string; id?: string } = {},
): Promise<Answer> {
  await person.takes();
  const form =
    fields === ""
      ? ""
      : `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${ns}</value></field>${fields}</x>`;
  const pages = set === "" ? "" : `<set xmlns='${rsm}'>${set}</set>`;
  const address = to === "" ? "" : ` to='${to}'`;
  await person.sends(
    `<iq type='set' id='${id}'${address}><query xmlns='${ns}' queryid='f27'>${form}${pages}${extra}</query></iq>`,
  );
  const got = await person.takes();
  const end = got.pop()!;
  if (end.attr("type") === "error") throw new Error(end.child("error")!.elements()[0]!.name);
  expect([end.name, end.attr("type"), end.attr("id")]).toEqual(["iq", "result", id]);
  const fin = end.child("fin", ns)!;
  const page = fin.child("set", rsm)!;
  const results = got.map((message) => {
    const result = message.child("result", ns)!;
    expect(result.attr("queryid")).toBe("f27");
    expect(message.attr("from")).toBe(person.session.account.bare);
    return result;
  });
  return {
    bodies: results.map((result) => messageIn(result).childText("body") ?? ""),
    ids: results.map((result) => result.attr("id")!),
    results,
    complete: fin.attr("complete") === "true",
    first: page.childText("first"),
    last: page.childText("last"),
    index: page.child("first")?.attr("index"),
    count: page.childText("count"),
  };
}

/** The message inside a result. */
export function messageIn(result: Element): Element {
  return result.child("forwarded", "urn:xmpp:forward:0")!.child("message", "jabber:client")!;
}

/** The condition of the error that a query fails with. */
export async function failure(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => new Error("no error"),
    (thrown: Error) => thrown,
  );
  return error.message;
}
