/** Messages between nodes that are lost on the way: what nodes ask each other comes to its end all the same, and once. */
import { afterEach, expect, test } from "bun:test";
import { offline } from "../../../src/modules/offline/offline.ts";
import { presence } from "../../../src/modules/presence.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { ClusterTalk } from "../../support/cluster-talk.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

async function start(seed = 7) {
  talk = await ClusterTalk.start(3, [streamManagement, offline, presence], {}, seed);
  for (const name of ["alice", "bob"]) await talk.account(name);
  return talk.nodes;
}

test("whoever was told of what is new in the tables of a node has it, though it was lost at first", async () => {
  const [, two, three] = await start();
  talk.network.cut(2, 3);
  const alice = (await talk.login(two!, "alice@localhost/phone", false)).session.account;
  talk.network.mend();
  let known: number | undefined;
  const told = two!.cluster.told()!.then(() => {
    known = three!.cluster.directory.count(alice);
  });
  await talk.passing(told);
  expect(known).toBe(1);
});

for (const lost of ["question", "answer"]) {
  test(`a session moves once, though the ${lost} to its new node is lost`, async () => {
    const [one, two, three] = await start();
    const alice = await talk.login(one!, "alice@localhost/phone");
    const bob = await talk.login(three!, "bob@localhost/desk", false);
    await alice.breaks();
    alice.takes();
    await bob.sends("<message type='chat' to='alice@localhost'><body>missed</body></message>");
    const { network } = talk;
    const carry = network.carry.bind(network);
    let losses = 0;
    network.carry = (from, to, envelope) => {
      const asks = from.number === 1 && to === 2 && Buffer.from(envelope).includes('"sessions":[');
      const answers = from.number === 2 && to === 1 && two!.core.router.sessions.size > 0;
      if (losses === 0 && (lost === "question" ? asks : answers)) losses++;
      else carry(from, to, envelope);
    };
    const moving = one!.cluster.mover.give([alice.session], 2);
    expect(await talk.passing(moving)).toBe(1);
    expect(losses).toBe(1);
    await talk.settle();
    expect([one, two, three].map((node) => node!.core.router.sessions.size)).toEqual([0, 1, 1]);
    expect(two!.cluster.mover.counters.in).toBe(1);
    expect(await alice.resumes(two!)).toBe(true);
    await bob.sends("<message type='chat' to='alice@localhost'><body>live</body></message>");
    await talk.settle();
    expect(alice.bodies()).toEqual(["missed", "live"]);
  });
}

test.each((process.env.LOSS_SEEDS ?? "1,2,3").split(",").map(Number))(
  "while a session moves on a network that loses, nothing of it is lost or doubled (seed %i)",
  async (seed) => {
    const nodes = await start(seed);
    const alice = await talk.login(nodes[0]!, "alice@localhost/phone");
    const senders = await Promise.all(nodes.map((node, at) => talk.login(node, `bob@localhost/${at}`, false)));
    alice.takes();
    for (const sender of senders) sender.patient();
    const sent = senders.map(() => 0);
    const busy = senders.map(() => false);
    Object.assign(talk.network.weather, { loss: 0.05, doubling: 0.02 });
    const load = talk.clock.every(10, () => {
      for (const [at, sender] of senders.entries()) {
        if (busy[at]) continue;
        busy[at] = true;
        const text = `<message type='chat' to='alice@localhost/phone'><body>${at} ${++sent[at]!}</body></message>`;
        void sender.sends(text).then(() => {
          busy[at] = false;
        });
      }
    });
    for (let round = 0; round < 8; round++) {
      await talk.settle(50);
      if (round % 3 === 0) await alice.breaks();
      expect(await alice.resumes(nodes[(round + 1) % 3]!)).toBe(true);
    }
    load.cancel();
    talk.network.weather.loss = 0;
    await talk.settle(2_500);
    const bodies = alice.bodies();
    for (const at of senders.keys()) {
      const of = bodies.filter((body) => body!.startsWith(`${at} `)).map((body) => Number(body!.slice(2)));
      expect(of).toEqual(Array.from({ length: sent[at]! }, (_, index) => index + 1));
      expect(of.length).toBeGreaterThan(10);
    }
    expect(nodes.map((node) => node.cluster.mover.counters.failed)).toEqual([0, 0, 0]);
  },
);
