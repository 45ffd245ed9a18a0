/** HTTP and HTTPS, and on the same port WebSockets for XMPP (RFC 7395). */
import { constants } from "node:crypto";
import type { SocketSettings } from "../../socket/base-socket.ts";
import type { ByteSocket, SocketHandler } from "../../socket/socket.ts";
import { listenFailure, plainAddress } from "./listen.ts";
import type { ServerCertificates } from "./tls.ts";
import { type NativeWebSocket, type WebSocketSettings, WebSocketSocket } from "./web-socket.ts";

/** RFC 7395 section 3.1. */
const subprotocol = "xmpp";

/** Of a request, besides itself. */
export interface RequestInfo {
  /** The peer's address; "" over a Unix socket. */
  readonly remote: string;
  readonly remotePort: number;
  /** The listener speaks TLS. */
  readonly secure: boolean;
}

export interface WebSocketOptions extends SocketSettings {
  /** Largest frame taken; a larger one closes the connection (1009). */
  readonly messageBytesMax: number;
  /** Silence after which a connection is closed, seconds up to 960; 0 for never. The server pings before that. */
  readonly idleTimeoutSeconds: number;
  /** WebSockets of this listener at one time; further ones get 503. */
  readonly connectionsMax?: number;
  /**
   * Asked for each upgrade with the subprotocol "xmpp": who takes the events of the new connection; a response to
   * refuse it; undefined where there is no WebSocket.
   */
  upgrade(request: Request, info: RequestInfo): ((socket: ByteSocket) => SocketHandler) | Response | undefined;
}

export interface HttpOptions {
  readonly address: string;
  /** 0 lets the system choose; see `HttpServer.port`. */
  readonly port: number;
  readonly ipv6Only?: boolean;
  readonly reusePort?: boolean;
  /** HTTPS; a reload of them reaches new connections. */
  readonly certificates?: ServerCertificates;
  /** Largest request body; a larger one gets 413. */
  readonly requestBytesMax: number;
  /** Silence after which an HTTP connection is closed, seconds up to 255; default 30. */
  readonly idleTimeoutSeconds?: number;
  /** What it throws becomes an empty 500 and is told to `failed`. */
  fetch(request: Request, info: RequestInfo): Response | Promise<Response>;
  failed(error: unknown): void;
  readonly webSocket?: WebSocketOptions;
}

export interface HttpServer {
  readonly address: string;
  /** The actual port. */
  readonly port: number;
  /** Open WebSockets. */
  readonly webSockets: number;
  /** Accepts no more; running requests and WebSockets go on. Resolves when the last of them is over. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  abort(): Promise<void>;
}

/** Opens the port. Throws `PortTaken` or `CannotListen`. */
export function serveHttp(options: HttpOptions): HttpServer {
  return new BunHttpServer(options);
}

class BunHttpServer implements HttpServer {
  readonly address: string;
  readonly port: number;
  webSockets = 0;
  readonly #options: HttpOptions;
  readonly #webSocketSettings: WebSocketSettings | undefined;
  #native: Bun.Server<WebSocketSocket>;
  readonly #unwatch: (() => void) | undefined;
  /** Listeners replaced by a reload, whose connections have not all ended. */
  readonly #former = new Set<Bun.Server<WebSocketSocket>>();

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#webSocketSettings = options.webSocket && this.#shared(options.webSocket);
    this.#native = this.#listen(options.port);
    this.address = options.address;
    this.port = this.#native.port ?? options.port;
    this.#unwatch = options.certificates?.watch(() => this.#reopen());
  }

  async stop(): Promise<void> {
    this.#unwatch?.();
    await Promise.all([this.#native.stop(false), ...[...this.#former].map((former) => former.stop(false))]);
  }

  async abort(): Promise<void> {
    this.#unwatch?.();
    await Promise.all([this.#native.stop(true), ...[...this.#former].map((former) => former.stop(true))]);
  }

  /**
   * Bun cannot replace the certificates of a running server, so the port is closed and opened again, at once: what may
   * be lost are connections that the kernel has accepted and Bun has not yet. Running ones go on.
   */
  #reopen(): void {
    const former = this.#native;
    const over = former.stop(false);
    this.#former.add(former);
    over.then(
      () => this.#former.delete(former),
      (error: unknown) => this.#options.failed(error),
    );
    try {
      this.#native = this.#listen(this.port);
    } catch (error) {
      this.#options.failed(error);
    }
  }

  #shared(webSocket: WebSocketOptions): WebSocketSettings {
    return {
      batch: webSocket.batch,
      wheel: webSocket.wheel,
      writeQueueBytesMax: webSocket.writeQueueBytesMax,
      lingerMs: webSocket.lingerMs,
      failed: (error) => webSocket.failed(error),
      left: () => {
        this.webSockets--;
      },
    };
  }

  #listen(port: number): Bun.Server<WebSocketSocket> {
    const { address, ipv6Only, reusePort, requestBytesMax, idleTimeoutSeconds, certificates, webSocket } =
      this.#options;
    try {
      return Bun.serve<WebSocketSocket>({
        hostname: address,
        port,
        ipv6Only: ipv6Only ?? false,
        reusePort: reusePort ?? false,
        maxRequestBodySize: requestBytesMax,
        idleTimeout: idleTimeoutSeconds ?? 30,
        // No page of Bun's own with stack traces.
        development: false,
        tls: certificates === undefined ? undefined : tlsOptions(certificates),
        fetch: (request, server) => this.#answer(request, server),
        error: (error) => {
          this.#options.failed(error);
          return new Response(null, { status: 500 });
        },
        websocket: {
          ...webSocketHandlers,
          maxPayloadLength: webSocket?.messageBytesMax ?? 1,
          idleTimeout: webSocket?.idleTimeoutSeconds ?? 1,
          sendPings: true,
          // We hand over one frame at a time, see WebSocketSocket; this only has to be larger than any frame.
          backpressureLimit: 0,
          perMessageDeflate: false,
        },
      });
    } catch (error) {
      throw listenFailure(address, port, error);
    }
  }

  #answer(request: Request, server: Bun.Server<WebSocketSocket>): Response | Promise<Response> | undefined {
    const peer = server.requestIP(request);
    const info: RequestInfo = {
      remote: peer === null ? "" : plainAddress(peer.address),
      remotePort: peer?.port ?? 0,
      secure: this.#options.certificates !== undefined,
    };
    const webSocket = this.#options.webSocket;
    if (webSocket !== undefined && request.headers.get("upgrade")?.toLowerCase() === "websocket") {
      const outcome = this.#upgrade(webSocket, request, info, server);
      if (outcome !== "not ours") return outcome;
    }
    return this.#options.fetch(request, info);
  }

  /** Undefined: Bun has taken the connection over. */
  #upgrade(
    options: WebSocketOptions,
    request: Request,
    info: RequestInfo,
    server: Bun.Server<WebSocketSocket>,
  ): Response | undefined | "not ours" {
    const connect = options.upgrade(request, info);
    if (connect === undefined) return "not ours";
    if (connect instanceof Response) return connect;
    const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
    // RFC 7395 section 3.1: the client has to ask for it, and we never speak anything else.
    if (!offered.includes(subprotocol)) return refusal(400, "the WebSocket subprotocol must be xmpp");
    if (this.webSockets >= (options.connectionsMax ?? Number.POSITIVE_INFINITY)) {
      return refusal(503, "too many connections");
    }
    const socket = new WebSocketSocket(this.#webSocketSettings!, info.remote, info.remotePort, info.secure);
    pending.set(socket, connect);
    this.webSockets++;
    const headers = { "Sec-WebSocket-Protocol": subprotocol };
    if (server.upgrade(request, { data: socket, headers })) return undefined;
    this.webSockets--;
    return refusal(400, "this is no WebSocket handshake");
  }
}

function refusal(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

/** Between the upgrade and the opening of a WebSocket: who will take its events. */
const pending = new WeakMap<WebSocketSocket, (socket: ByteSocket) => SocketHandler>();

/** Shared by all WebSockets. */
const webSocketHandlers = {
  open(native: NativeWebSocket) {
    const socket = native.data;
    const connect = pending.get(socket)!;
    pending.delete(socket);
    socket.attach(native, connect(socket));
  },
  message(native: NativeWebSocket, message: string | Buffer) {
    native.data.onMessage(message);
  },
  drain(native: NativeWebSocket) {
    native.data.onDrain();
  },
  close(native: NativeWebSocket, code: number, reason: string) {
    native.data.onClose(code, reason);
  },
};

/** Protocol versions as numbers; Bun's servers take no names. */
const versionNumbers = { "tlsv1.2": 0x0303, "tlsv1.3": 0x0304 };

function tlsOptions({ current, settings }: ServerCertificates): Bun.TLSOptions[] {
  const versions = (settings.versions ?? (["tlsv1.2", "tlsv1.3"] as const)).map((name) => versionNumbers[name]).sort();
  return current.flatMap((certificate) =>
    certificate.hosts.map((host) => ({
      serverName: host,
      cert: certificate.certificate,
      key: certificate.key,
      passphrase: certificate.passphrase,
      ciphers: settings.ciphers,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      minVersion: versions[0],
      maxVersion: versions[versions.length - 1],
    })),
  );
}
