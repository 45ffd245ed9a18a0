/** Every route of the HTTP listener, and what it refuses. */
import { describe, expect, test } from "bun:test";
import type { Log } from "../observe/log.ts";
import { parseElement } from "../xml/parse.ts";
import { createHttpApp, type HttpAppParts, type Readiness } from "./app.ts";

const anywhere = (path: string) => [{ host: "_", path }];

interface Noted {
  errors: { fields: object; message: string }[];
}

function partsWith(changes: Partial<HttpAppParts> = {}): HttpAppParts & Noted {
  const errors: Noted["errors"] = [];
  const nothing = () => {};
  const log: Log = {
    fatal: nothing,
    error: (fields, message) => errors.push({ fields, message }),
    warn: nothing,
    info: nothing,
    debug: nothing,
    trace: nothing,
    child: () => log,
  };
  return {
    handlers: {
      websocket: anywhere("/ws-xmpp"),
      chat: anywhere("/chat"),
      metrics: anywhere("/metrics"),
      health: anywhere("/health"),
      hostMeta: anywhere("/.well-known"),
    },
    secure: false,
    domains: () => ["localhost"],
    registrationAllowed: () => false,
    groupsOffered: () => false,
    uploadOrigins: () => [],
    findUpload: async () => undefined,
    metrics: { contentType: "text/plain; version=0.0.4; charset=utf-8", text: async () => "sessions 3\n" },
    ready: () => ({ ready: true, reasons: [] }),
    live: () => true,
    log,
    errors,
    ...changes,
  };
}

const appWith = (changes?: Partial<HttpAppParts>) => createHttpApp(partsWith(changes));
const host = (name: string) => ({ headers: { host: name } });

/** The settings in a page, as its script reads them. */
async function settingsOf(response: Response): Promise<Record<string, unknown>> {
  const attribute = /data-settings="([^"]*)"/.exec(await response.text())![1]!;
  return JSON.parse(attribute.replaceAll("&quot;", '"').replaceAll("&amp;", "&"));
}

describe("every response", () => {
  test("carries the security headers, also when it is a refusal", async () => {
    const app = appWith({ metrics: { contentType: "text/plain", text: () => Promise.reject(new Error("no")) } });
    const requests: [string, RequestInit?][] = [
      ["/chat"],
      ["/"],
      ["/nothing"],
      ["/metrics"],
      ["/chat", { method: "POST" }],
      ["/chat/icon.svg"],
      ["/.well-known/host-meta"],
      ["/", host("a b")],
    ];
    for (const [path, init] of requests) {
      const { headers } = await app.request(path, init);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
      expect(headers.get("cache-control")).not.toBeNull();
      expect(headers.get("server")).toBeNull();
    }
  });

  test("is for reading only", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]) {
      const response = await appWith().request("/health/live", { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
    }
  });

  test("to HEAD is the one to GET without its body", async () => {
    for (const path of ["/chat", "/chat/chat.js", "/health/ready", "/metrics", "/.well-known/host-meta"]) {
      const get = await appWith().request(path);
      const head = await appWith().request(path, { method: "HEAD" });
      expect(head.status).toBe(get.status);
      expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
      expect(head.headers.get("etag")).toBe(get.headers.get("etag"));
      expect(head.headers.get("content-length")).toBe(String((await get.arrayBuffer()).byteLength));
      expect(await head.text()).toBe("");
    }
  });

  test("to a Host header that is no host name is 400", async () => {
    expect((await appWith().request("/health/live", host("x'; script-src *"))).status).toBe(400);
  });

  test("to an unknown path is 404", async () => {
    for (const path of ["/nothing", "/health", "/health/", "/health/x", "/.well-known/", "/metrics/x", "/chatter"]) {
      expect((await appWith().request(path)).status).toBe(404);
    }
  });

  test("to what fails inside is 500 without its reason, which is in the log", async () => {
    const parts = partsWith({
      metrics: { contentType: "text/plain", text: () => Promise.reject(new Error("secret")) },
    });
    const response = await createHttpApp(parts).request("/metrics", {}, { remote: "192.0.2.1" });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(parts.errors).toHaveLength(1);
    expect(parts.errors[0]!.fields).toMatchObject({ remote: "192.0.2.1", path: "/metrics" });
  });
});

describe("health and metrics", () => {
  test("live", async () => {
    const up = await appWith().request("/health/live");
    expect([up.status, await up.json()]).toEqual([200, { live: true }]);
    const down = await appWith({ live: () => false }).request("/health/live");
    expect([down.status, await down.json()]).toEqual([503, { live: false }]);
  });

  test("ready, with the reasons when not, never from a cache", async () => {
    let state: Readiness = { ready: false, reasons: ["the database does not answer", "draining"] };
    const app = appWith({ ready: () => state });
    const down = await app.request("/health/ready");
    expect([down.status, await down.json()]).toEqual([503, state]);
    expect(down.headers.get("cache-control")).toBe("no-store");
    state = { ready: true, reasons: [] };
    const up = await app.request("/health/ready");
    expect([up.status, await up.json()]).toEqual([200, state]);
  });

  test("metrics are text of the type their source names", async () => {
    const response = await appWith().request("/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await response.text()).toBe("sessions 3\n");
  });

  test("what is not configured does not exist", async () => {
    const app = appWith({ handlers: {} });
    for (const path of ["/metrics", "/health/live", "/health/ready", "/chat", "/.well-known/host-meta", "/ws-xmpp"]) {
      expect((await app.request(path)).status).toBe(404);
    }
    expect(await (await app.request("/")).text()).toContain("XMPP server");
  });

  test("a handler bound to a host answers to that name only", async () => {
    const handlers = { metrics: [{ host: "internal.example", path: "/metrics" }] };
    const app = appWith({ handlers });
    expect((await app.request("/metrics", host("internal.example:9090"))).status).toBe(200);
    expect((await app.request("/metrics", host("example.org"))).status).toBe(404);
  });

  test("two handlers of one path are told apart by host", async () => {
    const handlers = {
      websocket: [
        { host: "a.example", path: "/a" },
        { host: "b.example", path: "/b" },
      ],
      chat: anywhere("/chat"),
    };
    const app = appWith({ handlers, domains: () => ["a.example", "b.example"] });
    const paths = ["a.example", "b.example"].map(async (name) => settingsOf(await app.request("/chat", host(name))));
    expect((await Promise.all(paths)).map((settings) => settings.websocketPath)).toEqual(["/a", "/b"]);
    expect((await app.request("/chat", host("c.example"))).status).toBe(404);
  });
});

describe("XEP-0156 host metadata", () => {
  const secure = { secure: true, domains: () => ["example.org", "bücher.example"] };

  test("as XRD", async () => {
    const response = await appWith(secure).request("/.well-known/host-meta", host("example.org"));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/xrd+xml; charset=utf-8");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    const text = await response.text();
    expect(text).toStartWith("<?xml version='1.0' encoding='utf-8'?>");
    const xrd = parseElement(text.slice(text.indexOf("?>") + 3).trim(), "");
    expect([xrd.name, xrd.ns]).toEqual(["XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0"]);
    const link = xrd.child("Link")!;
    expect(link.attr("rel")).toBe("urn:xmpp:alt-connections:websocket");
    expect(link.attr("href")).toBe("wss://example.org/ws-xmpp");
  });

  test("as JRD", async () => {
    const response = await appWith(secure).request("/.well-known/host-meta.json", host("example.org:5443"));
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.json()).toEqual({
      links: [{ rel: "urn:xmpp:alt-connections:websocket", href: "wss://example.org:5443/ws-xmpp" }],
    });
  });

  const linkFor = async (name: string, changes: Partial<HttpAppParts>, headers: Record<string, string> = {}) => {
    const response = await appWith(changes).request("/.well-known/host-meta.json", {
      headers: { host: name, ...headers },
    });
    if (response.status !== 200) return response.status;
    return ((await response.json()) as { links: { href: string }[] }).links[0]!.href;
  };

  test("is for our domains only", async () => {
    expect(await linkFor("xn--bcher-kva.example", secure)).toBe("wss://xn--bcher-kva.example/ws-xmpp");
    expect(await linkFor("evil.example", secure)).toBe(404);
  });

  test("announces ws: only to the machine itself", async () => {
    const plain = { secure: false, domains: () => ["localhost", "example.org"] };
    expect(await linkFor("localhost:5280", plain)).toBe("ws://localhost:5280/ws-xmpp");
    expect(await linkFor("example.org", plain)).toBe(404);
  });

  test("believes no forwarded header, but the operator's public URL", async () => {
    const plain = { secure: false, domains: () => ["example.org"] };
    const forwarded = { "x-forwarded-proto": "https", "x-forwarded-host": "evil.example", forwarded: "proto=https" };
    expect(await linkFor("example.org", plain, forwarded)).toBe(404);
    const hostMeta = [{ host: "_", path: "/.well-known", publicUrl: "https://chat.example.org/xmpp/" }];
    const behind = { ...plain, handlers: { websocket: anywhere("/ws-xmpp"), hostMeta } };
    expect(await linkFor("10.1.2.3:5280", behind, forwarded)).toBe("wss://chat.example.org/xmpp/ws-xmpp");
  });

  test("is the only thing other sites may read", async () => {
    for (const path of ["/chat", "/health/ready", "/metrics", "/chat/chat.js"]) {
      const { headers } = await appWith().request(path, { headers: { origin: "https://evil.example" } });
      expect(headers.get("access-control-allow-origin")).toBeNull();
      expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
    }
  });
});

describe("the WebSocket's path", () => {
  test("tells who asks for no upgrade what to do", async () => {
    const response = await appWith().request("/ws-xmpp");
    expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
  });
});

describe("the web chat", () => {
  test("is where the front door leads", async () => {
    const response = await appWith().request("/");
    expect([response.status, response.headers.get("location")]).toEqual([302, "/chat"]);
    const slash = await appWith().request("/chat/");
    expect([slash.status, slash.headers.get("location")]).toEqual([308, "/chat"]);
  });

  test("is a page that loads nothing from elsewhere", async () => {
    const response = await appWith().request("/chat", host("localhost:5280"));
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const policy = response.headers.get("content-security-policy")!;
    expect(policy).toContain("connect-src 'self' ws://localhost:5280 wss://localhost:5280");
    expect(policy).not.toContain("unsafe-eval");
    expect(policy).toContain("script-src 'self';");
    const page = await response.text();
    expect(page).not.toContain("{{");
    expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
    const linked = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(linked.length).toBeGreaterThan(3);
    for (const path of linked) expect((await appWith().request(path)).status).toBe(200);
  });

  test("offers registration and groups when the operator does", async () => {
    const settings = async (changes: Partial<HttpAppParts>) => settingsOf(await appWith(changes).request("/chat"));
    expect(await settings({})).toMatchObject({ registration: false, groups: false, locked: true, domain: "localhost" });
    expect(await settings({ registrationAllowed: (domain) => domain === "localhost" })).toMatchObject({
      registration: true,
    });
    expect(await settings({ groupsOffered: () => true })).toMatchObject({ groups: true });
  });

  test("of several domains chooses the one it was asked by, else the first", async () => {
    const app = appWith({ domains: () => ["one.example", "two.example"] });
    const asked = async (name: string) => settingsOf(await app.request("/chat", host(name)));
    expect(await asked("two.example:5280")).toMatchObject({ domain: "two.example", locked: false });
    expect(await asked("192.0.2.7")).toMatchObject({ domain: "one.example", locked: false });
  });

  test("keeps a strange domain from becoming markup", async () => {
    const page = await (await appWith({ domains: () => ['"><script>x</script>'] }).request("/chat")).text();
    expect(page).not.toContain("<script>x");
  });

  test("serves Converse under its version for ever, our own files checked each time", async () => {
    const app = appWith();
    const { assetsPath } = (await settingsOf(await app.request("/chat"))) as { assetsPath: string };
    expect(assetsPath).toMatch(/^\/chat\/converse-\d+\.\d+\.\d+\/$/);
    const style = await app.request(`${assetsPath}converse.min.css`);
    expect(style.headers.get("cache-control")).toContain("immutable");
    expect(style.headers.get("content-type")).toBe("text/css; charset=utf-8");
    for (const name of [
      "emoji.json",
      "chunkjs/locales/de-LC_MESSAGES-converse-po.js",
      "sounds/msg_received.mp3",
      "images/custom_emojis/xmpp.png",
      "webfonts/muli.ttf",
    ]) {
      expect((await app.request(assetsPath + name)).status).toBe(200);
    }
    expect((await app.request("/chat/chat.js")).headers.get("cache-control")).toBe("no-cache");
  });

  test("serves nothing else, whatever the path looks like", async () => {
    const app = appWith();
    const { assetsPath } = (await settingsOf(await app.request("/chat"))) as { assetsPath: string };
    for (const path of [
      "/chat/index.html",
      `${assetsPath}converse.min.js.map`,
      `${assetsPath}converse.js`,
      `${assetsPath}libomemo.esm.min.js`,
      `${assetsPath}sounds/README`,
      assetsPath,
      `${assetsPath}../../package.json`,
      `${assetsPath}..%2f..%2fpackage.json`,
      `${assetsPath}%2e%2e/package.json`,
      `${assetsPath}..\\package.json`,
      "/chat/%00",
      "/chat/%E0%A4%A",
      "/chat//chat.js",
      "/chat/chat.js/",
    ]) {
      expect((await app.request(path)).status).toBe(404);
    }
  });

  test("can be at another path, also the root", async () => {
    const handlers = { websocket: anywhere("/ws-xmpp"), chat: anywhere("/talk/") };
    const settings = await settingsOf(await appWith({ handlers }).request("/talk"));
    expect(settings.assetsPath).toStartWith("/talk/converse-");
    const root = appWith({ handlers: { ...handlers, chat: anywhere("/") } });
    const page = await root.request("/");
    expect(page.status).toBe(200);
    expect((await root.request("/chat.js")).status).toBe(200);
    expect(await settingsOf(page)).toMatchObject({ websocketPath: "/ws-xmpp" });
  });

  test("cannot be configured without a WebSocket, nor at a pattern", () => {
    expect(() => appWith({ handlers: { chat: anywhere("/chat") } })).toThrow("needs a WebSocket");
    for (const path of ["/:any", "/*", "/a%2f"]) {
      expect(() => appWith({ handlers: { metrics: anywhere(path) } })).toThrow(path);
    }
  });
});
