import { expect, test } from "bun:test";
import { parseFrame } from "../xml/scanner.ts";
import { ns } from "./ns.ts";
import { message, presence, type Stanza, stanzaFromFrame } from "./stanza.ts";
import { StanzaBytesError, stanzaFromBytes, stanzaToBytes } from "./stanza-bytes.ts";

const head = new Uint8Array([9, 8, 7]);
const read = (text: string): Stanza => stanzaFromFrame(parseFrame(text, undefined, ns.client))!;

for (const text of [
  "<message from='a@x/1' to='b@x' type='chat' id='1' xml:lang='en'><body>Grüße, 你好 &amp; 😀</body><x xmlns='urn:x'/></message>",
  "<presence from='a@x/1'/>",
  "<iq from='a@x/1' to='x' type='get' id=\"'q&quot;\"><ping xmlns='urn:xmpp:ping'/></iq>",
  `<message to='b@x'><body>${"long ".repeat(30_000)}</body></message>`,
]) {
  test(`comes back as it went: ${text.slice(0, 60)}`, () => {
    const stanza = read(text);
    const bytes = stanzaToBytes(head, stanza);
    expect(bytes.slice(0, 3)).toEqual(head);
    const back = stanzaFromBytes(bytes, 3);
    expect(back.toXml()).toBe(stanza.toXml());
    expect(back.children).toEqual(stanza.children);
  });
}

test("an empty id is not the same as none", () => {
  expect(stanzaFromBytes(stanzaToBytes(head, message({ id: "" })), 3).id).toBe("");
  expect(stanzaFromBytes(stanzaToBytes(head, presence({})), 3).id).toBeUndefined();
});

test("garbage is refused", () => {
  const good = stanzaToBytes(new Uint8Array(0), read("<message from='a@x/1' to='b@x'/>"));
  expect(() => stanzaFromBytes(new Uint8Array(0), 0)).toThrow(StanzaBytesError);
  expect(() => stanzaFromBytes(new Uint8Array([7, 1, 1, 1, 1, 1]), 0)).toThrow(StanzaBytesError);
  expect(() => stanzaFromBytes(good.slice(0, 8), 0)).toThrow(StanzaBytesError);
  expect(() => stanzaFromBytes(new Uint8Array([0, 64, 1, 1, 1, 1, 1]), 0)).toThrow("address");
});
