/** XEP-0202 Entity Time and XEP-0092 Software Version. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { time, zoneText } from "../../src/modules/time.ts";
import { version } from "../../src/modules/version.ts";
import { Conversation } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function start(options: Record<string, unknown> = {}) {
  talk = await Conversation.start({ modules: [time, version], options: { mod_version: options } });
  return talk.login("alice@localhost/phone");
}

test("the time is the clock's, in UTC without fractions, with the zone's offset", async () => {
  const phone = await start();
  await talk.clock.advance(1_234 - (talk.clock.now() % 1000));
  await phone.sends("<iq type='get' id='t' to='localhost'><time xmlns='urn:xmpp:time'/></iq>");
  const [answer] = await phone.takes();
  const got = answer!.child("time", "urn:xmpp:time")!;
  expect(Date.parse(got.childText("utc")!)).toBe(Math.floor((talk.clock.now() - 20) / 1000) * 1000);
  expect(got.childText("utc")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  expect(got.childText("tzo")).toMatch(/^(Z|[+-]\d\d:\d\d)$/);
});

test("offsets are written as XEP-0082 wants them", () => {
  expect([0, -60, 360, -330, -345, 210].map(zoneText)).toEqual(["Z", "+01:00", "-06:00", "+05:30", "+05:45", "-03:30"]);
});

const ask = "<iq type='get' id='v' to='localhost'><query xmlns='jabber:iq:version'/></iq>";
const packageVersion = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;

test("the version is that of package.json, and the operating system is nobody's business", async () => {
  const phone = await start();
  await phone.sends(ask);
  await phone.receives(
    `<iq type='result' id='v' from='localhost' to='alice@localhost/phone'><query xmlns='jabber:iq:version'><name>Meerkat</name><version>${packageVersion}</version></query></iq>`,
  );
});

test("unless the operator says so", async () => {
  const phone = await start({ os_info: true });
  await phone.sends(ask);
  const [answer] = await phone.takes();
  expect(answer!.child("query", "jabber:iq:version")!.childText("os")).toMatch(/\w+ \d/);
});
