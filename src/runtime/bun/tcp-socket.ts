/** A TCP connection of Bun, in clear or with TLS put on top of it, as the house's byte socket. */
import { BaseSocket, type SocketSettings } from "../../socket/base-socket.ts";
import type { ByteSocket, ChannelBindingType, SocketHandler, TlsInfo } from "../../socket/socket.ts";
import { type ByteSink, Writer } from "../../socket/writer.ts";
import { exporterBytes, exporterContext, exporterLabel, serverEndPoint } from "./channel-binding.ts";
import type { ServerCertificates } from "./tls.ts";

/** Bun's events of one connection, and who takes them. */
export interface NativeEvents {
  onData(chunk: Buffer): void;
  onDrain(): void;
  onHandshake(success: boolean, error: Error | null): void;
  onFailure(error: Error): void;
  onFinish(): void;
  onClose(error: Error | undefined): void;
}

/** Bun's socket. Its `data` is ours; the twin that stays below TLS after an upgrade has none. */
export type NativeSocket = Bun.Socket<NativeEvents | undefined>;

/** What the sockets of one listener share. */
export interface TcpSettings extends SocketSettings {
  readonly certificates: ServerCertificates | undefined;
  /** TLS from the first byte on, with this protocol by ALPN (wire format); a client that offers only others is refused. */
  readonly directProtocols: Buffer | undefined;
  /** Bun's callbacks for the upper half of an upgraded connection. */
  readonly tlsHandlers: Bun.SocketHandler<NativeEvents | undefined>;
  /** The connection is over. */
  left(socket: TcpSocket): void;
}

/**
 * off → pending (`startTls` was called, clear text is still queued) → handshake → on. "awaited": direct TLS, of which no
 * byte has come yet.
 */
type Tls = "off" | "awaited" | "pending" | "handshake" | "on";

/** The last writer that became empty, for the next socket that is written to. */
let spareWriter: Writer | undefined;

export class TcpSocket extends BaseSocket implements ByteSocket, ByteSink, NativeEvents {
  readonly remoteAddress: string;
  readonly remotePort: number;
  declare protected readonly settings: TcpSettings;
  #native: NativeSocket;
  #tls: Tls;
  #paused = false;
  /** Chunks that arrived though reading was paused. */
  #kept: Uint8Array[] | undefined = undefined;
  #failure: Error | undefined = undefined;
  /** Only while something is queued. */
  #writer: Writer | undefined = undefined;

  constructor(native: NativeSocket, settings: TcpSettings, remoteAddress: string, remotePort: number) {
    super(settings);
    this.#native = native;
    this.#tls = settings.directProtocols === undefined ? "off" : "awaited";
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  get framing(): "stream" {
    return "stream";
  }

  get transport(): "tcp" | "tls" {
    return this.#tls === "off" || this.#tls === "pending" ? "tcp" : "tls";
  }

  get secure(): boolean {
    return this.#tls === "on";
  }

  get queuedBytes(): number {
    return this.#writer === undefined ? 0 : this.#writer.queuedBytes;
  }

  /** Whom the events go to; set once, before the first of them. */
  attach(handler: SocketHandler): void {
    this.handler = handler;
  }

  pause(): void {
    if (this.#paused || this.isOver() || !this.open) return;
    this.#paused = true;
    this.#native.pause();
  }

  resume(): void {
    if (!this.#paused || this.isOver()) return;
    this.#paused = false;
    while (this.#kept !== undefined && !this.#paused && this.open) {
      const chunk = this.#kept.shift();
      if (this.#kept.length === 0) this.#kept = undefined;
      if (chunk !== undefined) this.#deliver(chunk);
    }
    if (!this.#paused && !this.isOver()) this.#native.resume();
  }

  startTls(): void {
    if (this.settings.certificates === undefined) throw new Error("this listener has no certificate");
    if (this.#tls !== "off") throw new Error("TLS is already on, or on its way");
    if (!this.open) return;
    this.#tls = "pending";
    // Sends the clear text; `emptied` begins the handshake when all of it is out.
    this.release();
  }

  channelBinding(type: ChannelBindingType): Uint8Array | undefined {
    if (!this.secure || this.isOver()) return undefined;
    if (type === "tls-exporter") {
      // RFC 9266 section 4.2: before TLS 1.3 only with the extended master secret, which Bun does not tell.
      if (this.#native.getTLSVersion() !== "TLSv1.3") return undefined;
      return this.#native.exportKeyingMaterial(exporterBytes, exporterLabel, exporterContext) as unknown as Uint8Array;
    }
    const served = this.#native.getX509Certificate();
    return served === undefined ? undefined : serverEndPoint(served.raw);
  }

  hasChannelBinding(type: ChannelBindingType): boolean {
    if (!this.secure || this.isOver()) return false;
    if (type === "tls-exporter") return this.#native.getTLSVersion() === "TLSv1.3";
    return this.settings.certificates?.allHaveEndPoints === true || this.channelBinding(type) !== undefined;
  }

  tlsInfo(): TlsInfo | undefined {
    if (!this.secure || this.isOver()) return undefined;
    const native = this.#native;
    return {
      version: native.getTLSVersion(),
      cipher: native.getCipher().name,
      servername: native.getServername() || undefined,
      alpn: native.alpnProtocol || undefined,
    };
  }

  /** Hands bytes to the kernel, or to TLS; a closed socket takes them, and they are lost. */
  take(bytes: Uint8Array, offset: number, length: number): number {
    const taken = this.#native.write(bytes, offset, length);
    return taken < 0 ? length : taken;
  }

  protected enqueue(text: string): void {
    if (this.#writer === undefined) {
      this.#writer = spareWriter ?? new Writer();
      spareWriter = undefined;
    }
    this.#writer.add(text);
  }

  protected send(): boolean {
    const writer = this.#writer;
    if (writer === undefined) return true;
    if (writer.flush(this) !== "empty") return false;
    this.#writer = undefined;
    spareWriter = writer;
    return true;
  }

  protected dropQueue(): void {
    this.#writer = undefined;
    this.#kept = undefined;
  }

  protected override get held(): boolean {
    return this.#tls === "handshake" || this.#tls === "awaited";
  }

  protected override emptied(): void {
    if (this.#tls === "pending") this.#upgrade(undefined, undefined);
  }

  protected finish(): void {
    this.#native.shutdown();
  }

  protected terminate(): void {
    this.#native.terminate();
  }

  protected readUntilEnd(): void {
    this.#kept = undefined;
    // A client that never began its handshake has nothing to be told, and nothing can be said to it.
    if (this.#tls === "awaited") this.#tls = "off";
    if (!this.#paused) return;
    this.#paused = false;
    this.#native.resume();
  }

  /** Bun's events, below. */
  onData(chunk: Uint8Array): void {
    if (this.#tls === "awaited") this.#upgrade(chunk, this.settings.directProtocols);
    else if (this.open) {
      if (this.#paused) {
        this.#kept ??= [];
        this.#kept.push(chunk);
      } else this.#deliver(chunk);
    }
  }

  onDrain(): void {
    this.roomAgain();
  }

  onHandshake(success: boolean, error: Error | null): void {
    if (this.#tls !== "handshake") return;
    if (!success) {
      this.#failure = new Error(`the TLS handshake failed: ${error?.message ?? "no reason given"}`, { cause: error });
      this.abort();
      return;
    }
    this.#tls = "on";
    if (this.open) {
      try {
        this.handler.secured();
      } catch (thrown) {
        this.handlerThrew(thrown);
      }
    }
    this.release();
  }

  onFailure(error: Error): void {
    this.#failure ??= error;
    this.abort();
  }

  onFinish(): void {
    if (this.held) this.abort();
    else this.peerFinished();
  }

  onClose(error: Error | undefined): void {
    if (this.isOver()) return;
    this.settings.left(this);
    this.ended(this.#failure ?? error);
  }

  #deliver(chunk: Uint8Array): void {
    try {
      this.handler.received(chunk);
    } catch (error) {
      this.handlerThrew(error);
    }
  }

  /** Puts TLS on top of the connection; `first` is what has been read of the handshake already. */
  #upgrade(first: Uint8Array | undefined, protocols: Buffer | undefined): void {
    this.#tls = "handshake";
    // Reading was perhaps paused while the clear text drained; the handshake needs it.
    if (this.#paused) {
      this.#paused = false;
      this.#native.resume();
    }
    const lower = this.#native;
    lower.data = undefined;
    const options = {
      data: this as NativeEvents | undefined,
      socket: this.settings.tlsHandlers,
      tls: { secureContext: this.settings.certificates!.defaultContext, ALPNProtocols: protocols },
      initialData: first,
      isServer: true,
    };
    const [raw, upper] = lower.upgradeTLS(options as Bun.TLSUpgradeOptions<NativeEvents | undefined>);
    raw.data = undefined;
    this.#native = upper;
  }
}
