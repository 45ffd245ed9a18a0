/** Archives of the started server: with clients that others wrote, on each database, and after a kill. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { xml } from "@xmpp/client";
import { createClient } from "stanza";
import { eachDatabase } from "../support/databases.ts";
import { RawClient } from "../support/raw-client.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";
import { XmppJs } from "../support/xmpp-js.ts";

// biome-ignore lint/suspicious/noExplicitAny: the libraries bring no types, or far more than is looked at here
type Any = any;

const ns = "urn:xmpp:mam:2";
const rsm = "http://jabber.org/protocol/rsm";
/** Without offline messages: what is not in the archive is lost. */
const modules = [
  "mod_roster",
  "mod_presence",
  "mod_disco",
  "mod_stream_management",
  "mod_stanzaid",
  "mod_sasl2",
  "mod_bind2",
  "mod_carboncopy",
  "mod_offline_stub",
  "mod_mam",
]
  .map((name) => `[modules.${name}]`)
  .join("\n");

function connect(server: TestServer, username: string, resource = "x"): Promise<XmppJs> {
  const service = `xmpps://127.0.0.1:${server.tlsPort}`;
  return new XmppJs({ service, username, password: "secret", resource }).start();
}

/** One page of the client's own archive: the messages inside the results, and the `<fin/>`. */
async function page(
  client: XmppJs,
  set: readonly Any[],
  fields: readonly Any[] = [],
): Promise<{ messages: Any[]; fin: Any }> {
  const queryid = `q${Math.floor(performance.now() * 1000)}`;
  const messages: Any[] = [];
  const collect = (stanza: Any) => {
    const result = stanza.getChild("result", ns);
    if (result?.attrs.queryid === queryid) messages.push(result.getChild("forwarded").getChild("message"));
  };
  client.xmpp.on("stanza", collect);
  const form = xml("x", { xmlns: "jabber:x:data", type: "submit" }, ...fields);
  const query = xml("query", { xmlns: ns, queryid }, form, xml("set", { xmlns: rsm }, ...set));
  const answer = await client.request(xml("iq", { type: "set" }, query));
  client.xmpp.off("stanza", collect);
  return { messages, fin: answer.getChild("fin", ns) };
}

/** The ids of all messages of the archive, read page by page. */
async function everything(client: XmppJs): Promise<string[]> {
  const ids: string[] = [];
  let after: string | undefined;
  for (;;) {
    const { messages, fin } = await page(client, after === undefined ? [] : [xml("after", {}, after)]);
    ids.push(...messages.map((message) => message.attrs.id));
    if (fin.attrs.complete === "true") return ids;
    after = fin.getChild("set", rsm).getChildText("last");
  }
}

await eachDatabase(describe, (database) => {
  test("kill -9 loses no archived message that was acknowledged, on either side", async () => {
    const fresh = await database.fresh();
    try {
      await using server = await startServer({ database: connectionToml(fresh), modules });
      await server.register("ann");
      await server.register("ben");
      const ann = await connect(server, "ann");
      const acknowledged: string[] = [];
      const enough = new Promise<void>((resolve) => {
        ann.xmpp.streamManagement.on("ack", (stanza: Any) => {
          if (stanza.is("message")) acknowledged.push(stanza.attrs.id);
          if (acknowledged.length >= 100) resolve();
        });
      });
      const sending = (async () => {
        for (let n = 0; n < 400; n++) {
          await ann.send(xml("message", { to: "ben@localhost", type: "chat", id: `m${n}` }, xml("body", {}, `m${n}`)));
          if (n % 20 === 0) await ann.send(xml("r", { xmlns: "urn:xmpp:sm:3" }));
        }
      })();
      sending.catch(() => {});
      await enough;
      await server.kill("SIGKILL");
      ann.xmpp.stop().catch(() => {});
      await server.restart();
      for (const name of ["ann", "ben"]) {
        const reader = await connect(server, name, "reading");
        const archived = await everything(reader);
        expect(archived.slice(0, acknowledged.length)).toEqual(acknowledged);
        expect(new Set(archived).size).toBe(archived.length);
        await reader.stop();
      }
    } finally {
      await fresh.drop();
    }
  });

  test("search, pages and the administration find what was said", async () => {
    const fresh = await database.fresh();
    try {
      await using server = await startServer({ database: connectionToml(fresh), modules });
      await server.register("ann");
      await server.register("ben");
      const [ann, ben] = [await connect(server, "ann"), await connect(server, "ben")];
      const texts = ["Fish and chips", "To be or not to be", "Über uns das Meer 🌊", "The end"];
      for (const text of texts) {
        await ann.send(xml("message", { to: "ben@localhost", type: "chat" }, xml("body", {}, text)));
      }
      await ann.caughtUp();
      const field = (name: string, value: string) => xml("field", { var: name }, xml("value", {}, value));
      const search = async (words: string) => {
        const { messages } = await page(ben, [], [field("{urn:xmpp:fulltext:0}fulltext", words)]);
        return messages.map((message) => message.getChildText("body"));
      };
      expect(await search("CHIPS")).toEqual([texts[0]]);
      expect(await search("to be")).toEqual([texts[1]]);
      expect(await search("uber meer")).toEqual([texts[2]]);
      expect(await search("the")).toEqual([texts[3]]);
      expect(await search("nothing")).toEqual([]);
      const { messages, fin } = await page(ben, [xml("max", {}, "2"), xml("before")]);
      expect(messages.map((message) => message.getChildText("body"))).toEqual(texts.slice(2));
      expect(fin.getChild("set", rsm).getChildText("count")).toBe("4");
      const printed = (await server.ctl(
        "stanza",
        "getLastMessages",
        "--caller",
        "ben@localhost",
        "--with",
        "ann@localhost",
        "--limit",
        "3",
      )) as Any;
      expect([printed.limit, printed.stanzas.length]).toEqual([3, 3]);
      expect(printed.stanzas[2].stanza).toContain("The end");
      expect(printed.stanzas[2].sender).toBe(ann.jid);
      expect(printed.stanzas[2].stanza_id).toBe(fin.getChild("set", rsm).getChildText("last"));
      const before = (await server.ctl(
        "stanza",
        "getLastMessages",
        "--caller",
        "ben@localhost",
        "--before",
        "2020-01-01T00:00:00Z",
      )) as Any;
      expect(before.stanzas).toEqual([]);
      await expect(
        server.ctl("stanza", "getLastMessages", "--caller", "ben@localhost", "--before", "soon"),
      ).rejects.toThrow("date and time");
      await Promise.all([ann.stop(), ben.stop()]);
    } finally {
      await fresh.drop();
    }
  });
});

describe("a room", () => {
  const room = "tea@conference.localhost";
  const muc = "http://jabber.org/protocol/muc";

  async function read(client: XmppJs): Promise<Any[]> {
    const results: Any[] = [];
    const collect = (stanza: Any) => {
      if (stanza.attrs.from === room && stanza.getChild("result", ns) !== undefined)
        results.push(stanza.getChild("result"));
    };
    client.xmpp.on("stanza", collect);
    await client.request(xml("iq", { type: "set", to: room }, xml("query", { xmlns: ns })));
    client.xmpp.off("stanza", collect);
    return results;
  }
  const inside = (result: Any) => result.getChild("forwarded").getChild("message");

  test("is read by who was never in it, with the ids of live messages, and without what was taken back", async () => {
    await using server = await startServer({ modules: `${modules}\n[modules.mod_muc]` });
    for (const name of ["ann", "ben"]) await server.register(name);
    const [ann, ben] = [await connect(server, "ann"), await connect(server, "ben")];
    await ann.send(xml("presence", { to: `${room}/Ann` }, xml("x", { xmlns: muc })));
    await ann.receives("own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === `${room}/Ann`);
    const form = xml("x", { xmlns: "jabber:x:data", type: "submit" });
    await ann.request(xml("iq", { type: "set", to: room }, xml("query", { xmlns: `${muc}#owner` }, form)));
    const live: string[] = [];
    for (const text of ["one", "two"]) {
      await ann.send(xml("message", { to: room, type: "groupchat", id: `id-${text}` }, xml("body", {}, text)));
      const heard = await ann.message(text);
      live.push(heard.getChildren("stanza-id").find((id: Any) => id.attrs.by === room).attrs.id);
    }
    const first = await read(ben);
    expect(first.map((result) => inside(result).getChildText("body"))).toEqual(["one", "two"]);
    expect(first.map((result) => result.attrs.id)).toEqual(live);
    expect([inside(first[0]).attrs.from, inside(first[0]).attrs.to, inside(first[0]).getChild("x")]).toEqual([
      `${room}/Ann`,
      undefined,
      undefined,
    ]);
    const retract = xml("retract", { xmlns: "urn:xmpp:message-retract:1", id: live[0] });
    await ann.send(xml("message", { to: room, type: "groupchat", id: "r1" }, retract, xml("body", {}, "taken back")));
    await ann.message("taken back");
    const [stone] = await read(ben);
    expect(inside(stone).getChild("retracted", "urn:xmpp:message-retract:1").attrs.id).toBe("r1");
    expect(inside(stone).getChild("body")).toBeUndefined();
    await Promise.all([ann.stop(), ben.stop()]);
  });
});

test("pages asked for in one go, by a client that may have few stanzas to acknowledge", async () => {
  const few = modules.replace("[modules.mod_stream_management]", "[modules.mod_stream_management]\nbuffer_max = 20");
  const server = await startServer({ modules: few });
  await server.register("ann");
  const client = await RawClient.login({ port: server.c2sPort }, "ann", "phone");
  for (let number = 0; number < 40; number++) {
    client.write(`<message to='ann@localhost' type='chat'><body>${number}</body></message>`);
  }
  client.write("<enable xmlns='urn:xmpp:sm:3'/>");
  await client.until("<enabled");
  let asked = "";
  for (let number = 0; number < 15; number++) {
    asked += `<iq type='set' id='p${number}'><query xmlns='${ns}'><set xmlns='${rsm}'><max>40</max></set></query></iq>`;
  }
  client.write(asked);
  let text = "";
  while (!text.includes("id='p14'")) {
    text += await client.until("<r xmlns='urn:xmpp:sm:3'/>");
    const stanzas = text.split("<result ").length + text.split("<fin ").length - 2;
    client.write(`<a xmlns='urn:xmpp:sm:3' h='${stanzas}'/>`);
  }
  expect(text).not.toContain("stream:error");
  client.close();
  await server.stop();
});

describe("stanza over WebSocket", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ modules });
    for (const name of ["alice", "bob"]) await server.register(name);
  });
  afterAll(async () => {
    await server.stop();
  });

  async function login(username: string): Promise<Any> {
    const client = createClient({
      jid: `${username}@localhost`,
      password: "secret",
      resource: "web",
      transports: { websocket: `ws://127.0.0.1:${server.httpPort}/ws-xmpp`, bosh: false },
      autoReconnect: false,
    } as Any) as Any;
    const started = new Promise((resolve) => client.once("session:started", resolve));
    client.connect();
    await started;
    return client;
  }

  test("reads history by contact and page, and knows the ids of live messages", async () => {
    const [alice, bob] = [await login("alice"), await login("bob")];
    await bob.getRoster();
    bob.sendPresence();
    const live: string[] = [];
    const all = new Promise<void>((resolve) => {
      bob.on("message", (message: Any) => {
        if (message.stanzaIds !== undefined) live.push(message.stanzaIds[0].id);
        if (live.length === 5) resolve();
      });
    });
    await bob.getDiscoInfo("localhost");
    for (let number = 0; number < 5; number++)
      alice.sendMessage({ to: "bob@localhost", type: "chat", body: `n${number}` });
    await all;
    const first = await bob.searchHistory({ with: "alice@localhost", paging: { max: 3 } });
    expect(first.results.map(({ item }: Any) => item.message.body)).toEqual(["n0", "n1", "n2"]);
    expect([first.complete ?? false, first.paging.count]).toEqual([false, 5]);
    const rest = await bob.searchHistory({ with: "alice@localhost", paging: { max: 3, after: first.paging.last } });
    expect(rest.complete).toBe(true);
    expect([...first.results, ...rest.results].map(({ id }: Any) => id)).toEqual(live);
    const form = await bob.getHistorySearchForm();
    expect(form.fields.map((field: Any) => field.name)).toContain("after-id");
    for (const client of [alice, bob]) {
      const gone = new Promise((resolve) => client.once("disconnected", resolve));
      client.disconnect();
      await gone;
    }
  });
});
