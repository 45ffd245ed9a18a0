/** TCP listeners: in clear with STARTTLS on request, or with TLS from the first byte on (XEP-0368). */

import type { SocketSettings } from "../../socket/base-socket.ts";
import type { ByteSocket, SocketHandler } from "../../socket/socket.ts";
import { AnnouncedConnection } from "./announced-connection.ts";
import { type NativeEvents, type NativeSocket, type TcpSettings, TcpSocket } from "./tcp-socket.ts";
import type { ServerCertificates } from "./tls.ts";

/** ALPN protocol name of a direct TLS client connection (XEP-0368 section 4), in wire format. */
const clientProtocol = Buffer.from("\x0bxmpp-client", "latin1");
const serverProtocol = Buffer.from("\x0bxmpp-server", "latin1");

/** The address cannot be listened on; `code` is the system's name of the reason (EACCES, EADDRNOTAVAIL, …). */
export class CannotListen extends Error {
  override readonly name: string = "CannotListen";
  readonly address: string;
  readonly port: number;
  readonly code: string;

  constructor(address: string, port: number, code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.address = address;
    this.port = port;
    this.code = code;
  }
}

/** Another program listens there. */
export class PortTaken extends CannotListen {
  override readonly name = "PortTaken";

  constructor(address: string, port: number, cause?: unknown) {
    super(address, port, "EADDRINUSE", `port ${port} of ${address} is taken by another program`, cause);
  }
}

/** The typed error for what a failed listen threw. */
export function listenFailure(address: string, port: number, error: unknown): CannotListen {
  const code = (error as { code?: unknown }).code;
  if (code === "EADDRINUSE") return new PortTaken(address, port, error);
  const reason = error instanceof Error ? error.message : String(error);
  const name = typeof code === "string" ? code : "UNKNOWN";
  return new CannotListen(address, port, name, `cannot listen on port ${port} of ${address}: ${reason}`, error);
}

export interface ListenOptions extends SocketSettings {
  /** "0.0.0.0", "::" (both families, unless `ipv6Only`), or one address. */
  readonly address: string;
  /** 0 lets the system choose; see `Listener.port`. */
  readonly port: number;
  readonly ipv6Only?: boolean;
  /** Several processes listen on the same port, and the kernel spreads connections among them. */
  readonly reusePort?: boolean;
  /** Needed for `startTls`, and for `directTls`. */
  readonly certificates?: ServerCertificates;
  /** TLS from the first byte on, for this kind of peer. */
  readonly directTls?: "client" | "server";
  /** Connections of this listener at one time; further ones are closed at once. */
  readonly connectionsMax?: number;
  /**
   * A load balancer before us says of each connection, by the PROXY protocol, whose it is; one that does not begin so is
   * closed.
   */
  readonly proxyProtocol?: boolean;
  /** Told of a connection closed for want of a right PROXY header, and why. */
  unannounced?(remoteAddress: string, reason: string): void;
  /** Asked for every new connection; a refused one is closed at once. */
  accepts?(remoteAddress: string): boolean;
  /** A new connection; returns who takes its events. */
  connected(socket: ByteSocket): SocketHandler;
}

export interface Listener {
  readonly address: string;
  /** The actual port. */
  readonly port: number;
  /** Open connections. */
  readonly connections: number;
  /** Connections closed because of `connectionsMax`, and by `accepts`. */
  readonly refused: { readonly full: number; readonly denied: number };
  /** Accepts no more; running connections stay. */
  stop(): void;
}

/** Opens the port. Throws `PortTaken` or `CannotListen`. */
export function listen(options: ListenOptions): Listener {
  if (options.directTls !== undefined && options.certificates === undefined) {
    throw new Error("direct TLS needs a certificate");
  }
  return new TcpListener(options);
}

class TcpListener implements Listener {
  readonly refused = { full: 0, denied: 0 };
  connections = 0;
  readonly address: string;
  readonly port: number;
  readonly #options: ListenOptions;
  readonly #settings: TcpSettings;
  readonly #native: Bun.TCPSocketListener<NativeEvents | undefined>;

  constructor(options: ListenOptions) {
    this.#options = options;
    const certificates = options.certificates;
    const handlers = {
      ...socketHandlers,
      open: (native: NativeSocket) => this.#opened(native),
    };
    this.#settings = {
      batch: options.batch,
      wheel: options.wheel,
      writeQueueBytesMax: options.writeQueueBytesMax,
      lingerMs: options.lingerMs,
      failed: (error) => options.failed(error),
      certificates,
      directProtocols:
        options.directTls === undefined ? undefined : options.directTls === "client" ? clientProtocol : serverProtocol,
      tlsHandlers: { ...socketHandlers, ...serverNameHandler(certificates) },
      left: () => {
        this.connections--;
      },
    };
    const listenOptions = {
      hostname: options.address,
      port: options.port,
      allowHalfOpen: true,
      reusePort: options.reusePort ?? false,
      // Without it Bun would share the port with another process of the same user.
      exclusive: !(options.reusePort ?? false),
      ipv6Only: options.ipv6Only ?? false,
      socket: handlers,
    };
    try {
      this.#native = Bun.listen<NativeEvents | undefined>(listenOptions);
    } catch (error) {
      throw listenFailure(options.address, options.port, error);
    }
    this.address = options.address;
    this.port = this.#native.port;
  }

  stop(): void {
    this.#native.stop(false);
  }

  #opened(native: NativeSocket): void {
    const address = plainAddress(native.remoteAddress);
    native.data = undefined;
    if (this.connections >= (this.#options.connectionsMax ?? Number.POSITIVE_INFINITY)) {
      this.refused.full++;
      native.terminate();
      return;
    }
    this.connections++;
    if (this.#options.proxyProtocol !== true) {
      this.#accept(native, address, native.remotePort);
      return;
    }
    native.data = new AnnouncedConnection(native, address, this.#options.wheel, {
      announced: (source, rest) => {
        const socket = this.#accept(native, source.address, source.port);
        if (rest.length > 0) socket?.onData(rest);
      },
      refused: (reason) => this.#options.unannounced?.(address, reason),
      left: () => {
        this.connections--;
      },
    });
  }

  /** A connection whose peer is known; undefined where it is not welcome. */
  #accept(native: NativeSocket, address: string, port: number): TcpSocket | undefined {
    if (this.#options.accepts?.(address) === false) {
      this.refused.denied++;
      this.connections--;
      native.data = undefined;
      native.terminate();
      return undefined;
    }
    // Writes are batched by turn already, and Bun has turned off that the kernel waits for more (TCP_NODELAY).
    const socket = new TcpSocket(native, this.#settings, address, port);
    native.data = socket;
    socket.attach(this.#options.connected(socket));
    return socket;
  }
}

/** Shared by all sockets. The lower half of an upgraded connection has no data: what it reports is ciphertext. */
const socketHandlers = {
  binaryType: "buffer",
  data(native: NativeSocket, chunk: Buffer) {
    native.data?.onData(chunk);
  },
  drain(native: NativeSocket) {
    native.data?.onDrain();
  },
  handshake(native: NativeSocket, success: boolean, error: Error | null) {
    native.data?.onHandshake(success, error);
  },
  end(native: NativeSocket) {
    native.data?.onFinish();
  },
  error(native: NativeSocket, error: Error) {
    native.data?.onFailure(error);
  },
  close(native: NativeSocket, error?: Error) {
    native.data?.onClose(error);
  },
} satisfies Bun.SocketHandler<NativeEvents | undefined>;

/**
 * Bun asks this callback which context serves the host that the client named. It is what Bun's own `node:tls` is built
 * on; it is not in Bun's published types.
 */
function serverNameHandler(certificates: ServerCertificates | undefined): object {
  return {
    serverName: (_data: unknown, servername: string | undefined) =>
      servername ? certificates?.contextFor(servername) : undefined,
  };
}

/** An IPv4 client of an IPv6 listener, written as IPv4. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
