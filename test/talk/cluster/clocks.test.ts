/** Nodes whose clocks do not agree: what archives have stays in the order in which it was said. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Discovery } from "../../../src/cluster/discovery/discovery.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { muc } from "../../../src/modules/muc/muc.ts";
import { presence } from "../../../src/modules/presence.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { diagnose } from "../../../src/server/cluster/diagnosis.ts";
import { ns } from "../../../src/stanza/ns.ts";
import { ClusterTalk, type ClusterTalkOptions, type TalkClient, type TalkNode } from "../../support/cluster-talk.ts";
import { configure, enter, room, say } from "../muc/rooms.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

async function start(options: ClusterTalkOptions = {}) {
  talk = await ClusterTalk.start(3, [streamManagement, mam, muc, presence], options);
  for (const name of ["alice", "bob"]) await talk.account(name);
}

const homeOf = (): TalkNode =>
  talk.nodes.find((node) => !node.gone && node.cluster.placement("muc").home(room) === undefined)!;

/** What the archive has, in the order of its ids. */
async function archived(client: TalkClient, to = ""): Promise<(string | undefined)[]> {
  client.takes();
  await client.sends(`<iq type='set' id='q'${to}><query xmlns='${ns.mam}'/></iq>`);
  await talk.settle(100);
  const results = client.takes().filter((stanza) => stanza.has("result", ns.mam));
  return results.map((stanza) => /<body>(.*?)<\/body>/.exec(stanza.inner)?.[1]).filter((body) => body !== undefined);
}

/** Alice, whose room lives on a node that is an hour ahead, and Bob on another. */
async function inRoom(options?: ClusterTalkOptions) {
  await start(options);
  const home = homeOf();
  home.machine.skewMs = 3_600_000;
  const other = talk.nodes.find((node) => node !== home)!;
  const alice = await talk.login(other, "alice@localhost/phone", false);
  await alice.sends(enter("Alice"));
  await talk.settle();
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1", "muc#roomconfig_enablelogging": "1" }));
  await talk.settle();
  for (const text of ["one", "two"]) await alice.sends(say(text));
  await talk.settle();
  return { home, alice };
}

describe("a room whose node's clock is an hour ahead", () => {
  test("goes on at a node that is right, and what is said there comes behind what was said before", async () => {
    const { home, alice } = await inRoom();
    expect((await talk.drain(home)).rooms).toBe(1);
    for (const text of ["three", "four"]) await alice.sends(say(text));
    await talk.settle();
    expect(await archived(alice, ` to='${room}'`)).toEqual(["one", "two", "three", "four"]);
  });

  test.each([20, 0])("rests, and wakes at a node that is right (%i messages remembered)", async (remembered) => {
    const { home, alice } = await inRoom({ mod_muc: { history_size: remembered } });
    await alice.sends(`<presence type='unavailable' to='${room}/Alice'/>`);
    await talk.settle();
    await talk.drain(home);
    await alice.sends(enter("Alice"));
    await talk.settle();
    for (const text of ["three", "four"]) await alice.sends(say(text));
    await talk.settle();
    expect(await archived(alice, ` to='${room}'`)).toEqual(["one", "two", "three", "four"]);
  });
});

test("users' archives follow the clock that is ahead, as far as that is credible", async () => {
  await start();
  const [one, two, three] = talk.nodes;
  one!.machine.skewMs = 20_000;
  await talk.settle(1_500);
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  for (let round = 0; round < 3; round++) {
    await alice.sends(`<message type='chat' to='bob@localhost'><body>question ${round}</body></message>`);
    await talk.settle();
    await bob.sends(`<message type='chat' to='alice@localhost'><body>answer ${round}</body></message>`);
    await talk.settle();
  }
  const said = [0, 1, 2].flatMap((round) => [`question ${round}`, `answer ${round}`]);
  expect(await archived(alice)).toEqual(said);
  expect(await archived(bob)).toEqual(said);

  three!.machine.skewMs = 3_600_000;
  await talk.settle(1_500);
  expect(two!.cluster.aheadMs).toBeGreaterThan(18_000);
  expect(two!.cluster.aheadMs).toBeLessThanOrEqual(20_000);
  const registry = { standing: { is: "registered" }, others: [], list: async () => [] } as unknown as Discovery;
  const problems = await diagnose(two!.cluster, registry);
  const clocks = problems.flatMap((text) => /clock of node (n\d is \d+ s \w+)/.exec(text)?.[1] ?? []);
  expect(clocks.toSorted()).toEqual(["n1 is 20 s ahead", "n3 is 3600 s ahead"]);
});
