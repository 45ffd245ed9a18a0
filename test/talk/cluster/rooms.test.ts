/** Rooms of a cluster: they go on at another node when theirs is drained, and nobody in them notices. */
import { afterEach, describe, expect, test } from "bun:test";
import { disco } from "../../../src/modules/disco.ts";
import { muc } from "../../../src/modules/muc/muc.ts";
import { presence } from "../../../src/modules/presence.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { SimNetwork } from "../../../src/runtime/sim/network.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import type { Stanza } from "../../../src/stanza/stanza.ts";
import { ClusterTalk, type TalkClient, type TalkNode } from "../../support/cluster-talk.ts";
import { adminSet, configure, enter, instant, room, say } from "../muc/rooms.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

async function start(seed?: number) {
  // These clients acknowledge when they resume, and hear much until then.
  const options = { mod_stream_management: { buffer_max: 100_000 } };
  talk = await ClusterTalk.start(3, [streamManagement, disco, presence, muc], options, seed);
  for (const name of ["alice", "bob", "carol", "dave"]) await talk.account(name);
}

/** The node that has a room in memory. */
function homeOf(address = room): TalkNode {
  const living = talk.nodes.filter(({ gone, machine }) => !gone && !machine.dead);
  const homes = living.filter((node) => node.cluster.placement("muc").home(address) === undefined);
  expect(homes.length).toBe(1);
  return homes[0]!;
}

const others = (node: TalkNode) => talk.nodes.filter((each) => each !== node && !each.gone);

/** Alice owns the room and is on its node, Bob and Carol are on the two others. */
async function inRoom(
  seed?: number,
): Promise<{ home: TalkNode; alice: TalkClient; bob: TalkClient; carol: TalkClient }> {
  await start(seed);
  const home = homeOf();
  const [second, third] = others(home);
  const alice = await talk.login(home, "alice@localhost/phone", false);
  await alice.sends(enter("Alice"));
  await talk.settle();
  await alice.sends(instant);
  await talk.settle();
  const bob = await talk.login(second!, "bob@localhost/pc", false);
  await bob.sends(enter("Bob"));
  const carol = await talk.login(third!, "carol@localhost/pc", false);
  await carol.sends(enter("Carol"));
  await talk.settle();
  for (const client of [alice, bob, carol]) client.takes();
  return { home, alice, bob, carol };
}

const bodies = (stanzas: readonly Stanza[]) =>
  stanzas.filter((stanza) => stanza.type === "groupchat").map((stanza) => stanza.text("body"));
const mucUser = "http://jabber.org/protocol/muc#user";
const codes = (stanza: Stanza): (string | undefined)[] =>
  stanza
    .child("x", mucUser)!
    .childrenNamed("status")
    .map((status) => status.attr("code"));

test("what somebody on another node sends in one go is dealt with in order", async () => {
  await start();
  const bob = await talk.login(others(homeOf())[0]!, "bob@localhost/pc", false);
  bob.patient();
  for (const text of [enter("Bob"), instant, say("one"), say("two")]) void bob.sends(text);
  await talk.settle(200);
  const got = bob.takes();
  expect(got.map(({ kind, type }) => `${kind} ${type}`)).toEqual([
    "presence undefined",
    "message groupchat",
    "iq result",
    "message groupchat",
    "message groupchat",
  ]);
  expect(bodies(got)).toEqual([undefined, "one", "two"]);
});

test("who goes away without a word leaves a room on another node", async () => {
  const { alice, bob, carol } = await inRoom();
  await talk.passing(Promise.resolve(bob.node.core.keeper.end(bob.session, "lost")));
  await talk.settle();
  for (const client of [alice, carol]) {
    expect(client.takes().map(({ type, from }) => `${type} ${from!.resource}`)).toEqual(["unavailable Bob"]);
  }
});

describe("a drained node", () => {
  test("gives its rooms to others: nobody leaves or enters, and what was said before is known", async () => {
    const { home, alice, bob, carol } = await inRoom();
    await carol.sends(say("before"));
    await alice.sends(`<message type='groupchat' id='s' to='${room}'><subject>plans</subject></message>`);
    await alice.sends(adminSet("<item nick='Bob' role='moderator'/>"));
    await talk.settle();
    await alice.sends(adminSet("<item nick='Carol' role='visitor'/>"));
    await talk.settle();
    for (const client of [alice, bob, carol]) client.takes();

    expect(await talk.drain(home)).toEqual({ rooms: 1, moved: 1, closed: 0 });
    const next = homeOf();
    expect(next).not.toBe(home);
    expect(await alice.resumes(next)).toBe(true);
    for (const client of [alice, bob, carol]) expect(client.takes()).toEqual([]);

    await bob.sends(say("after"));
    await talk.settle();
    for (const client of [alice, bob, carol]) expect(bodies(client.takes())).toEqual(["after"]);

    const dave = await talk.login(others(next).find((node) => node !== home)!, "dave@localhost/pc", false);
    await dave.sends(enter("Dave"));
    await talk.settle();
    const welcome = dave.takes();
    expect(welcome.filter(({ kind }) => kind === "presence").map(({ from }) => from!.resource)).toEqual([
      "Alice",
      "Bob",
      "Carol",
      "Dave",
    ]);
    expect(bodies(welcome)).toEqual(["before", "after", undefined]);
    expect(welcome.at(-1)!.text("subject")).toBe("plans");
    for (const client of [alice, bob, carol]) client.takes();
    // Bob is a moderator still.
    await bob.sends(adminSet("<item nick='Dave' role='none'/>"));
    await talk.settle();
    expect(dave.takes().map(({ type }) => type)).toEqual(["unavailable"]);
    // And Carol's voice is taken still, also when she comes back.
    await carol.sends(`<presence type='unavailable' to='${room}/Carol'/>`);
    await carol.sends(enter("Carol"));
    await talk.settle();
    const roles = carol.takes().flatMap((stanza) => {
      const x =
        stanza.kind === "presence" && stanza.from!.resource === "Carol" ? stanza.child("x", mucUser) : undefined;
      return x === undefined ? [] : [x.child("item")!.attr("role")];
    });
    expect(roles).toEqual(["none", "visitor"]);
  });

  test("lets rooms without people rest, from where another node takes them", async () => {
    const { home, alice, bob, carol } = await inRoom();
    await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
    for (const [client, nick] of [
      [alice, "Alice"],
      [bob, "Bob"],
      [carol, "Carol"],
    ] as const) {
      await client.sends(`<presence type='unavailable' to='${room}/${nick}'/>`);
      await talk.settle();
    }
    bob.takes();
    expect((await talk.drain(home)).rooms).toBe(0);
    await bob.sends(enter("Bob"));
    await talk.settle();
    expect(bob.takes().filter(({ kind }) => kind === "presence")).toHaveLength(1);
    expect(homeOf()).not.toBe(home);
  });

  test("makes no rooms any more: who enters a new one meanwhile finds it elsewhere", async () => {
    await start();
    const home = homeOf();
    const bob = await talk.login(others(home)[0]!, "bob@localhost/pc", false);
    await talk.passing(home.cluster.leave());
    await bob.sends(enter("Bob"));
    await talk.settle();
    expect(bob.takes().filter(({ kind }) => kind === "presence")).toHaveLength(1);
    expect(homeOf()).not.toBe(home);
  });

  test("whose room can go nowhere says so to everybody in it (status 332), and it is gone", async () => {
    const { home, alice, bob, carol } = await inRoom();
    expect(await talk.drain(home, () => true)).toMatchObject({ rooms: 0, moved: 0 });
    await talk.settle();
    for (const client of [alice, bob, carol]) {
      const [goodbye, ...more] = client.takes();
      expect(goodbye).toMatchObject({ kind: "presence", type: "unavailable" });
      expect(codes(goodbye!)).toEqual(["332", "110"]);
      expect(more).toEqual([]);
    }
    await bob.sends(say("hello?"));
    await talk.settle();
    expect(bob.takes().map(({ type }) => type)).toEqual(["error"]);
  });

  test("finds another place for a room when the node that was to take it dies", async () => {
    const { home, alice, bob, carol } = await inRoom();
    talk.kill(carol.node);
    expect(await talk.drain(home)).toEqual({ rooms: 1, moved: 1, closed: 0 });
    await talk.settle(8_000);
    expect(await talk.passing(alice.resumes(bob.node))).toBe(true);
    for (const client of [alice, bob]) {
      expect(client.takes().map(({ type, from }) => `${type} ${from!.resource}`)).toEqual(["unavailable Carol"]);
    }
    await alice.sends(say("still here"));
    await talk.settle();
    expect(bodies(bob.takes())).toEqual(["still here"]);
  });

  test("that dies before the room has moved leaves what others had for it to whoever has it then", async () => {
    const { home, alice, bob } = await inRoom();
    await alice.sends(configure({ "muc#roomconfig_persistentroom": "1" }));
    await talk.settle();
    bob.takes();
    // All keep what they have for the room, and then nothing more is heard.
    const moving = home.cluster.moveThings(() => false, Number.POSITIVE_INFINITY);
    await talk.settle(5);
    talk.kill(home);
    void moving;
    bob.patient();
    void bob.sends(enter("Bob"));
    await talk.settle(10_000);
    const welcome = bob.takes().filter(({ kind, from }) => kind === "presence" && from!.resource === "Bob");
    expect(welcome.map(({ type }) => type)).toEqual([undefined]);
    expect(homeOf()).not.toBe(home);
  });
});

/** Everybody says something as soon as the server has taken what he said before, at most every two milliseconds. */
class Chatter {
  /** Those who have no stream just now. */
  readonly away = new Set<TalkClient>();
  readonly #everybody: readonly TalkClient[];
  readonly #sent: number[];
  readonly #busy = new Set<TalkClient>();
  readonly #timer: { cancel(): void };

  constructor(everybody: readonly TalkClient[]) {
    this.#everybody = everybody;
    this.#sent = everybody.map(() => 0);
    for (const client of everybody) {
      client.patient();
      client.takes();
    }
    this.#timer = talk.clock.every(2, () => {
      for (const [at, client] of everybody.entries()) {
        if (this.#busy.has(client) || this.away.has(client)) continue;
        this.#busy.add(client);
        void client.sends(say(`${at} ${++this.#sent[at]!}`)).then(() => this.#busy.delete(client));
      }
    });
  }

  /** From now on these say nothing; resolves when the server has taken what they said. */
  async silence(clients: readonly TalkClient[]): Promise<void> {
    for (const client of clients) this.away.add(client);
    for (let wait = 0; wait < 200 && clients.some((client) => this.#busy.has(client)); wait++) await talk.settle(5);
  }

  /** Everybody has heard all, once, in one order, which is that of each who spoke; and nobody saw anybody leave or enter. */
  async check(): Promise<void> {
    this.#timer.cancel();
    await talk.settle(1_500);
    const heard = this.#everybody.map((client) => client.takes());
    for (const stanzas of heard) expect(stanzas.filter(({ type }) => type !== "groupchat")).toEqual([]);
    const lists = heard.map((stanzas) => bodies(stanzas));
    for (const [at, count] of this.#sent.entries()) {
      expect(count).toBeGreaterThan(15);
      const his = lists[0]!.filter((body) => body!.startsWith(`${at} `)).map((body) => Number(body!.slice(2)));
      expect(his).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    }
    for (const list of lists) expect(list).toEqual(lists[0]!);
  }
}

/** What one node sends to another comes so much later from now on, in order. */
function delay(from: TalkNode, to: TalkNode, ms: number): void {
  const carry = SimNetwork.prototype.carry.bind(talk.network);
  talk.network.carry = (sender, number, envelope) => {
    if (sender !== from.machine || number !== to.number) carry(sender, number, envelope);
    else talk.clock.after(ms, () => carry(sender, number, envelope));
  };
}

const weathers = [
  { title: "a fair network", weather: {} },
  { title: "slow ways", weather: { delayMsMax: 15 } },
  { title: "slow ways on which things come twice", weather: { delayMsMax: 25, doubling: 0.05 } },
  { title: "ways on which things are lost", weather: { delayMsMax: 2, loss: 0.03 } },
];
const seeds = (process.env.ROOM_SEEDS ?? "1").split(",").map(Number);

for (const seed of seeds) {
  describe.each(weathers)(
    `what is said meanwhile is heard by all, once and in one order: $title, seed ${seed}`,
    ({ weather }) => {
      async function four() {
        const { home, alice, bob, carol } = await inRoom(seed);
        const dave = await talk.login(home, "dave@localhost/pc", false);
        await dave.sends(enter("Dave"));
        await talk.settle();
        Object.assign(talk.network.weather, weather);
        return [alice, bob, carol, dave] as const;
      }

      test("while nodes are drained one after the other", async () => {
        const everybody = await four();
        const chatter = new Chatter(everybody);
        for (let round = 0; round < 3; round++) {
          await talk.settle(60);
          const leaving = homeOf();
          const away = everybody.filter((client) => client.node === leaving);
          await chatter.silence(away);
          expect(await talk.drain(leaving)).toMatchObject({ rooms: 1, closed: 0 });
          await talk.settle(20);
          for (const client of away) {
            expect(await talk.passing(client.resumes(homeOf()))).toBe(true);
            chatter.away.delete(client);
          }
          await talk.addNode(leaving.number);
          await talk.settle(2_000);
        }
        await chatter.check();
      });

      test("while the room alone moves from node to node, and what is said to one of them takes its time", async () => {
        const everybody = await four();
        const chatter = new Chatter(everybody);
        for (let round = 0; round < 6; round++) {
          await talk.settle(30);
          const home = homeOf();
          const [slow] = others(home);
          delay(home, slow!, 60);
          expect(await talk.passing(home.cluster.moveThings(() => false, Number.POSITIVE_INFINITY))).toBe(1);
          await talk.settle(150);
          expect(homeOf()).not.toBe(home);
        }
        await chatter.check();
      });

      test("while sessions move from node to node", async () => {
        const everybody = await four();
        const chatter = new Chatter(everybody);
        for (let round = 0; round < 9; round++) {
          await talk.settle(25);
          const client = everybody[round % 3]!;
          await chatter.silence([client]);
          if (round % 2 === 0) await client.breaks();
          const next = talk.nodes[(talk.nodes.indexOf(client.node) + 1) % 3]!;
          expect(await talk.passing(client.resumes(next))).toBe(true);
          chatter.away.delete(client);
        }
        await chatter.check();
      });
    },
  );
}

test("an account that is removed while a room moves is nothing in it any more", async () => {
  // Before, while and after the room is under way.
  for (let offset = 0; offset < 6; offset++) {
    const { home, alice } = await inRoom(offset);
    await alice.sends(adminSet("<item affiliation='admin' jid='dave@localhost'/>"));
    await talk.settle();
    const other = others(home)[1]!;
    let removed: Promise<void> | undefined;
    const timer = talk.clock.after(1 + offset, () => {
      removed = other.core.accounts.remove(parseJid("dave@localhost")!);
    });
    await talk.drain(home);
    timer.cancel();
    await talk.passing(removed ?? other.core.accounts.remove(parseJid("dave@localhost")!));
    const viewer = await talk.passing(
      homeOf().host.registry.ask("roomViewer", parseJid(room)!, parseJid("dave@localhost")!) as Promise<unknown>,
    );
    expect([offset, viewer]).toEqual([offset, undefined]);
    await talk.stop();
  }
});
