/** The routes of one HTTP listener: web chat, host metadata, uploads, health, metrics. The WebSocket upgrade happens before. */

import type { MiddlewareHandler } from "hono";
import { Hono } from "hono";
import type { Log } from "../observe/log.ts";
import { type Authority, authorityOf, namesDomain } from "./authority.ts";
import { Chat, type ChatSource } from "./chat.ts";
import { hostMetaJrd, hostMetaXrd, webSocketLink } from "./host-meta.ts";
import { send } from "./send.ts";
import { answerUpload, type FindUpload } from "./uploads.ts";

/** Where a handler of `[[listen.http]]` answers. */
export interface HttpHandler {
  /** Only requests to this host; "_" is any. */
  readonly host: string;
  /** Begins with "/". */
  readonly path: string;
}

/** What the operator has turned on; what is not listed does not exist on this listener. */
export interface HttpHandlers {
  readonly websocket?: readonly HttpHandler[];
  /** The page at `path`, its files below it. Needs a WebSocket on the same listener. */
  readonly chat?: readonly HttpHandler[];
  readonly metrics?: readonly HttpHandler[];
  /** `live` and `ready` below `path`. */
  readonly health?: readonly HttpHandler[];
  /** `host-meta` and `host-meta.json` below `path`; each needs a WebSocket for its host. */
  readonly hostMeta?: readonly HostMetaHandler[];
  /** `TOKEN/NAME` below `path`. */
  readonly upload?: readonly HttpHandler[];
}

export interface HostMetaHandler extends HttpHandler {
  /** `https://…` base under which clients reach the WebSocket, when something with TLS stands in front of us. */
  readonly publicUrl?: string | undefined;
}

export interface MetricsSource {
  /** The media type of the text. */
  readonly contentType: string;
  text(): Promise<string>;
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not, in words for an operator. */
  readonly reasons: readonly string[];
}

export interface HttpAppParts extends ChatSource {
  readonly handlers: HttpHandlers;
  /** Whether this listener speaks TLS. */
  readonly secure: boolean;
  readonly metrics: MetricsSource;
  readonly findUpload: FindUpload;
  /** Whether the node takes clients now. */
  ready(): Readiness;
  /** Whether the process is worth keeping. */
  live(): boolean;
  readonly log: Log;
}

/** What the server knows of a request besides itself. */
export interface RequestInfo {
  /** The peer's address. */
  readonly remote?: string;
}

interface Environment {
  Bindings: RequestInfo;
  Variables: { authority: Authority };
}

/** The application of one listener: `app.fetch(request, info)`, and `app.request(…)` for tests. */
export type HttpApp = Hono<Environment>;

/** Nothing of ours is framed, sniffed, embedded elsewhere or told where a reader came from. */
const securityHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

const allowedMethods = "GET, HEAD";

/** Builds the routes. Throws when the web chat is on and its files are not installed, or has no WebSocket to use. */
export function createHttpApp(parts: HttpAppParts): HttpApp {
  for (const { path } of Object.values(parts.handlers).flat()) {
    // The router would take these for patterns.
    if (/[:*{}?%]/.test(path)) throw new Error(`the path ${path} of an HTTP handler has a character that is not taken`);
  }
  const app: HttpApp = new Hono<Environment>();
  app.use(withSecurityHeaders, withAuthority);
  addUploads(app, parts);
  app.use(onlyReading);
  addChat(app, parts);
  addHostMeta(app, parts);
  addHealth(app, parts);
  addMetrics(app, parts);
  addWebSocketHint(app, parts);
  addFrontDoor(app, parts);
  app.notFound(() => text(404, "Nothing here.\n"));
  app.onError((error, context) => {
    parts.log.error({ err: error, remote: context.env?.remote, path: context.req.path }, "an HTTP request failed");
    return text(500, "Something went wrong here; the log of the server says what.\n");
  });
  return app;
}

const withSecurityHeaders: MiddlewareHandler<Environment> = async (context, next) => {
  await next();
  const headers = context.res.headers;
  for (const name in securityHeaders) if (!headers.has(name)) headers.set(name, securityHeaders[name]!);
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
};

const onlyReading: MiddlewareHandler<Environment> = async (context, next) => {
  // Hono runs the handlers of GET for HEAD and drops the body.
  if (context.req.method !== "GET" && context.req.method !== "HEAD") {
    return text(405, `Only ${allowedMethods}.\n`, { allow: allowedMethods });
  }
  return next();
};

/** RFC 9112 section 3.2: a request with a bad Host header is refused whatever it asks for. */
const withAuthority: MiddlewareHandler<Environment> = async (context, next) => {
  const authority = authorityOf(context.req.raw);
  if (authority === undefined) return text(400, "The Host header is not a host name.\n");
  context.set("authority", authority);
  return next();
};

/** Lets a request pass only to the handler of its host. */
function forHost(handler: HttpHandler, middleware: MiddlewareHandler<Environment>): MiddlewareHandler<Environment> {
  return (context, next) =>
    serves(handler, context.get("authority")) ? middleware(context, next) : (next() as Promise<never>);
}

function serves(handler: HttpHandler, asked: Authority): boolean {
  return handler.host === "_" || namesDomain(asked.host, handler.host.toLowerCase());
}

function handlerFor(handlers: readonly HttpHandler[] | undefined, asked: Authority): HttpHandler | undefined {
  return handlers?.find((handler) => serves(handler, asked));
}

function addChat(app: HttpApp, parts: HttpAppParts): void {
  const { chat: handlers = [], websocket } = parts.handlers;
  if (handlers.length > 0 && !websocket?.length) {
    throw new Error("the web chat needs a WebSocket handler on the same listener");
  }
  const chats = new Map<string, Chat>();
  for (const handler of handlers) {
    const path = withoutFinalSlash(handler.path);
    const chat = chats.get(path) ?? new Chat(path);
    chats.set(path, chat);
    if (path !== "")
      app.get(
        `${path}/`,
        forHost(handler, async (context) => context.redirect(path, 308)),
      );
    app.get(
      path === "" ? "/" : path,
      forHost(handler, async (context, next) => {
        const asked = context.get("authority");
        const socket = handlerFor(websocket, asked);
        return socket === undefined ? next() : chat.page(asked, socket.path, parts);
      }),
    );
    app.get(
      `${path}/*`,
      forHost(handler, async (context, next) => (await chat.file(context.req.path, context.req.raw.headers)) ?? next()),
    );
  }
}

/** The only responses that scripts of other sites may read (XEP-0156 section 4). */
function addHostMeta(app: HttpApp, parts: HttpAppParts): void {
  const formats = [
    { name: "host-meta", type: "application/xrd+xml; charset=utf-8", write: hostMetaXrd },
    { name: "host-meta.json", type: "application/json; charset=utf-8", write: hostMetaJrd },
  ] as const;
  for (const handler of parts.handlers.hostMeta ?? []) {
    for (const { name, type, write } of formats) {
      app.get(
        `${withoutFinalSlash(handler.path)}/${name}`,
        forHost(handler, async (context, next) => {
          const asked = context.get("authority");
          const socket = handlerFor(parts.handlers.websocket, asked);
          if (socket === undefined) return next();
          const source = { secure: parts.secure, publicUrl: handler.publicUrl, domains: parts.domains() };
          const link = webSocketLink(asked, socket.path, source);
          const open = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
          if ("refused" in link) return text(404, `${link.refused}\n`, open);
          // What is answered depends on the name asked for, so caches have to ask again.
          return send(200, type, write(link.href), { "cache-control": "no-cache", vary: "host", ...open });
        }),
      );
    }
  }
}

/** The only handler that takes a body. */
function addUploads(app: HttpApp, parts: HttpAppParts): void {
  for (const handler of parts.handlers.upload ?? []) {
    const before = `${withoutFinalSlash(handler.path)}/`;
    app.all(
      `${before}*`,
      forHost(handler, async (context) => {
        const { raw } = context.req;
        return answerUpload(raw, new URL(raw.url).pathname.slice(before.length), parts.findUpload);
      }),
    );
  }
}

function addHealth(app: HttpApp, parts: HttpAppParts): void {
  for (const handler of parts.handlers.health ?? []) {
    const path = withoutFinalSlash(handler.path);
    app.get(
      `${path}/live`,
      forHost(handler, async () => {
        const live = parts.live();
        return json(live ? 200 : 503, { live });
      }),
    );
    app.get(
      `${path}/ready`,
      forHost(handler, async () => {
        const { ready, reasons } = parts.ready();
        return json(ready ? 200 : 503, { ready, reasons });
      }),
    );
  }
}

function addMetrics(app: HttpApp, parts: HttpAppParts): void {
  for (const handler of parts.handlers.metrics ?? []) {
    app.get(
      handler.path,
      forHost(handler, async () => send(200, parts.metrics.contentType, await parts.metrics.text())),
    );
  }
}

/** A request for the WebSocket that asks for no upgrade gets here (RFC 9110 section 15.5.22). */
function addWebSocketHint(app: HttpApp, parts: HttpAppParts): void {
  for (const handler of parts.handlers.websocket ?? []) {
    app.get(
      handler.path,
      forHost(handler, async () =>
        text(426, "XMPP over WebSocket (RFC 7395, subprotocol xmpp).\n", {
          upgrade: "websocket",
          connection: "upgrade",
        }),
      ),
    );
  }
}

function addFrontDoor(app: HttpApp, parts: HttpAppParts): void {
  app.get("/", async (context) => {
    const chat = handlerFor(parts.handlers.chat, context.get("authority"));
    const path = withoutFinalSlash(chat?.path ?? "");
    return path === "" ? text(200, "Meerkat, an XMPP server.\n") : context.redirect(path, 302);
  });
}

function withoutFinalSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return send(status, "text/plain; charset=utf-8", body, headers);
}

function json(status: number, value: object): Response {
  return send(status, "application/json; charset=utf-8", `${JSON.stringify(value)}\n`);
}
