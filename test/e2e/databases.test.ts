/** The started server on each kind of database: what clients entrust to it is there after a restart. */
import { describe, expect, test } from "bun:test";
import { client, xml } from "@xmpp/client";
import { eachDatabase } from "../support/databases.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { connectionToml } from "../support/server-database.ts";

// The server's certificate is its own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;

const rosterNs = "jabber:iq:roster";
const waitMs = 20_000;

async function connect(server: TestServer, username: string, password = "secret"): Promise<Any> {
  const service = `xmpps://127.0.0.1:${server.tlsPort}`;
  const xmpp = client({ service, domain: "localhost", username, password, resource: "phone", timeout: waitMs } as Any);
  xmpp.reconnect.stop();
  xmpp.on("error", () => {});
  await xmpp.start();
  return xmpp;
}

const request = (xmpp: Any, stanza: Any): Promise<Any> => xmpp.iqCaller.request(stanza, waitMs);

/** The first stanza from now on that fits. */
function next(xmpp: Any, what: string, fits: (stanza: Any) => boolean): Promise<Any> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not arrive`)), waitMs);
    const look = (stanza: Any) => {
      if (!fits(stanza)) return;
      clearTimeout(timer);
      xmpp.off("stanza", look);
      resolve(stanza);
    };
    xmpp.on("stanza", look);
  });
}

await eachDatabase(describe, (database) => {
  test("accounts, contacts, private data and waiting messages outlive a restart", async () => {
    const fresh = await database.fresh();
    try {
      await using server = await startServer({ database: connectionToml(fresh) });
      await server.register("alice");
      await server.register("bob");

      const alice = await connect(server, "alice");
      await request(
        alice,
        xml(
          "iq",
          { type: "set" },
          xml(
            "query",
            { xmlns: rosterNs },
            xml("item", { jid: "bob@localhost", name: "Bób 🐻" }, xml("group", {}, "Friends")),
          ),
        ),
      );
      await request(
        alice,
        xml(
          "iq",
          { type: "set" },
          xml("query", { xmlns: "jabber:iq:private" }, xml("note", { xmlns: "urn:test:note" }, "it's a secret 🔑")),
        ),
      );
      for (const body of ["first", "second ✓", "third"])
        await alice.send(xml("message", { to: "bob@localhost", type: "chat" }, xml("body", {}, body)));
      // An answer to what was sent after them says that the messages have been dealt with.
      await request(
        alice,
        xml("iq", { type: "get", to: "localhost" }, xml("query", { xmlns: "http://jabber.org/protocol/disco#info" })),
      );
      await alice.stop();
      await server.kill("SIGTERM");
      await server.restart();

      const again = await connect(server, "alice");
      const roster = await request(again, xml("iq", { type: "get" }, xml("query", { xmlns: rosterNs })));
      const [item] = roster.getChild("query").getChildren("item");
      expect([item.attrs.jid, item.attrs.name, item.attrs.subscription, item.getChildText("group")]).toEqual([
        "bob@localhost",
        "Bób 🐻",
        "none",
        "Friends",
      ]);
      const stored = await request(
        again,
        xml(
          "iq",
          { type: "get" },
          xml("query", { xmlns: "jabber:iq:private" }, xml("note", { xmlns: "urn:test:note" })),
        ),
      );
      expect(stored.getChild("query").getChildText("note")).toBe("it's a secret 🔑");
      await again.stop();

      await expect(connect(server, "alice", "guess")).rejects.toThrow("not-authorized");

      const bob = await connect(server, "bob");
      const received: string[] = [];
      const all = next(bob, "the third message", (stanza) => {
        if (!stanza.is("message")) return false;
        expect(stanza.getChild("delay", "urn:xmpp:delay")).toBeDefined();
        received.push(stanza.getChildText("body"));
        return received.length === 3;
      });
      await bob.send(xml("presence"));
      await all;
      expect(received).toEqual(["first", "second ✓", "third"]);
      await bob.stop();
    } finally {
      await fresh.drop();
    }
  });

  test("a node killed amid its work keeps what it acknowledged", async () => {
    const fresh = await database.fresh();
    try {
      await using server = await startServer({ database: connectionToml(fresh) });
      await server.register("alice");
      const alice = await connect(server, "alice");
      for (let at = 0; at < 20; at++) {
        await request(
          alice,
          xml("iq", { type: "set" }, xml("query", { xmlns: rosterNs }, xml("item", { jid: `friend${at}@localhost` }))),
        );
      }
      await server.kill("SIGKILL");
      await alice.stop().catch(() => {}); // its connection is gone
      await server.restart();
      const again = await connect(server, "alice");
      const roster = await request(again, xml("iq", { type: "get" }, xml("query", { xmlns: rosterNs })));
      expect(roster.getChild("query").getChildren("item")).toHaveLength(20);
      await again.stop();
    } finally {
      await fresh.drop();
    }
  });
});
