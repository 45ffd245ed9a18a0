/** Rooms of other nodes as operators and lists see them: from whichever node they are asked about. */
import { afterEach, expect, test } from "bun:test";
import type { AdminContext } from "../../../src/admin/command.ts";
import { runCommand } from "../../../src/admin/socket-api.ts";
import type { Discovery } from "../../../src/cluster/discovery/discovery.ts";
import { disco } from "../../../src/modules/disco.ts";
import { muc } from "../../../src/modules/muc/muc.ts";
import { presence } from "../../../src/modules/presence.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { answerPart } from "../../../src/server/admin-socket.ts";
import { adminCluster } from "../../../src/server/cluster/admin-view.ts";
import type { Jid } from "../../../src/stanza/jid.ts";
import { ClusterTalk, quiet, type TalkClient, type TalkNode } from "../../support/cluster-talk.ts";
import { configure, enter, instant, room, service } from "../muc/rooms.ts";

let talk: ClusterTalk;
afterEach(() => talk.stop());

/** What operators of these nodes have. */
const contexts = new Map<TalkNode, AdminContext>();

async function start() {
  talk = await ClusterTalk.start(3, [streamManagement, disco, presence, muc]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  for (const node of talk.nodes) {
    const cluster = adminCluster({
      cluster: node.cluster,
      discovery: undefined as unknown as Discovery,
      log: quiet,
      draining: () => false,
      drain: () => Promise.reject(new Error("not here")),
    });
    const flushed = () => node.core.writes.flush();
    const accounts = { exists: (account: Jid) => node.core.accounts.exists(account) };
    const context = { router: node.core.router, cluster, accounts, flushed } as unknown as AdminContext;
    node.cluster.answerAdmin = (question) => answerPart(context, question, quiet);
    contexts.set(node, context);
  }
}

/** `meerkat ctl muc …` on a node: the last line. */
async function ctl(node: TalkNode, command: string, args: Record<string, unknown>): Promise<unknown> {
  const lines = (async () => {
    let last: unknown;
    for await (const line of runCommand(contexts.get(node)!, { category: "muc", command, args }, quiet)) last = line;
    return last;
  })();
  return talk.passing(lines);
}

const homeOf = (address = room): TalkNode =>
  talk.nodes.find((node) => node.cluster.placement("muc").home(address) === undefined)!;

async function listed(client: TalkClient): Promise<(string | undefined)[]> {
  await client.sends(
    `<iq type='get' id='items' to='${service}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>`,
  );
  await talk.settle();
  const answer = client.takes().find(({ id }) => id === "items");
  return answer!
    .firstChild()!
    .childrenNamed("item")
    .map((item) => `${item.attr("jid")} ${item.attr("name")}`);
}

test("a room is made, configured, spoken in and removed from a node that does not have it", async () => {
  await start();
  const home = homeOf();
  const [other, third] = talk.nodes.filter((node) => node !== home);
  const bob = await talk.login(third!, "bob@localhost/pc", false);
  await talk.login(other!, "alice@localhost/phone", false);
  const made = await ctl(other!, "createInstantRoom", { room, owner: "alice@localhost/phone", nick: "Alice" });
  expect(made).toEqual({ result: { jid: room, title: "", private: false, usersNumber: 1 } });
  expect(homeOf()).toBe(home);
  await ctl(other!, "changeRoomConfiguration", { room, config: '{"title": "The den"}' });
  await ctl(third!, "enterRoom", { room, user: "bob@localhost/pc", nick: "Bob" });
  await talk.settle();
  bob.takes();
  expect(await ctl(other!, "listRoomUsers", { room })).toEqual({
    result: [
      { jid: "alice@localhost/phone", nick: "Alice", role: "MODERATOR" },
      { jid: "bob@localhost/pc", nick: "Bob", role: "PARTICIPANT" },
    ],
  });
  await ctl(third!, "sendMessageToRoom", { room, from: "alice@localhost/phone", body: "hello" });
  await talk.settle();
  expect(bob.bodies()).toEqual(["hello"]);
  for (const node of talk.nodes) {
    expect(await ctl(node, "getRoomConfig", { room })).toMatchObject({ result: { title: "The den" } });
    expect(await ctl(node, "listRooms", { mucDomain: service })).toMatchObject({
      result: { rooms: [{ jid: room, title: "The den", private: false, usersNumber: 2 }], count: 1 },
    });
  }
  // What cannot be done there is told here, by its name.
  expect(await ctl(other!, "setUserRole", { room, nick: "Nobody", role: "VISITOR" })).toEqual({
    error: { code: "item-not-found", message: "Nobody in the room is called Nobody" },
  });
  await ctl(other!, "deleteRoom", { room });
  await talk.settle();
  expect(await ctl(third!, "listRooms", { mucDomain: service })).toMatchObject({ result: { rooms: [], count: 0 } });
  expect(await ctl(other!, "getRoomConfig", { room })).toMatchObject({ error: { code: "item-not-found" } });
});

test("lists show the rooms of all nodes, as they are configured now", async () => {
  await start();
  const [one] = talk.nodes;
  const alice = await talk.login(one!, "alice@localhost/phone", false);
  const homes = new Set<TalkNode>();
  const names = Array.from({ length: 8 }, (_, at) => `room${at}@${service}`);
  for (const name of names) {
    await alice.sends(enter("Alice", "", name));
    await talk.settle();
    await alice.sends(instant.replace(room, name));
    await talk.settle();
    homes.add(homeOf(name));
  }
  expect(homes.size).toBe(3);
  alice.takes();
  for (const node of talk.nodes) {
    const bob = await talk.login(node, `bob@localhost/${node.number}`, false);
    expect(await listed(bob)).toEqual(names.map((name) => `${name} ${name.split("@")[0]}`));
  }
  await alice.sends(configure({ "muc#roomconfig_publicroom": "0" }, names[0]));
  await alice.sends(configure({ "muc#roomconfig_roomname": "One" }, names[1]));
  await alice.sends(configure({ "muc#roomconfig_persistentroom": "1", "muc#roomconfig_roomname": "Two" }, names[2]));
  await alice.sends(`<presence type='unavailable' to='${names[3]}/Alice'/>`);
  await talk.settle();
  alice.takes();
  const now = [`${names[1]} One`, `${names[2]} Two`, ...names.slice(4).map((name) => `${name} ${name.split("@")[0]}`)];
  for (const node of talk.nodes) {
    const bob = await talk.login(node, `bob@localhost/again${node.number}`, false);
    expect(await listed(bob)).toEqual(now);
  }
});
