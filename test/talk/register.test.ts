/** XEP-0077: strangers make accounts, owners change passwords and leave; with limits by address. */
import { afterEach, describe, expect, test } from "bun:test";
import { parseCredentials } from "../../src/auth/credentials.ts";
import { AccessRules } from "../../src/config/access.ts";
import type { Stranger } from "../../src/hooks/points.ts";
import { isAddressAllowed, Peers, passwordBits, refusalOf, register } from "../../src/modules/register.ts";
import { silentLog } from "../../src/observe/log.ts";
import { takeFromClient } from "../../src/router/from-client.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { type Core, startCore } from "../../src/server/core.ts";
import { StanzaError, type StreamError } from "../../src/stanza/errors.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { type Stanza, stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { parseElement } from "../../src/xml/element.ts";
import { parseFrame } from "../../src/xml/scanner.ts";

const clock = new SimClock();
let core: Core | undefined;
let store: Store | undefined;
afterEach(async () => {
  await core?.stop();
  await store?.close();
  core = undefined;
  store = undefined;
});

const defaults = {
  access: "all",
  ipAccess: [] as { policy: "allow" | "deny"; address: string }[],
  passwordStrength: 0,
  welcomeMessage: undefined as { subject: string; body: string } | undefined,
  registrationWatchers: [] as string[],
};

/** A host with nothing but registration, where the name "admin" may not be registered. */
async function begin(options: Partial<typeof defaults> = {}) {
  store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock, log: silentLog });
  const acls = new Map([["admins", [{ match: "current_domain" as const, user: "admin" }]]]);
  const clauses = [
    { acl: "admins", value: "deny" },
    { acl: "all", value: "allow" },
  ];
  core = await startCore({
    clock,
    random: new SimRandom(1),
    log: silentLog,
    store,
    hosts: [
      {
        domain: "localhost",
        modules: [{ definition: register, options: { ...defaults, ...options } }],
        access: new AccessRules("localhost", new Set(["localhost"]), acls, new Map([["register", clauses]])),
        hashes: ["sha256"],
        iterations: 4096,
        usersMax: 4,
      },
    ],
    sessionsPerAccountMax: () => 100,
    requestsMax: 10,
    rememberedSessionsMax: 10,
    unacknowledgedBytesMax: 4 * 2 ** 20,
    registrationTimeoutMs: 60_000,
  });
}

const query = (type: "get" | "set", inside = "") =>
  `<iq type='${type}' id='1'><query xmlns='jabber:iq:register'>${inside}</query></iq>`;
const fields = (username: string, password: string) =>
  `<username>${username}</username><password>${password}</password>`;
const stanzaOf = (text: string) => stanzaFromFrame(parseFrame(text, undefined, ns.client))!;

let lastAddress = 0;
/** A peer that has not been seen before. */
const newcomer = (): Stranger => ({ remoteAddress: `198.51.100.${++lastAddress % 256}`, secure: true });

/** What a stranger gets: the payload of the result ("" for none), or the condition of the error. */
async function asks(type: "get" | "set", inside: string, stranger: Stranger = newcomer()): Promise<string> {
  const handler = core!.router.hosts.get("localhost")!.registry.findStrangerIq(type, ns.register, "query")!;
  try {
    const outcome = await handler(stanzaOf(query(type, inside)), stranger);
    const effects = outcome === undefined ? [] : "length" in outcome ? outcome : [outcome];
    let payload = "";
    for (const effect of effects) {
      if (effect.do === "reply") payload = effect.payload.text;
      else if (effect.do === "route") await core!.router.route(effect.stanza, undefined);
    }
    return payload;
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error;
    return error.condition;
  }
}

async function login(address: string, link: { secure?: boolean; remoteAddress?: string } = {}) {
  const inbox: Stanza[] = [];
  const seen = { closedWith: undefined as string | undefined };
  const session = await core!.keeper.bind(core!.router.hosts.get("localhost")!, parseJid(address)!, {
    send: (stanza) => void inbox.push(stanza),
    close: (error: StreamError | undefined) => {
      seen.closedWith = error?.condition;
    },
    part: () => undefined,
    remoteAddress: "192.0.2.1",
    remotePort: 5222,
    secure: true,
    transport: "tcp",
    ...link,
  });
  return {
    inbox,
    seen,
    async asks(type: "get" | "set", inside: string, to = "") {
      const text = query(type, inside).replace("id='1'", `id='1'${to}`);
      await takeFromClient(core!.router, core!.router.hosts.get("localhost")!, session, stanzaOf(text));
      const answer = inbox.shift()!;
      if (answer.type === "error") return answer.child("error")!.firstElement()!.name;
      return answer.inner;
    },
  };
}

const exists = (name: string) => core!.accounts.exists(parseJid(`${name}@localhost`)!);

describe("a stranger", () => {
  test("is told what to give, and gives it", async () => {
    await begin();
    const form = parseElement(await asks("get", ""), ns.client);
    expect(form.elements().map((field) => field.name)).toEqual(["instructions", "username", "password"]);
    expect(await asks("set", fields("Bill", "Calliope"))).toBe("");
    expect(await exists("bill")).toBe(true);
    const stored = parseCredentials((await core!.accountRows.credentials("localhost", "bill"))!)!;
    expect(stored.sha256).toBeDefined();
  });

  for (const [name, inside, condition] of [
    ["a taken name", fields("taken", "secret"), "conflict"],
    ["no name", "<password>secret</password>", "not-acceptable"],
    ["an empty name", fields("", "secret"), "not-acceptable"],
    ["a name that is none", fields("a@b", "secret"), "not-acceptable"],
    ["a name with a slash", fields("a/b", "secret"), "not-acceptable"],
    ["too long a name", fields("x".repeat(1_024), "secret"), "not-acceptable"],
    ["a name longer than the database holds", fields("x".repeat(251), "secret"), "not-acceptable"],
    ["no password", "<username>bill</username>", "not-acceptable"],
    ["an empty password", fields("bill", ""), "not-acceptable"],
    ["too long a password", fields("bill", "x".repeat(1_024)), "not-acceptable"],
    ["a password SASL forbids", fields("bill", "\ue000"), "not-acceptable"],
    ["nothing", "", "not-acceptable"],
    ["a name that the access rule keeps", fields("ADMIN", "secret"), "forbidden"],
    ["a removal", "<remove/>", "unexpected-request"],
  ] as const) {
    test(`is refused with ${name}`, async () => {
      await begin({ access: "register" });
      await core!.accounts.register(parseJid("taken@localhost")!, "theirs");
      expect(await asks("set", inside)).toBe(condition);
      expect(await core!.accounts.count("localhost")).toBe(1);
    });
  }

  test("is refused where others can listen, but not on this machine", async () => {
    await begin();
    const plain = { remoteAddress: "192.0.2.9", secure: false };
    expect(await asks("get", "", plain)).toBe("not-authorized");
    expect(await asks("set", fields("bill", "secret"), plain)).toBe("not-authorized");
    expect(await asks("set", fields("bill", "secret"), { remoteAddress: "::1", secure: false })).toBe("");
  });

  test("is refused where the address is kept out", async () => {
    await begin({ ipAccess: [{ policy: "deny", address: "203.0.113.0/24" }] });
    const outcast = { remoteAddress: "203.0.113.77", secure: true };
    expect(await asks("get", "", outcast)).toBe("forbidden");
    expect(await asks("set", fields("bill", "secret"), outcast)).toBe("forbidden");
    expect(await asks("get", "", { remoteAddress: "203.0.114.77", secure: true })).toContain("username");
  });

  test("sees the offer where it holds", () => {
    const offered = (stranger: Stranger, ipAccess: typeof defaults.ipAccess = []) =>
      register.strangerFeatures!({ ...defaults, ipAccess }, stranger)?.text;
    expect(offered({ remoteAddress: "192.0.2.1", secure: true })).toBe(
      "<register xmlns='http://jabber.org/features/iq-register'/>",
    );
    expect(offered({ remoteAddress: "127.0.0.1", secure: false })).toBeDefined();
    expect(offered({ remoteAddress: "192.0.2.1", secure: false })).toBeUndefined();
    const deny = [{ policy: "deny" as const, address: "0.0.0.0/0" }];
    expect(offered({ remoteAddress: "192.0.2.1", secure: true }, deny)).toBeUndefined();
    expect(refusalOf({ remoteAddress: "192.0.2.1", secure: true }, deny)).toBe("address");
  });

  test("makes one account a minute, whatever the name, and a neighbour is not hindered", async () => {
    await begin();
    const peer = newcomer();
    expect(await asks("set", fields("one", "secret"), peer)).toBe("");
    expect(await asks("set", fields("two", "secret"), peer)).toBe("resource-constraint");
    expect(await asks("set", fields("three", "secret"))).toBe("");
    clock.advance(59_999);
    expect(await asks("set", fields("two", "secret"), peer)).toBe("resource-constraint");
    clock.advance(1);
    expect(await asks("set", fields("two", "secret"), peer)).toBe("");
  });

  test("of two attempts at once one succeeds", async () => {
    await begin();
    const peer = newcomer();
    const both = await Promise.all([
      asks("set", fields("one", "secret"), peer),
      asks("set", fields("two", "secret"), peer),
    ]);
    expect(both.sort()).toEqual(["", "resource-constraint"]);
  });

  test("may try another name after a conflict, and has no account too many on the host", async () => {
    await begin();
    const peer = newcomer();
    for (const name of ["one", "two", "three"]) expect(await asks("set", fields(name, "secret"))).toBe("");
    expect(await asks("set", fields("one", "secret"), peer)).toBe("conflict");
    expect(await asks("set", fields("four", "secret"), peer)).toBe("");
    expect(await asks("set", fields("five", "secret"))).toBe("resource-constraint");
  });

  test("needs a strong password where the operator wants one", async () => {
    await begin({ passwordStrength: 40 });
    const peer = newcomer();
    expect(await asks("set", fields("bill", "calliope"), peer)).toBe("not-acceptable");
    expect(await asks("set", fields("bill", "Calli0pe!"), peer)).toBe("");
  });

  test("is welcomed, and those who watch are told", async () => {
    await begin({
      welcomeMessage: { subject: "Hi & hello", body: "Be <kind>" },
      registrationWatchers: ["watcher@localhost"],
    });
    await core!.accounts.register(parseJid("watcher@localhost")!, "secret");
    const watcher = await login("watcher@localhost/desk");
    await takeFromClient(
      core!.router,
      core!.router.hosts.get("localhost")!,
      core!.router.sessions.of("watcher@localhost")[0]!,
      stanzaOf("<presence/>"),
    );
    const welcomed: string[] = [];
    core!.router.hosts.get("localhost")!.registry.stage("undelivered", "message", (stanza) => {
      welcomed.push(stanza.toXml());
      return { do: "handled" };
    });
    await asks("set", fields("bill", "secret"), { remoteAddress: "2001:db8::9", secure: true });
    expect(welcomed).toEqual([
      "<message from='localhost' to='bill@localhost'><subject>Hi &amp; hello</subject><body>Be &lt;kind&gt;</body></message>",
    ]);
    const report = watcher.inbox.at(-1)!;
    expect(report.from!.full).toBe("localhost");
    expect(report.text("body")).toStartWith("bill@localhost was registered from 2001:db8::9 at 20");
  });
});

describe("an owner", () => {
  async function bill(link = {}) {
    await begin({ passwordStrength: 20 });
    await core!.accounts.register(parseJid("bill@localhost")!, "old password");
    return login("bill@localhost/globe", link);
  }
  const keys = () => core!.accountRows.credentials("localhost", "bill");

  test("sees the registration", async () => {
    const session = await bill();
    for (const to of ["", " to='localhost'", " to='bill@localhost'"]) {
      const answer = parseElement(await session.asks("get", "", to), ns.client);
      expect(answer.elements().map((field) => field.name)).toEqual([
        "registered",
        "instructions",
        "username",
        "password",
      ]);
      expect(answer.childText("username")).toBe("bill");
      expect(answer.childText("password")).toBe("");
    }
  });

  test("changes the password", async () => {
    const session = await bill();
    const before = await keys();
    expect(await session.asks("set", fields("bill", "newpass"), " to='localhost'")).toBe("");
    expect(await keys()).not.toBe(before);
    expect(session.seen.closedWith).toBeUndefined();
  });

  for (const [name, inside, condition] of [
    ["without a name", "<password>newpass</password>", "bad-request"],
    ["of somebody else", fields("watcher", "newpass"), "not-allowed"],
    ["to none", "<username>bill</username>", "bad-request"],
    ["to an empty one", fields("bill", ""), "bad-request"],
    ["to a weak one", fields("bill", "1"), "not-acceptable"],
    ["and removes the account", `<remove/>${fields("bill", "newpass")}`, "bad-request"],
  ] as const) {
    test(`is refused to change a password ${name}`, async () => {
      const session = await bill();
      const before = await keys();
      expect(await session.asks("set", inside)).toBe(condition);
      expect(await keys()).toBe(before);
    });
  }

  test("does not send a password where others can listen", async () => {
    const session = await bill({ secure: false });
    expect(await session.asks("set", fields("bill", "newpass"))).toBe("not-authorized");
    const local = await login("bill@localhost/home", { secure: false, remoteAddress: "127.0.0.1" });
    expect(await local.asks("set", fields("bill", "newpass"))).toBe("");
  });

  test("leaves: the answer comes, then every session of the account ends", async () => {
    const session = await bill();
    const other = await login("bill@localhost/home");
    expect(await session.asks("set", "<remove/>")).toBe("");
    expect(session.seen.closedWith).toBe("not-authorized");
    expect(other.seen.closedWith).toBe("not-authorized");
    expect(await exists("bill")).toBe(false);
    expect(core!.router.sessions.size).toBe(0);
    expect(session.inbox).toEqual([]);
  });

  test("whose account is gone is told so", async () => {
    const session = await bill();
    await core!.accountRows.remove("localhost", "bill");
    expect(await session.asks("set", "<remove/>")).toBe("registration-required");
  });

  test("of another server has no account here", async () => {
    await begin();
    const handler = core!.router.hosts.get("localhost")!.registry.findIq("get", "server", ns.register, "query")!;
    const from = parseJid("eve@elsewhere.example/x")!;
    const request = stanzaOf(query("get"));
    const iq = { session: undefined, target: parseJid("localhost")!, from, payload: request.firstChild()! };
    expect(() => handler(request, iq)).toThrow("registration-required");
  });
});

describe("limits", () => {
  test("names are not guessed without end", () => {
    const peers = new Peers(clock, 60_000);
    const attempt = () => {
      try {
        peers.begin("peer").failed();
        return "failed";
      } catch (error) {
        return (error as StanzaError).condition;
      }
    };
    for (let count = 0; count < 20; count++) expect(attempt()).toBe("failed");
    expect(attempt()).toBe("not-acceptable");
    clock.advance(600_000);
    expect(attempt()).toBe("failed");
  });

  test("an interval of infinity is no limit, as in MongooseIM", () => {
    const peers = new Peers(clock, Number.POSITIVE_INFINITY);
    peers.begin("peer");
    expect(() => peers.begin("peer")).not.toThrow();
  });

  test("the first rule for an address decides", () => {
    const rules = [
      { policy: "allow" as const, address: "10.1.0.0/16" },
      { policy: "deny" as const, address: "10.0.0.0/8" },
      { policy: "deny" as const, address: "2001:db8::/32" },
    ];
    for (const [address, allowed] of [
      ["10.1.2.3", true],
      ["10.2.2.3", false],
      ["::ffff:10.2.2.3", false],
      ["192.0.2.1", true],
      ["2001:db8::1", false],
      ["2001:db9::1", true],
    ] as const) {
      expect(isAddressAllowed(address, rules)).toBe(allowed);
    }
  });

  test("the strength of a password", () => {
    expect(passwordBits("")).toBe(0);
    expect(Math.round(passwordBits("12345678"))).toBe(27);
    expect(Math.round(passwordBits("calliope"))).toBe(38);
    expect(Math.round(passwordBits("Calliope"))).toBe(46);
    expect(Math.round(passwordBits("Call10pe"))).toBe(48);
    expect(Math.round(passwordBits("Call10p!"))).toBe(53);
    expect(Math.round(passwordBits("🦝"))).toBe(7);
  });
});
