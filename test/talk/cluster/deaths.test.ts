/** Nodes that die, or leave, in the middle of a step: what was on its way to them goes on elsewhere. */
import { afterEach, expect, test } from "bun:test";
import { muc } from "../../../src/modules/muc/muc.ts";
import { offline } from "../../../src/modules/offline/offline.ts";
import { presence } from "../../../src/modules/presence.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { deliverHead } from "../../../src/server/cluster/frames.ts";
import { ns } from "../../../src/stanza/ns.ts";
import { stanzaFromFrame } from "../../../src/stanza/stanza.ts";
import { stanzaToBytes } from "../../../src/stanza/stanza-bytes.ts";
import { parseFrame } from "../../../src/xml/scanner.ts";
import { ClusterTalk, type TalkClient, type TalkNode } from "../../support/cluster-talk.ts";
import { enter, instant, room, say } from "../muc/rooms.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

async function start(): Promise<[TalkNode, TalkNode, TalkNode]> {
  talk = await ClusterTalk.start(3, [streamManagement, offline, presence, muc]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  return talk.nodes as [TalkNode, TalkNode, TalkNode];
}

/** Lets time pass in the smallest steps. */
async function until(condition: () => boolean): Promise<void> {
  for (let steps = 0; !condition(); steps++) {
    if (steps > 100_000) throw new Error("it does not come to that");
    await talk.clock.advanceSettling(0.1);
  }
}

const stanza = (text: string) => stanzaFromFrame(parseFrame(text, undefined, ns.client))!;

test("a session whose new node dies when it has it, and has not said so, stays where it was", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one, "alice@localhost/phone");
  const bob = await talk.login(three, "bob@localhost/desk", false);
  await alice.breaks();
  alice.takes();
  await bob.sends("<message type='chat' to='alice@localhost'><body>missed</body></message>");
  const moving = one.cluster.mover.give([alice.session], 2);
  await until(() => one.cluster.directory.count(alice.session.account) > 0);
  talk.kill(two);
  expect(await talk.passing(moving)).toBe(0);
  expect(await alice.resumes(one)).toBe(true);
  expect(alice.bodies()).toEqual(["missed"]);
});

test("a room whose new node dies when it has it, and has not said so, finds another", async () => {
  const nodes = await start();
  const home = nodes.find((node) => node.cluster.placement("muc").home(room) === undefined)!;
  const clients: TalkClient[] = [];
  for (const [name, nick] of [
    ["alice", "Alice"],
    ["bob", "Bob"],
  ]) {
    const client = await talk.login(home, `${name}@localhost/pc`, false);
    await client.sends(enter(nick!));
    await talk.settle();
    if (name === "alice") await client.sends(instant);
    await talk.settle();
    clients.push(client);
  }
  const [alice, bob] = clients as [TalkClient, TalkClient];
  const moving = home.cluster.moveThings(() => false, Number.POSITIVE_INFINITY);
  let target: number | undefined;
  await until(() => {
    target = home.cluster.placement("muc").nodeOf(room);
    return target !== undefined;
  });
  talk.kill(nodes.find(({ number }) => number === target)!);
  expect(await talk.passing(moving)).toBe(1);
  for (const client of clients) client.takes();
  await alice.sends(say("still here"));
  await talk.settle();
  expect(bob.bodies()).toEqual(["still here"]);
});

test("sessions with more in their queues than one message between nodes can carry move all the same", async () => {
  const [one, two, three] = await start();
  const bob = await talk.login(three, "bob@localhost/desk", false);
  const clients: TalkClient[] = [];
  const quiet = await talk.login(one, "alice@localhost/quiet", false);
  quiet.acknowledges();
  for (const name of "abcdefgh") clients.push(await talk.login(one, `alice@localhost/${name}`, false));
  for (const client of clients) await client.breaks();
  const body = "x".repeat(450_000);
  for (const client of clients) {
    for (let count = 0; count < 4; count++)
      await bob.sends(`<message type='chat' to='${client.session.jid.full}'><body>${body}</body></message>`);
  }
  await talk.settle();
  const sessions = [quiet, ...clients].map(({ session }) => session);
  expect(await talk.passing(one.cluster.mover.give(sessions, 2))).toBe(9);
  for (const client of clients) {
    client.takes();
    expect(await client.resumes(two)).toBe(true);
    expect(client.bodies()).toHaveLength(4);
  }
});

test("a drain whose target dies, or is on its way out, gives its sessions to another", async () => {
  const [one, two, three] = await start();
  const clients: TalkClient[] = [];
  for (let count = 0; count < 5; count++) clients.push(await talk.login(one, `alice@localhost/${count}`));
  // It has begun to leave, and nobody has heard of it yet.
  talk.network.cut(2, 1);
  void two.cluster.leave();
  const given = one.cluster.mover.give([clients[0]!.session], 2);
  await talk.clock.advanceSettling(5);
  talk.network.mend();
  expect(await talk.passing(given)).toBe(0);
  expect(two.core.router.sessions.size).toBe(0);
  const four = await talk.addNode(4);
  await talk.settle(3_000);
  // Dead, and not missed yet, whichever is chosen first.
  talk.kill(three);
  expect(await talk.drain(one)).toMatchObject({ moved: 5, closed: 0 });
  expect(four.core.router.sessions.size).toBe(5);
});

test("what comes late to where a session was follows it, whatever it is", async () => {
  const [one, two, three] = await start();
  const alice = await talk.login(one, "alice@localhost/phone");
  const bob = await talk.login(three, "bob@localhost/desk", false);
  const { serial } = alice.session;
  await alice.breaks();
  expect(await alice.resumes(two)).toBe(true);
  alice.takes();
  // As of a node that came up in the middle of the move, and was told nothing.
  const late = stanza(
    `<presence from='${bob.session.jid.full}' to='alice@localhost/phone'><status>late</status></presence>`,
  );
  void three.cluster.link.send(1, stanzaToBytes(deliverHead(serial), late), true);
  await talk.settle();
  expect(alice.takes().map(({ kind, inner }) => `${kind} ${inner}`)).toEqual(["presence <status>late</status>"]);
});
