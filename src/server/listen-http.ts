/** Opens the listeners for HTTP: pages and probes by `http/`, WebSockets (RFC 7395) as client streams. */
import type { HttpListener, WebSocketHandler } from "../config/settings.ts";
import { createHttpApp } from "../http/app.ts";
import { authorityOf, namesDomain } from "../http/authority.ts";
import { type HttpServer, type RequestInfo, serveHttp } from "../runtime/bun/http.ts";
import type { ByteSocket, SocketHandler } from "../socket/socket.ts";
import { C2sStream } from "../stream/c2s-stream.ts";
import type { StreamEnvironment } from "../stream/environment.ts";
import { listenerPolicy } from "./listen-c2s.ts";
import type { NodeParts } from "./node-parts.ts";
import { findUpload, largestUpload, uploadOrigins } from "./uploads.ts";

/** No page of ours takes a body; uploads are as large as their module says. */
const requestBytesMax = 64 * 1024;
/** The stream itself tells a client that its stanza is too large; frames this many times larger are cut off unread. */
const frameRoom = 2;
/** The longest silence the runtime can watch for, in seconds. */
const idleSecondsMax = 960;

/** Opens one HTTP listener. Throws `PortTaken`, `CannotListen`, or `TlsConfigurationError`. */
export function listenHttp(node: NodeParts, listener: HttpListener): HttpServer {
  const { hosts } = node.core.router;
  const app = createHttpApp({
    handlers: {
      websocket: listener.handlers.webSocket,
      chat: listener.handlers.chat,
      metrics: listener.handlers.prometheus,
      health: listener.handlers.health,
      hostMeta: listener.handlers.hostMeta,
      upload: listener.handlers.upload,
    },
    secure: listener.tls !== undefined,
    metrics: node.metricsPage,
    ready: () => readiness(node),
    live: () => true,
    log: node.log,
    domains: () => [...node.settings.hosts.keys()],
    registrationAllowed: (domain) => node.settings.hosts.get(domain)?.modules.has("mod_register") === true,
    groupsOffered: (domain) => node.settings.hosts.get(domain)?.modules.has("mod_muc") === true,
    uploadOrigins: () => uploadOrigins(hosts, node.uploads),
    findUpload: (token) => findUpload(hosts, token),
  });
  const sockets = listener.handlers.webSocket;
  const environments = new Map(sockets.map((handler) => [handler, environmentFor(node, listener, handler)]));
  const idleMs = Math.max(0, ...sockets.map((handler) => handler.timeoutMs));
  const server = serveHttp({
    address: listener.ipAddress,
    port: listener.port,
    reusePort: node.sharesPorts,
    certificates: listener.tls === undefined ? undefined : node.certificates.of(listener.tls),
    requestBytesMax:
      listener.handlers.upload.length > 0 ? Math.max(requestBytesMax, largestUpload(hosts)) : requestBytesMax,
    fetch: (request, info) => app.fetch(request, info),
    failed: (error) => node.log.error({ err: error }, "an HTTP request failed"),
    webSocket:
      sockets.length === 0
        ? undefined
        : {
            ...node.sockets,
            messageBytesMax: frameRoom * Math.max(...sockets.map((handler) => handler.stanzaBytesMax)),
            idleTimeoutSeconds: Number.isFinite(idleMs) ? Math.min(idleSecondsMax, Math.ceil(idleMs / 1000)) : 0,
            connectionsMax: listener.connectionsMax,
            upgrade: (request, info) => upgrade(node, environments, request, info),
          },
  });
  node.uploads.opened(listener, server.port);
  return server;
}

function environmentFor(node: NodeParts, listener: HttpListener, handler: WebSocketHandler): StreamEnvironment {
  return {
    ...node.streams,
    counters: node.metrics.streamCounters("websocket", listener.tls === undefined ? "none" : "tls"),
    listener: listenerPolicy(node.settings, handler, "none", 0),
  };
}

function upgrade(
  node: NodeParts,
  environments: ReadonlyMap<WebSocketHandler, StreamEnvironment>,
  request: Request,
  info: RequestInfo,
): ((socket: ByteSocket) => SocketHandler) | Response | undefined {
  const asked = authorityOf(request);
  if (asked === undefined) return new Response("the Host header is not a host name\n", { status: 400 });
  const path = new URL(request.url).pathname;
  for (const [handler, environment] of environments) {
    if (handler.path !== path || (handler.host !== "_" && !namesDomain(asked.host, handler.host))) continue;
    if (node.draining) return new Response("this node is stopping\n", { status: 503 });
    if (!node.gate.accepts(info.remote)) return new Response("too many connections\n", { status: 503 });
    return (socket) => new C2sStream(environment, socket);
  }
  return undefined;
}

function readiness({ store, draining, cluster }: NodeParts): { ready: boolean; reasons: string[] } {
  const reasons: string[] = [];
  if (!store.ready) reasons.push("the database does not answer");
  if (draining) reasons.push("the node is stopping");
  if (cluster !== undefined) {
    if (!cluster.node.replicator.ready) reasons.push("the tables of other nodes are not here yet");
    if (cluster.node.fabric.replaced) reasons.push("another process has taken the place of this node");
    if (cluster.discovery.standing.is === "lost")
      reasons.push("another process has taken the registration of this node");
  }
  return { ready: reasons.length === 0, reasons };
}
