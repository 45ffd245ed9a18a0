/** XEP-0215: services of the configuration, with credentials of the moment, for users of the host. */
import { afterEach, describe, expect, test } from "bun:test";
import { extdisco, withCredentials } from "../../src/modules/extdisco.ts";
import { Conversation } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

const service = [
  { type: "stun", host: "stun.shakespeare.lit", port: 9998, transport: "udp" },
  { type: "turn", host: "relay.shakespeare.lit", port: 9999, transport: "udp", username: "nb", password: "jj<9" },
  { type: "turn", host: "relay.shakespeare.lit", port: 9998, transport: "tcp", username: "nb", password: "other" },
  { type: "turns", host: "192.0.2.1", port: 5349, transport: "tcp", secret: "north", ttl: 60 },
];
const stun = "<service type='stun' host='stun.shakespeare.lit' port='9998' transport='udp'/>";
const turn =
  "<service type='turn' host='relay.shakespeare.lit' port='9999' transport='udp' username='nb' password='jj&lt;9' restricted='1'/>";
const turnTcp =
  "<service type='turn' host='relay.shakespeare.lit' port='9998' transport='tcp' username='nb' password='other' restricted='1'/>";
const turns =
  "<service type='turns' host='192.0.2.1' port='5349' transport='tcp' username='*' password='*' expires='*' restricted='1'/>";

async function begin() {
  talk = await Conversation.start({ modules: [extdisco], options: { mod_extdisco: { service } } });
  return talk.login("alice@localhost/phone");
}

const ask = (inside: string) => `<iq type='get' id='1' to='localhost'>${inside}</iq>`;
const told = (inside: string) => `<iq type='result' id='1' from='localhost' to='alice@localhost/phone'>${inside}</iq>`;
const extdiscoNs = "xmlns='urn:xmpp:extdisco:2'";

describe("a user", () => {
  test("sees all services", async () => {
    const alice = await begin();
    await alice.sends(ask(`<services ${extdiscoNs}/>`));
    await alice.receives(told(`<services ${extdiscoNs}>${stun}${turn}${turnTcp}${turns}</services>`));
  });

  test("sees those of a type", async () => {
    const alice = await begin();
    await alice.sends(ask(`<services ${extdiscoNs} type='turn'/>`));
    await alice.receives(told(`<services ${extdiscoNs} type='turn'>${turn}${turnTcp}</services>`));
    await alice.sends(ask(`<services ${extdiscoNs} type='ftp'/>`));
    await alice.receives(told(`<services ${extdiscoNs} type='ftp'/>`));
  });

  test("gets credentials for a service", async () => {
    const alice = await begin();
    const credentials = (attributes: string) =>
      ask(`<credentials ${extdiscoNs}><service ${attributes}/></credentials>`);
    await alice.sends(credentials("host='relay.shakespeare.lit' type='turn'"));
    await alice.receives(told(`<credentials ${extdiscoNs}>${turn}${turnTcp}</credentials>`));
    await alice.sends(credentials("host='relay.shakespeare.lit' type='turn' port='9998'"));
    await alice.receives(told(`<credentials ${extdiscoNs}>${turnTcp}</credentials>`));
    for (const [attributes, condition] of [
      ["host='stun.shakespeare.lit' type='stun'", "item-not-found"],
      ["host='relay.shakespeare.lit' type='turn' port='1'", "item-not-found"],
      ["host='elsewhere' type='turn'", "item-not-found"],
      ["type='turn'", "bad-request"],
      ["host='relay.shakespeare.lit'", "bad-request"],
    ] as const) {
      await alice.sends(credentials(attributes));
      expect((await alice.takes())[0]!.child("error")!.firstElement()!.name).toBe(condition);
    }
    await alice.sends(ask(`<credentials ${extdiscoNs}/>`));
    expect((await alice.takes())[0]!.child("error")!.firstElement()!.name).toBe("bad-request");
  });

  test("gets new ones each time, from the secret", async () => {
    const alice = await begin();
    const seen = new Set<string>();
    for (let round = 0; round < 2; round++) {
      await alice.sends(ask(`<services ${extdiscoNs} type='turns'/>`));
      const [answer] = await alice.takes();
      const element = answer!.child("services", "urn:xmpp:extdisco:2")!.firstElement()!;
      const expires = Number(element.attr("username")!.split(":")[0]) * 1_000;
      expect(element.attr("username")).toEndWith(":alice@localhost");
      expect(Date.parse(element.attr("expires")!)).toBe(expires);
      expect(expires - talk.clock.now()).toBeWithin(58_000, 60_001);
      seen.add(element.attr("password")!);
      await talk.clock.advance(2_000);
    }
    expect(seen.size).toBe(2);
  });
});

test("users of other servers get nothing", async () => {
  await begin();
  const handler = talk.host.registry.findIq("get", "server", "urn:xmpp:extdisco:2", "services")!;
  expect(() => handler(undefined as never, { session: undefined } as never)).toThrow("forbidden");
});

test("credentials of TURN REST", () => {
  const configured = {
    ...{ type: "turn", host: "h", port: 1, transport: "udp", username: undefined, password: undefined },
    ...{ secret: "north", ttlMs: 3_600_000 },
  };
  expect(withCredentials(configured, "alice@localhost", 1_704_067_200_999)).toEqual({
    ...{ type: "turn", host: "h", port: 1, transport: "udp" },
    username: "1704070800:alice@localhost",
    password: "tk6A1ydwcNd1Erx8Nw0Ha7oKmHo=",
    expiresAt: 1_704_070_800_000,
  });
});

test("the service of the admin API", async () => {
  await begin();
  const list = talk.host.registry.service("externalServices")!.list;
  expect(list().map(({ type }) => type)).toEqual(["stun", "turn", "turn", "turns"]);
  const [relay] = list("turns");
  expect(relay!.username).toBe(String(relay!.expiresAt! / 1_000));
});
