/** A story in which nodes say to each other all that they can say: what is recorded of it are the fixtures. Nothing in it depends on time. */
import type { Discovery } from "../../../src/cluster/discovery/discovery.ts";
import { carbons } from "../../../src/modules/carbons.ts";
import { csi } from "../../../src/modules/csi.ts";
import { disco } from "../../../src/modules/disco.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { muc } from "../../../src/modules/muc/muc.ts";
import { offline } from "../../../src/modules/offline/offline.ts";
import { presence } from "../../../src/modules/presence.ts";
import { blocking } from "../../../src/modules/privacy/blocking.ts";
import { roster } from "../../../src/modules/roster/roster.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { adminCluster } from "../../../src/server/cluster/admin-view.ts";
import { ns } from "../../../src/stanza/ns.ts";
import { ClusterTalk, quiet, TalkClient, type TalkNode } from "../../support/cluster-talk.ts";
import { WireTap } from "../../support/wire.ts";
import { configure, enter, room, say } from "../muc/rooms.ts";

export const storyModules = [streamManagement, blocking, carbons, csi, disco, mam, offline, roster, presence, muc];

/** Resolves to what was said, by kind. */
export async function tellStory(): Promise<Map<string, Uint8Array>> {
  const talk = await ClusterTalk.start(0, storyModules);
  const tap = new WireTap(talk.network);
  for (const number of [1, 2, 3]) await talk.addNode(number);
  await talk.settle(3_000);
  for (const name of ["alice", "bob"]) await talk.account(name);
  await sessions(talk);
  await rooms(talk);
  await administration(talk);
  await losses(talk);
  await ends(talk);
  await talk.stop();
  return tap.samples;
}

async function sessions(talk: ClusterTalk): Promise<void> {
  const [one, two, three] = talk.nodes as [TalkNode, TalkNode, TalkNode];
  const alice = await talk.login(one, "alice@localhost/phone");
  const bob = await talk.login(two, "bob@localhost/desk");
  for (const [from, type, to] of [
    [alice, "subscribe", "bob"],
    [bob, "subscribed", "alice"],
    [bob, "subscribe", "alice"],
    [alice, "subscribed", "bob"],
  ] as const) {
    await from.sends(`<presence type='${type}' to='${to}@localhost'/>`);
    await talk.settle();
  }
  await alice.sends("<presence><show>away</show><priority>5</priority></presence>");
  await alice.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  await alice.sends("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block></iq>");
  await bob.sends("<presence type='probe' to='alice@localhost'/>");
  await bob.sends("<message type='chat' to='alice@localhost/phone'><body>to her phone</body></message>");
  await alice.sends(`<iq type='set' id='q'><query xmlns='${ns.mam}'/></iq>`);
  await talk.settle();
  // The address is bound anew elsewhere.
  const again = new TalkClient(talk, "bob@localhost/desk");
  await talk.passing(again.bind(three));
  // She goes on at another node, with something that has not reached her.
  await alice.breaks();
  await again.sends("<message type='chat' to='alice@localhost'><body>missed</body></message>");
  await talk.settle();
  await alice.resumes(two);
  await talk.settle();
}

async function rooms(talk: ClusterTalk): Promise<void> {
  const home = talk.nodes.find((node) => node.cluster.placement("muc").home(room) === undefined)!;
  const other = talk.nodes.find((node) => node !== home)!;
  const alice = await talk.login(other, "alice@localhost/room", false);
  const bob = await talk.login(home, "bob@localhost/room", false);
  await alice.sends(enter("Alice"));
  await talk.settle();
  const fields = {
    "muc#roomconfig_persistentroom": "1",
    "muc#roomconfig_enablelogging": "1",
    "muc#roomconfig_moderatedroom": "1",
  };
  await alice.sends(configure(fields));
  await talk.settle();
  await bob.sends(enter("Bob"));
  await talk.settle();
  await alice.sends(
    `<iq type='set' id='v' to='${room}'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='Bob' role='participant'/></query></iq>`,
  );
  await alice.sends(`<message type='groupchat' to='${room}'><subject>What for</subject></message>`);
  await bob.sends(say("in the room"));
  await talk.settle();
  await talk.passing(home.cluster.moveThings(() => false, Number.POSITIVE_INFINITY));
  await talk.passing(other.cluster.placement("muc").askOthers({ wire: "nothing that anybody answers" }));
  await talk.settle();
}

async function administration(talk: ClusterTalk): Promise<void> {
  const [one, two] = talk.nodes as [TalkNode, TalkNode];
  two.cluster.answerAdmin = async () => new TextEncoder().encode(JSON.stringify({ result: { registered: true } }));
  two.cluster.answerMetrics = async () => "meerkat_sessions 1\n";
  const registry = { standing: { is: "registered" }, others: [], list: async () => [] } as unknown as Discovery;
  const drain = async () => ({ rooms: 0, moved: 0, closed: 0 });
  const view = adminCluster({ cluster: one.cluster, discovery: registry, log: quiet, draining: () => false, drain });
  await talk.passing(view.at(2, "account", "checkAccount", { user: "alice@localhost" }));
  await talk.passing(one.cluster.metricsOf(2, 1_000));
  // Of a kind that nobody knows.
  const channel = one.cluster.fabric.channel(one.cluster.callsChannel);
  await talk.passing(channel.request(2, Uint8Array.of(250), 1_000).catch(() => undefined));
}

async function losses(talk: ClusterTalk): Promise<void> {
  const [one, two] = talk.nodes as [TalkNode, TalkNode];
  const clients: TalkClient[] = [];
  for (const node of [one, two])
    clients.push((await talk.login(node, `alice@localhost/${node.number}`, false)).patient());
  talk.network.weather.loss = 0.3;
  for (let round = 0; round < 60; round++) {
    for (const [at, client] of clients.entries()) {
      void client.sends(`<message to='alice@localhost/${2 - at}'><body>${round}</body></message>`);
      await client.sends(`<presence><priority>${round}</priority></presence>`);
    }
    void one.cluster.told();
    await talk.settle(20);
  }
  talk.network.weather.loss = 0;
  await talk.settle(5_000);
}

async function ends(talk: ClusterTalk): Promise<void> {
  // One is taken out, one dies, and one comes that takes all in.
  const [one, two] = talk.nodes as [TalkNode, TalkNode];
  await talk.drain(one);
  const four = await talk.addNode(4);
  await talk.settle(3_000);
  talk.kill(two);
  await talk.settle(12_000);
  // Who was there last has the least to clean up with.
  talk.kill(four);
  await talk.settle(12_000);
}
