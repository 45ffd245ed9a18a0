/** Personal nodes and push on several nodes that act as one server. */
import { afterEach, expect, test } from "bun:test";
import { caps } from "../../../src/modules/caps/caps.ts";
import { csi } from "../../../src/modules/csi.ts";
import { disco } from "../../../src/modules/disco.ts";
import { presence } from "../../../src/modules/presence.ts";
import { blocking } from "../../../src/modules/privacy/blocking.ts";
import { pubsub } from "../../../src/modules/pubsub/pubsub.ts";
import { roster } from "../../../src/modules/roster/roster.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { capsVersion, type DiscoInfo, discoInfoElement } from "../../../src/stanza/disco-info.ts";
import { ns } from "../../../src/stanza/ns.ts";
import { ClusterTalk, type TalkClient, type TalkNode } from "../../support/cluster-talk.ts";
import { item, publish } from "./pubsub-talk.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());
const tune = "http://jabber.org/protocol/tune";

async function start(): Promise<readonly TalkNode[]> {
  talk = await ClusterTalk.start(2, [streamManagement, blocking, roster, presence, caps, pubsub, disco, csi]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  return talk.nodes;
}

async function friends(one: TalkClient, other: TalkClient) {
  const [a, b] = [one, other].map((client) => client.session.account.bare);
  await one.sends(`<presence type='subscribe' to='${b}'/>`);
  await talk.settle();
  await other.sends(`<presence type='subscribed' to='${a}'/>`);
  await other.sends(`<presence type='subscribe' to='${a}'/>`);
  await talk.settle();
  await one.sends(`<presence type='subscribed' to='${b}'/>`);
  await talk.settle();
}

/** Presence with capabilities, explained when asked. */
async function wants(client: TalkClient, ...nodes: readonly string[]) {
  const info: DiscoInfo = {
    identities: [{ category: "client", type: "pc", name: "Test" }],
    features: nodes.map((node) => `${node}+notify`),
    forms: [],
  };
  const hash = capsVersion(info, "sha-1");
  await client.sends(`<presence><c xmlns='${ns.caps}' hash='sha-1' node='urn:x' ver='${hash}'/></presence>`);
  await talk.settle();
  for (const stanza of client.got) {
    if (stanza.kind !== "iq" || stanza.type !== "get") continue;
    await client.sends(`<iq type='result' id='${stanza.id}' to='localhost'>${discoInfoElement(info).text}</iq>`);
  }
  await talk.settle();
}

const events = (client: TalkClient) =>
  client
    .takes()
    .filter((stanza) => stanza.has("event", ns.pubsubEvent))
    .map((stanza) => {
      expect(stanza.elements().map((element) => element.name)).not.toContain("wanted");
      const items = stanza.child("event", ns.pubsubEvent)!.child("items")!;
      return `${stanza.to!.full} ${items.attr("node")} ${items.firstElement()!.attr("id")}`;
    });

const set = (inside: string) => `<iq type='set' id='s'><pubsub xmlns='${ns.pubsub}'>${inside}</pubsub></iq>`;

test("an event reaches the resources on other nodes that want it, and no others", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const own = await talk.login(two!, "alice@localhost/desk");
  const bob = await talk.login(two!, "bob@localhost/desk");
  const deaf = await talk.login(two!, "bob@localhost/deaf");
  await friends(alice, bob);
  await wants(own, tune);
  await wants(bob, tune);
  await wants(deaf, "urn:example:other");
  for (const client of [alice, own, bob, deaf]) client.takes();
  await alice.sends(set(publish(tune, item("a"))));
  await talk.settle();
  expect(events(bob)).toEqual([`bob@localhost/desk ${tune} a`]);
  expect(events(own)).toEqual([`alice@localhost/desk ${tune} a`]);
  expect(events(deaf)).toEqual([]);
  // A changed node is known on the other one, which had it in memory.
  await bob.sends(
    `<iq type='get' id='g' to='alice@localhost'><pubsub xmlns='${ns.pubsub}'><items node='${tune}'/></pubsub></iq>`,
  );
  await talk.settle();
  expect(bob.takes().find((stanza) => stanza.kind === "iq")!.type).toBe("result");
  await alice.sends(`<iq type='set' id='d'><pubsub xmlns='${ns.pubsubOwner}'><delete node='${tune}'/></pubsub></iq>`);
  await talk.settle();
  bob.takes();
  await bob.sends(
    `<iq type='get' id='h' to='alice@localhost'><pubsub xmlns='${ns.pubsub}'><items node='${tune}'/></pubsub></iq>`,
  );
  await talk.settle();
  expect(bob.takes().find((stanza) => stanza.kind === "iq")!.type).toBe("error");
});

test("who is let in gets the last item on another node, and blocks hold there", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  await wants(bob, tune);
  await alice.sends(set(publish(tune, item("a"))));
  await talk.settle();
  await friends(alice, bob);
  expect(events(bob)).toEqual([`bob@localhost/desk ${tune} a`]);
  await bob.sends(`<iq type='set' id='b'><block xmlns='${ns.blocking}'><item jid='alice@localhost'/></block></iq>`);
  await talk.settle();
  bob.takes();
  await alice.sends(set(publish(tune, item("b"))));
  await talk.settle();
  expect(events(bob)).toEqual([]);
});
