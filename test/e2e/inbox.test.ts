/** Inboxes of the started server: with clients that others wrote, on each database, and after a kill. */
import { describe, expect, test } from "bun:test";
import { xml } from "@xmpp/client";
import { createClient } from "stanza";
import { eachDatabase } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";
import { XmppJs } from "../support/xmpp-js.ts";

// biome-ignore lint/suspicious/noExplicitAny: the libraries bring no types, or far more than is looked at here
type Any = any;

const ns = "erlang-solutions.com:xmpp:inbox:0";
const conversation = `${ns}#conversation`;
const modules = [
  "mod_roster",
  "mod_presence",
  "mod_disco",
  "mod_stream_management",
  "mod_offline",
  "mod_inbox",
  "mod_smart_markers",
]
  .map((name) => `[modules.${name}]`)
  .join("\n");

/** Ready when its stream management is: until then the library may count what came before it. */
async function connect(server: TestServer, username: string): Promise<XmppJs> {
  const service = `xmpps://127.0.0.1:${server.tlsPort}`;
  const client = await new XmppJs({ service, username, password: "secret", resource: "x" }).start();
  await eventually(20_000, () => expect(client.xmpp.streamManagement.enabled).toBe(true));
  return client;
}

/** Each conversation in one line: with whom, how many unread, what was said last; and the counts that end the answer. */
async function inboxOf(client: XmppJs, box = "inbox"): Promise<{ lines: string[]; counts: number[] }> {
  const lines: string[] = [];
  const own = client.jid.split("/")[0];
  const collect = (stanza: Any) => {
    const result = stanza.getChild("result", ns);
    if (result === undefined) return;
    const last = result.getChild("forwarded", "urn:xmpp:forward:0").getChild("message");
    const [from, to] = [last.attrs.from, last.attrs.to].map((jid: string) => jid.split("/")[0]);
    lines.push(`${from === own ? to : from} ${result.attrs.unread} ${last.getChildText("body")}`);
  };
  client.xmpp.on("stanza", collect);
  const form = xml(
    "x",
    { xmlns: "jabber:x:data", type: "submit" },
    xml("field", { var: "box" }, xml("value", {}, box)),
  );
  const answer = await client.request(xml("iq", { type: "set" }, xml("inbox", { xmlns: ns }, form)));
  client.xmpp.off("stanza", collect);
  const fin = answer.getChild("fin", ns);
  const counts = ["count", "unread-messages", "active-conversations"].map((name) => Number(fin.getChildText(name)));
  return { lines, counts };
}

const say = (to: string, body: string) => xml("message", { to, type: "chat", id: `id-${body}` }, xml("body", {}, body));

await eachDatabase(describe, (database) => {
  test("who was away finds what is unread; a marker, a change and the operator clear it; other clients hear of it", async () => {
    const fresh = await database.fresh();
    try {
      await using server = await startServer({ database: connectionToml(fresh), modules });
      for (const name of ["ann", "ben", "cas"]) await server.register(name);
      const [ann, cas] = [await connect(server, "ann"), await connect(server, "cas")];
      await ann.send(say("ben@localhost", "one"));
      await ann.send(say("ben@localhost", "two 🌊"));
      await ann.caughtUp();
      await cas.send(say("ben@localhost", "three"));
      await cas.caughtUp();
      const ben = await connect(server, "ben");
      expect(await inboxOf(ben)).toEqual({
        lines: ["cas@localhost 1 three", "ann@localhost 2 two 🌊"],
        counts: [2, 3, 2],
      });
      expect((await inboxOf(ann)).lines).toEqual(["ben@localhost 0 two 🌊"]);

      const phone: Any = createClient({
        jid: "ben@localhost",
        password: "secret",
        resource: "phone",
        autoReconnect: false,
        transports: { websocket: `ws://127.0.0.1:${server.httpPort}/ws-xmpp` },
      });
      await new Promise<void>((resolve, reject) => {
        phone.on("session:started", () => resolve());
        phone.once("disconnected", () => reject(new Error("not connected")));
        phone.connect();
      });
      const heard = new Promise<string>((resolve) => {
        phone.on("raw:incoming", (text: string) => {
          if (text.includes(conversation)) resolve(text);
        });
      });
      phone.sendPresence();
      await phone.getDiscoInfo("localhost");

      const marker = xml("displayed", { xmlns: "urn:xmpp:chat-markers:0", id: "id-two 🌊" });
      await ben.send(xml("message", { to: "ann@localhost", type: "chat" }, marker));
      const change = (jid: string, ...properties: Any[]) =>
        ben.request(xml("iq", { type: "set" }, xml("query", { xmlns: conversation, jid }, ...properties)));
      await change("cas@localhost", xml("box", {}, "bin"), xml("read", {}, "true"));
      expect(await heard).toContain("<box>bin</box>");
      expect(await inboxOf(ben)).toEqual({ lines: ["ann@localhost 0 two 🌊"], counts: [1, 0, 0] });
      expect((await inboxOf(ben, "bin")).lines).toEqual(["cas@localhost 0 three"]);
      expect(await server.ctl("inbox", "flushUserBin", "--user", "ben@localhost", "--days", "1")).toBe(0);
      expect(await server.ctl("inbox", "flushGlobalBin", "--days", "0")).toBe(1);
      expect((await inboxOf(ben, "all")).lines).toEqual(["ann@localhost 0 two 🌊"]);
      await expect(change("nobody@localhost", xml("read", {}, "true"))).rejects.toThrow("item-not-found");

      const markers = "esl:xmpp:smart-markers:0";
      const asked = await ann.request(
        xml("iq", { type: "get" }, xml("query", { xmlns: markers, peer: "ben@localhost" })),
      );
      const [known] = asked.getChild("query", markers).getChildren("marker");
      expect([known.attrs.from, known.attrs.type, known.attrs.id]).toEqual(["ben@localhost", "displayed", "id-two 🌊"]);
      phone.disconnect();
      await Promise.all([ann, ben, cas].map((client) => client.stop()));
    } finally {
      await fresh.drop();
    }
  }, 60_000);

  test("kill -9 loses no count of a message that was acknowledged", async () => {
    const fresh = await database.fresh();
    try {
      await using server = await startServer({ database: connectionToml(fresh), modules });
      await server.register("ann");
      await server.register("ben");
      const ann = await connect(server, "ann");
      let [sent, acknowledged] = [0, 0];
      const enough = new Promise<void>((resolve) => {
        ann.xmpp.streamManagement.on("ack", (stanza: Any) => {
          if (stanza.is("message")) acknowledged++;
          if (acknowledged >= 100) resolve();
        });
      });
      const sending = (async () => {
        for (; sent < 400; sent++) {
          await ann.send(say("ben@localhost", `m${sent}`));
          if (sent % 20 === 0) await ann.send(xml("r", { xmlns: "urn:xmpp:sm:3" }));
        }
      })();
      sending.catch(() => {});
      await enough;
      await server.kill("SIGKILL");
      const safe = acknowledged;
      ann.xmpp.stop().catch(() => {});
      await server.restart();
      const ben = await connect(server, "ben");
      const { counts } = await inboxOf(ben);
      expect(counts[1]).toBeGreaterThanOrEqual(safe);
      expect(counts[1]).toBeLessThanOrEqual(sent + 1);
      await ben.stop();
    } finally {
      await fresh.drop();
    }
  }, 60_000);
});
