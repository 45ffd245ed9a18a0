/** MUC Light through @xmpp/client against the started server: groups, their archive and inbox, the operator, a restart. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { xml } from "@xmpp/client";
import { eachDatabase } from "../support/databases.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";
import { XmppJs } from "../support/xmpp-js.ts";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;

const modules = `
[modules.mod_presence]
[modules.mod_roster]
[modules.mod_disco]
[modules.mod_sasl2]
[modules.mod_bind2]
[modules.mod_mam.muc]
[modules.mod_inbox]
[modules.mod_muc_light]
host = "groups.@HOST@"
rooms_in_rosters = true
[modules.mod_muc_light.cache_affs]
strategy = "lru"
time_to_live = 5
[[modules.mod_muc_light.config_schema]]
field = "roomname"
string_value = "Untitled"
[[modules.mod_muc_light.config_schema]]
field = "subject"
string_value = ""
[[modules.mod_muc_light.config_schema]]
field = "display-lines"
integer_value = 30
internal_key = "display_lines"
`;
const light = "urn:xmpp:muclight:0";
const service = "groups.localhost";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ modules });
  for (const name of ["alice", "bob", "carol"]) await server.register(name);
});
afterAll(async () => {
  await server.stop();
});

async function online(username: string, resource: string, at = server): Promise<XmppJs> {
  const client = new XmppJs({
    service: `xmpps://127.0.0.1:${at.tlsPort}`,
    username,
    password: "secret",
    resource,
  });
  await client.start();
  await client.send(xml("presence"));
  await client.receives("own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === client.jid);
  return client;
}

const user = (name: string, affiliation: string) => xml("user", { affiliation }, `${name}@localhost`);
const query = (type: "get" | "set", to: string, what: string, ...inside: Any[]) =>
  xml("iq", { type, to }, xml("query", `${light}#${what}`, ...inside));
const say = (room: string, text: string) =>
  xml("message", { type: "groupchat", to: room, id: text }, xml("body", {}, text));
const notice = (client: XmppJs, what: string): Promise<Any> =>
  client.receives(`a notice of ${what}`, (stanza) => stanza.is("message") && stanza.getChild("x", `${light}#${what}`));

async function refusal(request: Promise<Any>): Promise<string> {
  return request.then(
    () => "done",
    (error: Any) => error.condition,
  );
}

test("a group from its beginning to its end", async () => {
  const [alice, bob] = [await online("alice", "phone"), await online("bob", "pc")];
  await alice.request(
    query(
      "set",
      service,
      "create",
      xml("configuration", {}, xml("roomname", {}, "Tea & <Cake>")),
      xml("occupants", {}, user("bob", "member")),
    ),
  );
  const room = (await notice(alice, "affiliations")).attrs.from as string;
  expect((await notice(bob, "affiliations")).attrs.from).toBe(room);

  await bob.send(say(room, "hello"));
  const heard = await alice.message("hello");
  expect(heard.attrs.from).toBe(`${room}/bob@localhost`);
  const id = heard.getChild("stanza-id", "urn:xmpp:sid:0").attrs.id as string;
  await bob.message("hello");

  // Carol comes later, and reads what was said before.
  const carol = await online("carol", "tablet");
  expect(await refusal(carol.request(query("get", room, "info")))).toBe("item-not-found");
  await alice.request(query("set", room, "affiliations", user("carol", "member")));
  const invited = await notice(carol, "affiliations");
  expect(
    invited
      .getChild("x")
      .getChildren("user")
      .map((each: Any) => each.text()),
  ).toEqual(["carol@localhost"]);
  await carol.request(xml("iq", { type: "set", to: room, id: "mam" }, xml("query", "urn:xmpp:mam:2")));
  await carol.receives("the message in the archive", (stanza) => {
    const result = stanza.getChild("result", "urn:xmpp:mam:2");
    return result?.attrs.id === id && result.getChild("forwarded").getChild("message").getChildText("body") === "hello";
  });

  await carol.request(query("set", room, "configuration", xml("subject", {}, "scones")));
  expect((await notice(bob, "configuration")).getChild("x").getChildText("subject")).toBe("scones");
  expect(await refusal(carol.request(query("set", room, "configuration", xml("roomname", {}, "mine"))))).toBe(
    "not-allowed",
  );
  const info = await alice.request(query("get", room, "info", xml("version")));
  const { children } = info.getChild("query").getChild("configuration");
  expect(children.map((field: Any) => `${field.name}=${field.text()}`)).toEqual([
    "roomname=Tea & <Cake>",
    "subject=scones",
    "display-lines=30",
  ]);

  // A contact list that has the room, and an inbox that counts what bob has not read.
  const roster = await bob.request(xml("iq", { type: "get" }, xml("query", "jabber:iq:roster")));
  expect(roster.getChild("query").getChild("item").attrs).toMatchObject({
    jid: room,
    name: "Tea & <Cake>",
    subscription: "to",
  });
  await alice.send(say(room, "unread"));
  await bob.message("unread");
  await bob.send(xml("iq", { type: "set", id: "inbox" }, xml("inbox", "erlang-solutions.com:xmpp:inbox:0")));
  const entry = await bob.receives("the inbox", (stanza) =>
    stanza.getChild("result", "erlang-solutions.com:xmpp:inbox:0"),
  );
  expect(entry.getChild("result").attrs.unread).toBe("1");

  await bob.request(query("set", room, "affiliations", user("bob", "none")));
  await alice.send(say(room, "without bob"));
  await carol.message("without bob");
  await bob.caughtUp();
  expect(bob.received((stanza) => stanza.is("message") && stanza.getChildText("body") === "without bob")).toBe(false);
  expect(await refusal(carol.request(query("set", room, "destroy")))).toBe("not-allowed");
  await alice.request(query("set", room, "destroy"));
  await notice(carol, "destroy");
  expect(await refusal(alice.request(query("get", room, "info")))).toBe("item-not-found");
  await Promise.all([alice.stop(), bob.stop(), carol.stop()]);
}, 60_000);

test("the operator's commands, and a group that outlives a restart", async () => {
  const made = (await server.ctl(
    ...["muc_light", "createRoom", "--mucDomain", service, "--owner", "alice@localhost", "--name", "Den"],
    ...["--id", "den", "--options", '[{"key": "display-lines", "value": "40"}]'],
  )) as Any;
  expect(made).toMatchObject({
    jid: `den@${service}`,
    name: "Den",
    subject: "",
    participants: [{ jid: "alice@localhost", affiliation: "OWNER" }],
  });
  const room = `den@${service}`;
  await server.ctl(
    "muc_light",
    "inviteUser",
    "--room",
    room,
    "--sender",
    "alice@localhost",
    "--recipient",
    "bob@localhost",
  );
  await server.ctl(
    "muc_light",
    "setBlockingList",
    "--user",
    "carol@localhost",
    "--items",
    '[{"entityType":"ROOM","action":"DENY","entity":"den@groups.localhost"}]',
  );
  await server.ctl(
    "muc_light",
    "inviteUser",
    "--room",
    room,
    "--sender",
    "alice@localhost",
    "--recipient",
    "carol@localhost",
  );
  await server.ctl(
    "muc_light",
    "changeRoomConfiguration",
    "--room",
    room,
    "--owner",
    "alice@localhost",
    "--subject",
    "tea",
  );
  await server.ctl("muc_light", "sendMessageToRoom", "--room", room, "--from", "bob@localhost", "--body", "hello");
  await server.kill("SIGKILL");
  await server.restart();
  expect(await server.ctl("muc_light", "listRoomUsers", "--room", room)).toEqual([
    { jid: "alice@localhost", affiliation: "OWNER" },
    { jid: "bob@localhost", affiliation: "MEMBER" },
  ]);
  expect(await server.ctl("muc_light", "listUserRooms", "--user", "bob@localhost")).toEqual([room]);
  expect(await server.ctl("muc_light", "getBlockingList", "--user", "carol@localhost")).toEqual([
    { entityType: "ROOM", action: "DENY", entity: room },
  ]);
  expect(await server.ctl("muc_light", "listRooms", "--mucDomain", service, "--filter", "den")).toEqual({
    rooms: [{ jid: room, name: "Den", subject: "tea", usersNumber: 2 }],
    count: 1,
    nextPage: false,
  });
  const said = (await server.ctl("muc_light", "getRoomMessages", "--room", room)) as Any[];
  expect(said.at(-1)).toMatchObject({ sender: `${room}/bob@localhost` });
  expect(said.length).toBe(4);
  await server.ctl("muc_light", "kickUser", "--room", room, "--user", "alice@localhost");
  expect(await server.ctl("muc_light", "listRoomUsers", "--room", room)).toEqual([
    { jid: "bob@localhost", affiliation: "OWNER" },
  ]);
  // Whose account goes, goes; and the room with the last one.
  await server.ctl("account", "removeUser", "--user", "bob@localhost");
  expect(await refusal(server.ctl("muc_light", "getRoomConfig", "--room", room))).not.toBe("done");
  expect(await refusal(server.ctl("muc_light", "deleteRoom", "--room", room))).not.toBe("done");
}, 60_000);

await eachDatabase(describe, (database) => {
  test("kill -9 loses nothing that was said in a group and acknowledged", async () => {
    const fresh = await database.fresh();
    try {
      const plan = {
        database: connectionToml(fresh),
        modules: `${modules}[modules.mod_stream_management]\n`,
        alone: true,
      };
      await using own = await startServer(plan);
      for (const name of ["ann", "ben"]) await own.register(name);
      const ann = await online("ann", "x", own);
      const room = `kept@${service}`;
      await ann.request(query("set", room, "create", xml("occupants", {}, user("ben", "member"))));
      const acknowledged: string[] = [];
      const enough = new Promise<void>((resolve) => {
        ann.xmpp.streamManagement.on("ack", (stanza: Any) => {
          if (stanza.is("message")) acknowledged.push(stanza.attrs.id);
          if (acknowledged.length >= 100) resolve();
        });
      });
      const sending = (async () => {
        for (let n = 0; n < 400; n++) {
          await ann.send(say(room, `m${n}`));
          if (n % 20 === 0) await ann.send(xml("r", { xmlns: "urn:xmpp:sm:3" }));
        }
      })();
      sending.catch(() => {});
      await enough;
      await own.kill("SIGKILL");
      const known = new Set(acknowledged);
      await ann.stop().catch(() => {});
      await own.restart();
      const said = (await own.ctl("muc_light", "getRoomMessages", "--room", room)) as { stanza: string }[];
      const kept = said.map(({ stanza }) => / id='(m\d+)'/.exec(stanza)?.[1]);
      expect([...known].filter((id) => !kept.includes(id))).toEqual([]);
      expect(new Set(kept).size).toBe(kept.length);
    } finally {
      await fresh.drop();
    }
  }, 60_000);
});
