/** Several nodes that act as one server: the house's side of it, over a simulated network. */
import { afterEach, expect, test } from "bun:test";
import { carbons } from "../../src/modules/carbons.ts";
import { mam } from "../../src/modules/mam/mam.ts";
import { offline } from "../../src/modules/offline/offline.ts";
import { presence } from "../../src/modules/presence.ts";
import { blocking } from "../../src/modules/privacy/blocking.ts";
import { roster } from "../../src/modules/roster/roster.ts";
import { streamManagement } from "../../src/modules/stream-management.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { ClusterTalk, TalkClient } from "../support/cluster-talk.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

async function start(nodes = 3) {
  talk = await ClusterTalk.start(nodes, [streamManagement, blocking, carbons, offline, roster, presence]);
  for (const name of ["alice", "bob", "carol"]) await talk.account(name);
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
  one.takes();
  other.takes();
}

const presences = (client: TalkClient) =>
  client
    .takes()
    .filter((stanza) => stanza.kind === "presence")
    .map((stanza) => `${stanza.from?.full} ${stanza.type ?? "available"}`);

test("a message to an account, to a resource, and a carbon cross nodes", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  const tablet = await talk.login(three!, "bob@localhost/tablet", false);
  await tablet.sends("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  await talk.settle();
  for (const client of [bob, tablet]) client.takes();
  await alice.sends("<message type='chat' to='bob@localhost'><body>to all</body></message>");
  await alice.sends("<message type='chat' to='bob@localhost/desk'><body>to one</body></message>");
  await talk.settle();
  expect(bob.bodies()).toEqual(["to all", "to one"]);
  const copies = tablet.takes();
  expect(copies.map((stanza) => stanza.has("received", "urn:xmpp:carbons:2"))).toEqual([true, true]);
  expect(alice.acknowledged).toBe(3);
});

test("contacts on other nodes see each other come and go, and what is blocked is blocked there too", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  await friends(alice, bob);
  await alice.sends("<presence type='unavailable'/>");
  await talk.settle();
  expect(presences(bob)).toEqual(["alice@localhost/phone unavailable"]);
  await alice.sends("<presence/>");
  await talk.settle();
  expect(presences(bob)).toEqual(["alice@localhost/phone available"]);
  expect(presences(alice)).toContain("bob@localhost/desk available");

  await bob.sends("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block></iq>");
  await talk.settle();
  alice.takes();
  await alice.sends("<message type='chat' id='m' to='bob@localhost'><body>hello?</body></message>");
  await talk.settle();
  expect(alice.takes().map((stanza) => stanza.type)).toEqual(["error"]);
  expect(bob.bodies()).toEqual([]);
});

test("an address bound on two nodes is the newer one's; the older gets <conflict/>", async () => {
  const [one, two] = await start();
  const old = await talk.login(one!, "alice@localhost/phone");
  const fresh = new TalkClient(talk, "alice@localhost/phone");
  let bound = false;
  const binding = fresh.bind(two!).then(() => {
    bound = true;
  });
  for (let rounds = 0; rounds < 100 && !bound; rounds++) await talk.settle(5);
  await binding;
  await talk.settle();
  expect(old.closedWith).toBe("conflict");
  expect(one!.core.router.sessions.size).toBe(0);
  expect(two!.core.router.sessions.size).toBe(1);
});

test("a session goes on at another node with all it had", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  await friends(alice, bob);
  await alice.breaks();
  await bob.sends("<message type='chat' to='alice@localhost'><body>missed</body></message>");
  await talk.settle();
  expect(alice.takes()).toEqual([]);
  expect(await alice.resumes(three!)).toBe(true);
  expect(alice.bodies()).toEqual(["missed"]);
  await bob.sends("<message type='chat' to='alice@localhost/phone'><body>live</body></message>");
  await talk.settle();
  expect(alice.bodies()).toEqual(["live"]);
  expect(presences(bob)).toEqual([]);
  expect(one!.core.router.sessions.size).toBe(0);
  const known = (node: (typeof talk.nodes)[number]) =>
    [...node.cluster.directory.counts().values()].reduce((a, b) => a + b);
  expect(talk.nodes.map(known)).toEqual([2, 2, 2]);
});

test("a session that waits for its client keeps so much and no more; then it ends, and what was for it waits elsewhere", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  await alice.breaks();
  const say = (id: number) =>
    bob.sends(
      `<message type='chat' to='alice@localhost' id='${id}'><body>${id} ${"x".repeat(500_000)}</body></message>`,
    );
  for (let id = 1; id <= 8; id++) await say(id);
  await talk.settle();
  expect(one!.core.keeper.resumptions.detached).toBe(1);
  await say(9);
  await talk.settle();
  expect(one!.core.keeper.resumptions.detached).toBe(0);
  await say(10);
  expect(await alice.resumes(two!)).toBe(false);
  const again = await talk.login(two!, "alice@localhost/phone");
  await talk.settle();
  expect(again.bodies().map((body) => body?.split(" ")[0])).toEqual([
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "10",
  ]);
});

test("while a session moves from node to node nothing is lost, doubled or overtaken", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const senders = await Promise.all(
    [one!, two!, three!].map((node, at) => talk.login(node, `bob@localhost/${at}`, false)),
  );
  alice.takes();
  for (const sender of senders) sender.patient();
  const sent = senders.map(() => 0);
  const busy = senders.map(() => false);
  // Each sends as soon as the server has taken what it sent before, at most every two milliseconds.
  const load = talk.clock.every(2, () => {
    for (const [at, sender] of senders.entries()) {
      if (busy[at]) continue;
      busy[at] = true;
      sent[at]!++;
      const body = `${at} ${sent[at]}`;
      void sender.sends(`<message type='chat' to='alice@localhost/phone'><body>${body}</body></message>`).then(() => {
        busy[at] = false;
      });
    }
  });
  for (let round = 0; round < 12; round++) {
    await talk.settle(20);
    if (round % 3 === 0) await alice.breaks();
    expect(await alice.resumes(talk.nodes[(round + 1) % 3]!)).toBe(true);
  }
  load.cancel();
  await talk.settle(200);
  const bodies = alice.bodies();
  for (const at of senders.keys()) {
    const of = bodies.filter((body) => body!.startsWith(`${at} `)).map((body) => Number(body!.slice(2)));
    expect(sent[at]).toBeGreaterThan(20);
    expect(of).toEqual(Array.from({ length: sent[at]! }, (_, index) => index + 1));
  }
});

test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
  "sessions that move on and on, those who write to them too: nothing is lost, doubled or overtaken (seed %i)",
  async (seed) => {
    const nodes = await start();
    const random = new SimRandom(seed);
    const below = (count: number) => random.uint32() % count;
    const people: TalkClient[] = [];
    for (const [at, name] of ["alice", "bob", "carol"].entries()) {
      people.push((await talk.login(nodes[at]!, `${name}@localhost/phone`)).patient());
    }
    const received = people.map(() => [] as string[]);
    const sent = new Map<string, number>();
    const busy = new Set<TalkClient>();
    /** To the account or to the resource: one of them for a pair, since only one way has an order. */
    const address = (from: number, to: number) => people[to]!.session.jid[(from + to) % 2 === 0 ? "full" : "bare"];
    const load = talk.clock.every(2, () => {
      for (const [from, sender] of people.entries()) {
        received[from]!.push(...(sender.bodies() as string[]));
        if (busy.has(sender) || !sender.attached) continue;
        const to = (from + 1 + below(2)) % 3;
        const way = `${from}-${to}`;
        sent.set(way, (sent.get(way) ?? 0) + 1);
        busy.add(sender);
        const text = `<message type='chat' to='${address(from, to)}'><body>${way} ${sent.get(way)}</body></message>`;
        void sender.sends(text).finally(() => busy.delete(sender));
      }
    });
    const resuming = new Set<TalkClient>();
    const moves = talk.clock.every(7, () => {
      for (const client of people) {
        if (!client.attached && !resuming.has(client)) {
          resuming.add(client);
          void client.resumes(nodes[below(3)]!).finally(() => resuming.delete(client));
        } else if (client.attached && below(6) === 0) {
          const target = nodes.filter((node) => node !== client.node)[below(2)]!;
          void client.node.cluster.mover.give([client.session], target.number);
        }
      }
    });
    await talk.settle(1_500);
    moves.cancel();
    load.cancel();
    await talk.settle(500);
    const resumed = people.filter(({ attached }) => !attached).map((client) => client.resumes(nodes[0]!));
    await talk.settle(300);
    expect(await Promise.all(resumed)).toEqual(resumed.map(() => true));
    const wrong: string[] = [];
    for (const [to, client] of people.entries()) {
      received[to]!.push(...(client.bodies() as string[]));
      for (const from of people.keys()) {
        if (from === to) continue;
        const way = `${from}-${to} `;
        const numbers = received[to]!.filter((body) => body.startsWith(way)).map((body) => Number(body.split(" ")[1]));
        expect(numbers.length).toBeGreaterThan(20);
        for (const [at, number] of numbers.entries()) {
          const before = numbers[at - 1] ?? 0;
          if (number !== before + 1) wrong.push(`${way}: ${number} after ${before}`);
        }
        if (numbers.length !== sent.get(way.trim())) wrong.push(`${way}: ${numbers.length} of ${sent.get(way.trim())}`);
      }
    }
    expect(wrong).toEqual([]);
  },
);

test("what is for a session that has come here meanwhile arrives, whether or not somebody waits for it", async () => {
  const [one, two] = await start(2);
  const alice = await talk.login(one!, "alice@localhost/phone");
  // As found before something was awaited, such as a filter that reads the database.
  const found = two!.core.router.resourceAt(alice.session.jid)!;
  await alice.breaks();
  expect(await alice.resumes(two!)).toBe(true);
  await talk.settle();
  alice.takes();
  const say = (body: string) =>
    stanzaFromFrame(
      parseFrame(`<message to='alice@localhost/phone'><body>${body}</body></message>`, undefined, ns.client),
    )!;
  const secured: Promise<void>[] = [];
  found.deliver(say("nobody waits"));
  found.deliver(say("somebody waits"), { secure: (stored) => void secured.push(stored) });
  await talk.settle();
  expect(alice.bodies()).toEqual(["nobody waits", "somebody waits"]);
  expect(await Promise.all(secured)).toEqual([undefined]);
});

test("an archive that is read at another node has what was on its way into it", async () => {
  talk = await ClusterTalk.start(3, [streamManagement, mam, presence]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  const bob = (await talk.login(talk.nodes[0]!, "bob@localhost/desk")).patient();
  const alice = (await talk.login(talk.nodes[2]!, "alice@localhost/phone", false)).patient();
  alice.takes();
  const sent = bob.sends("<message type='chat' to='alice@localhost'><body>just now</body></message>");
  // The message is in the hands of bob's node, and not in the database yet.
  const read = alice.sends("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
  await talk.settle(100);
  await Promise.all([sent, read]);
  const [result, fin] = alice.takes();
  expect(result?.inner).toContain("just now");
  expect(fin?.inner).toContain("complete='true'");
});

test("an archive says when a node that may hold something of it has not been heard (XEP-0313)", async () => {
  talk = await ClusterTalk.start(3, [streamManagement, mam, presence]);
  await talk.account("alice");
  const alice = (await talk.login(talk.nodes[2]!, "alice@localhost/phone", false)).patient();
  const asks = async () => {
    alice.takes();
    const read = alice.sends("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
    await talk.settle(1_500);
    await read;
    return alice.takes().at(-1)!.child("fin", "urn:xmpp:mam:2")!.attr("stable");
  };
  expect(await asks()).toBeUndefined();
  talk.nodes[0]!.machine.freeze();
  expect(await asks()).toBe("false");
  talk.nodes[0]!.machine.thaw();
  await talk.settle(100);
  expect(await asks()).toBeUndefined();
});

test("what a node of a version to come says is refused and counted, and nobody minds", async () => {
  const [one, two] = await start(2);
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  const future = Uint8Array.of(250, 1, 2, 3);
  const { fabric, link, callsChannel } = one!.cluster;
  const dealtWith = link.send(2, future, true);
  const refused = Promise.allSettled(
    [future, new Uint8Array(0)].map((it) => fabric.channel(callsChannel).request(2, it, 1_000)),
  );
  await talk.settle();
  await dealtWith;
  expect((await refused).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(two!.cluster.refused).toBe(3);
  await alice.sends("<message type='chat' to='bob@localhost/desk'><body>still there</body></message>");
  await talk.settle();
  expect(bob.bodies()).toEqual(["still there"]);
});

test("when a node dies its users are seen to leave, once, and what was for them is kept", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  const carol = await talk.login(three!, "carol@localhost/desk");
  await friends(alice, bob);
  await friends(alice, carol);
  talk.kill(one!);
  await bob.sends("<message type='chat' to='alice@localhost'><body>are you there?</body></message>");
  expect(bob.acknowledged).toBeLessThan(
    (bob.session.outlet as never as { describe(): { received: number } }).describe().received,
  );
  await talk.settle(8_000);
  expect(presences(bob)).toEqual(["alice@localhost/phone unavailable"]);
  expect(presences(carol)).toEqual(["alice@localhost/phone unavailable"]);
  const back = await talk.login(two!, "alice@localhost/phone");
  await talk.settle(200);
  expect(back.bodies()).toEqual(["are you there?"]);
  expect(presences(bob)).toEqual(["alice@localhost/phone available"]);
});

test("after a partition nobody logs in again, and each sees the other again", async () => {
  const [one, two] = await start(2);
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = await talk.login(two!, "bob@localhost/desk");
  await friends(alice, bob);
  talk.network.part([1], [2]);
  await talk.settle(8_000);
  expect(presences(bob)).toEqual(["alice@localhost/phone unavailable"]);
  expect(presences(alice)).toEqual(["bob@localhost/desk unavailable"]);
  await alice.sends("<message type='chat' to='bob@localhost'><body>kept</body></message>");
  await talk.settle();
  talk.network.mend();
  await talk.settle(5_000);
  expect(presences(alice)).toEqual(["bob@localhost/desk available"]);
  const got = bob.takes();
  expect(got.filter(({ kind }) => kind === "presence").map(({ type }) => type)).toEqual([undefined]);
  await alice.sends("<message type='chat' to='bob@localhost'><body>live</body></message>");
  await talk.settle();
  expect(bob.bodies()).toContain("live");
});

test("whoever gets the name of a removed account finds nothing that another node was still writing for the one before", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  const bob = parseJid("bob@localhost")!;
  const message = (body: string) => `<message type='chat' id='m' to='bob@localhost'><body>${body}</body></message>`;
  const sent = alice.patient().sends(message("for the one before"));
  await talk.clock.advanceSettling(0.1);
  expect(one!.core.writes.length).toBeGreaterThan(0);
  await talk.passing(two!.core.accounts.remove(bob));
  await sent;
  await talk.account("bob");
  expect((await talk.login(two!, "bob@localhost/desk")).bodies()).toEqual([]);
});

test("nothing is kept any more for an account that is being removed", async () => {
  const [one, two] = await start();
  const alice = await talk.login(one!, "alice@localhost/phone");
  await two!.core.accountRows.lock("localhost", "bob");
  alice.takes();
  await alice.sends("<message type='chat' id='m' to='bob@localhost'><body>hello?</body></message>");
  await talk.settle();
  expect(alice.takes().map((stanza) => stanza.type)).toEqual(["error"]);
  // A removal that was broken off can be repeated.
  await talk.passing(two!.core.accounts.remove(parseJid("bob@localhost")!));
  await talk.account("bob");
  expect((await talk.login(two!, "bob@localhost/desk")).bodies()).toEqual([]);
});
