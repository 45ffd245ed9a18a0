/** What a client's stream allows, and when: TLS first where it is demanded, passwords at a measured pace, sessions for accounts that exist. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { sasl2 } from "../../src/modules/sasl2.ts";
import { streamManagement } from "../../src/modules/stream-management.ts";
import { plain } from "../support/raw-client.ts";
import { StreamTalk } from "../support/stream-talk.ts";

let talk: StreamTalk;
beforeEach(async () => {
  talk = await StreamTalk.start({ modules: [sasl2, streamManagement] });
  await talk.account("alice");
});
afterEach(() => talk.stop());

describe("where TLS is demanded", () => {
  const required = { tls: "starttls_required" } as const;

  test("nobody logs in before", async () => {
    const client = talk.connect(required);
    expect(await client.opens()).not.toContain("mechanism");
    client.write(
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>bixhPSxuPWFsaWNlLHI9eA==</auth>",
    );
    await client.endsWith("policy-violation");
  });

  test("not even from this machine, whose clients may send passwords in clear elsewhere", async () => {
    const client = talk.connect(required, "127.0.0.1");
    await client.opens();
    client.write(plain("alice", "secret"));
    await client.endsWith("policy-violation");
  });

  test.each([
    ["SASL2", "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>"],
    ["a registration", "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>"],
  ])("there is no %s before", async (_what, element) => {
    const client = talk.connect(required, "127.0.0.1");
    await client.opens();
    client.write(element);
    await client.endsWith("policy-violation");
  });

  test("behind it all goes on as usual", async () => {
    const client = await talk.stream(required);
    await client.logsIn("alice");
    expect(await client.binds("x")).toContain("result");
  });
});

describe("wrong passwords", () => {
  /** So many of this account, by clients that do not wait for the answer. */
  async function guesses(count: number, account: string, address?: string): Promise<void> {
    for (let made = 0; made < count; made++) {
      const client = await talk.stream({}, address);
      await client.tries(account, `guess ${made}`);
      // Who guesses needs no answer that says no.
      if (made < 3) await client.until("</failure>");
      client.breaks();
    }
  }

  test("whoever guesses is heard ever later, be it right or wrong", async () => {
    await guesses(3, "alice");
    const client = await talk.stream();
    await client.tries("alice", "secret");
    await client.hearsNothing();
    talk.clock.advance(999);
    await client.hearsNothing();
    talk.clock.advance(1);
    await client.until("<success");
  });

  test("connections that break before they are heard are not heard at all", async () => {
    await guesses(50, "alice");
    talk.clock.advance(1_000);
    const client = await talk.stream();
    await client.tries("alice", "secret");
    await client.hearsNothing();
    talk.clock.advance(1_000);
    await client.until("<success");
  });

  test("the client has its time for the next step after the wait", async () => {
    await guesses(3, "alice");
    const client = await talk.stream({ stateTimeoutMs: 500 });
    await client.tries("alice", "secret");
    await client.hearsNothing();
    talk.clock.advance(1_000);
    await client.until("<success");
    talk.clock.advance(1_000);
    await client.endsWith("connection-timeout");
  });

  test("at other accounts slow the same address, as an attack on many would come", async () => {
    await talk.account("bob");
    await guesses(3, "alice");
    const client = await talk.stream();
    await client.tries("bob", "secret");
    await client.hearsNothing();
    const elsewhere = await talk.stream({}, "192.0.2.2");
    await elsewhere.logsIn("bob");
  });

  test("of others at this machine, perhaps behind the same proxy, slow nobody else", async () => {
    await talk.account("bob");
    await guesses(3, "alice", "127.0.0.1");
    const client = await talk.stream({}, "127.0.0.1");
    await client.logsIn("bob");
    const other = await talk.stream({}, "127.0.0.1");
    await other.tries("alice", "secret");
    await other.hearsNothing();
  });

  test("a name that can be none is not remembered at length", async () => {
    const client = await talk.stream();
    await client.tries(`${"x".repeat(2_000)}`, "secret");
    await client.until("</failure>");
    expect(talk.wrongAccounts).toEqual([`${"x".repeat(64)}@localhost`]);
  });
});

describe("a stranger who asks for accounts", () => {
  /** What he is told of a name before any password: salt and iterations. */
  async function told(name: string): Promise<string[]> {
    const client = await talk.stream();
    const initial = Buffer.from(`n,,n=${name},r=x`).toString("base64");
    client.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>${initial}</auth>`);
    const challenge = /<challenge [^>]*>([^<]*)</.exec(await client.until("</challenge>"))![1]!;
    client.breaks();
    return Buffer.from(challenge, "base64").toString("utf8").split(",").slice(1);
  }

  test("sees the same of those that exist and of those that do not", async () => {
    // As at the next start.
    await talk.authentication.refresh();
    const iterations = new Set<string>();
    for (let number = 0; number < 20; number++) iterations.add((await told(`nobody${number}`))[1]!);
    expect(iterations).toEqual(new Set([(await told("alice"))[1]!]));
    expect(await told("nobody1")).toEqual(await told("nobody1"));
  });
});

describe("resuming", () => {
  const resume = "<resume xmlns='urn:xmpp:sm:3' previd='guess' h='0'/>";

  test("ids cannot be guessed without end: failed attempts count as those to bind do", async () => {
    const client = await talk.stream({ bindTries: 3 });
    await client.logsIn("alice");
    for (let tries = 0; tries < 2; tries++) {
      client.write(resume);
      expect(await client.until("</failed>")).toContain("item-not-found");
    }
    client.write(resume);
    await client.endsWith("policy-violation");
  });

  test("a session goes on only where its account may log in", async () => {
    const client = await talk.stream();
    await client.logsIn("alice");
    await client.binds("x");
    client.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    const id = /id='([^']*)'/.exec(await client.until("/>"))![1];
    client.breaks();
    const elsewhere = await talk.stream({ mayLogIn: () => false });
    await elsewhere.logsIn("alice");
    elsewhere.write(`<resume xmlns='urn:xmpp:sm:3' previd='${id}' h='0'/>`);
    expect(await elsewhere.until("</failed>")).toContain("not-allowed");
  });
});

describe("an account that is removed", () => {
  test("has no session any more, also for who had shown its password and not bound a resource", async () => {
    const alice = await talk.account("gone");
    const client = await talk.stream();
    await client.logsIn("gone");
    await talk.core.accounts.remove(alice);
    client.write("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    await client.endsWith("not-authorized");
    expect(talk.core.router.resourcesOf(alice)).toEqual([]);
    expect(talk.strangers).toBe(0);
  });
});
