/** Two ends of a connection in memory, for tests: the same queue, turn and end as on a network, without one. */
import { BaseSocket, type SocketSettings } from "./base-socket.ts";
import type { ByteSocket, ChannelBindingType, SocketHandler, TlsInfo } from "./socket.ts";
import type { Flushable } from "./write-batch.ts";
import { type ByteSink, Writer } from "./writer.ts";

export interface MemoryPairOptions {
  /** "stream" (default), or "message" as over a WebSocket. */
  readonly framing?: "stream" | "message";
  /** Bytes that travel unread before the writer has to wait, as a kernel's buffers; default 64 KiB. */
  readonly capacityBytes?: number;
  /** What each end sees of the other; default 127.0.0.1. */
  readonly remoteAddress?: string;
  /** What `channelBinding` answers once TLS is on. */
  readonly bindings?: Partial<Record<ChannelBindingType, Uint8Array>>;
}

/** Two connected ends. Give each its handler with `attach` before the first turn. */
export function memoryPair(settings: SocketSettings, options: MemoryPairOptions = {}): [MemorySocket, MemorySocket] {
  const left = new MemorySocket(settings, options, 40_001);
  const right = new MemorySocket(settings, options, 40_002);
  left.connect(right);
  right.connect(left);
  return [left, right];
}

type Tls = "off" | "pending" | "handshake" | "on";

export class MemorySocket extends BaseSocket implements ByteSocket, ByteSink {
  readonly framing: "stream" | "message";
  readonly transport = "memory";
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #options: MemoryPairOptions;
  readonly #capacity: number;
  readonly #writer = new Writer();
  /** Frames written and not sent yet; only of a "message" socket. */
  #frames: string[] = [];
  #frameBytes = 0;
  #peer!: MemorySocket;
  /** Under way to this end. */
  readonly #inbox: (Uint8Array | string)[] = [];
  #inboxBytes = 0;
  /** The other end has closed its half; told when the inbox is empty. */
  #peerFinished = false;
  #finished = false;
  #paused = false;
  #tls: Tls = "off";
  #arriving = false;
  readonly #arrival: Flushable = { flush: () => this.#arrive() };

  constructor(settings: SocketSettings, options: MemoryPairOptions, remotePort: number) {
    super(settings);
    this.#options = options;
    this.framing = options.framing ?? "stream";
    this.#capacity = options.capacityBytes ?? 65_536;
    this.remoteAddress = options.remoteAddress ?? "127.0.0.1";
    this.remotePort = remotePort;
  }

  connect(peer: MemorySocket): void {
    this.#peer = peer;
  }

  attach(handler: SocketHandler): void {
    this.handler = handler;
  }

  get secure(): boolean {
    return this.#tls === "on";
  }

  get queuedBytes(): number {
    return this.#writer.queuedBytes + this.#frameBytes;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#arriveLater();
  }

  /** Both ends call it; when both have, the "handshake" is done and both are told. */
  startTls(): void {
    if (this.#tls !== "off") throw new Error("TLS is already on, or on its way");
    if (!this.open) return;
    this.#tls = "pending";
    this.release();
  }

  channelBinding(type: ChannelBindingType): Uint8Array | undefined {
    return this.secure ? this.#options.bindings?.[type] : undefined;
  }

  hasChannelBinding(type: ChannelBindingType): boolean {
    return this.channelBinding(type) !== undefined;
  }

  tlsInfo(): TlsInfo | undefined {
    if (!this.secure) return undefined;
    return { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", servername: undefined, alpn: undefined };
  }

  take(bytes: Uint8Array, offset: number, length: number): number {
    const peer = this.#peer;
    const taken = Math.min(length, Math.max(this.#capacity - peer.#inboxBytes, 0));
    if (taken > 0) peer.#receive(Uint8Array.prototype.slice.call(bytes, offset, offset + taken), taken);
    return taken;
  }

  protected enqueue(text: string): void {
    if (this.framing === "stream") this.#writer.add(text);
    else {
      this.#frames.push(text);
      this.#frameBytes += text.length;
    }
  }

  protected send(): boolean {
    if (this.framing === "stream") return this.#writer.flush(this) === "empty";
    while (this.#frames.length > 0) {
      if (this.#peer.#inboxBytes >= this.#capacity) return false;
      const frame = this.#frames.shift()!;
      this.#frameBytes -= frame.length;
      this.#peer.#receive(frame, frame.length);
    }
    return true;
  }

  protected dropQueue(): void {
    this.#writer.clear();
    this.#frames = [];
    this.#frameBytes = 0;
  }

  protected override get held(): boolean {
    return this.#tls === "handshake";
  }

  protected override emptied(): void {
    if (this.#tls !== "pending") return;
    this.#tls = "handshake";
    if (this.#peer.#tls !== "handshake") return;
    this.#arriveLater();
    this.#peer.#arriveLater();
  }

  protected finish(): void {
    this.#finished = true;
    this.#peer.#peerFinished = true;
    this.#peer.#arriveLater();
    if (this.#peerFinished) this.#arriveLater();
  }

  protected terminate(): void {
    const peer = this.#peer;
    this.#discardInbox();
    peer.#discardInbox();
    peer.#reset ??= new Error("the peer reset the connection");
    peer.#arriveLater();
    this.ended(undefined);
  }

  protected readUntilEnd(): void {
    this.#paused = false;
    this.#arriveLater();
  }

  #reset: Error | undefined = undefined;

  #receive(item: Uint8Array | string, bytes: number): void {
    // What arrives after the end is lost, as on a network.
    if (this.isOver()) return;
    this.#inbox.push(item);
    this.#inboxBytes += bytes;
    this.#arriveLater();
  }

  #arriveLater(): void {
    if (this.#arriving || this.isOver()) return;
    this.#arriving = true;
    this.settings.batch.add(this.#arrival);
  }

  #discardInbox(): void {
    this.#inbox.length = 0;
    this.#inboxBytes = 0;
  }

  #arrive(): void {
    this.#arriving = false;
    if (this.isOver()) return;
    if (this.#reset !== undefined) {
      this.ended(this.#reset);
      return;
    }
    try {
      if (this.#tls === "handshake" && this.#peer.#tls !== "pending" && this.#peer.#tls !== "off") {
        this.#tls = "on";
        if (this.open) this.handler.secured();
        this.release();
      }
      this.#deliver();
    } catch (error) {
      this.handlerThrew(error);
    }
    if (this.isOver() || this.#inbox.length > 0 || !this.#peerFinished) return;
    if (this.#finished) this.ended(undefined);
    else this.peerFinished();
  }

  #deliver(): void {
    const before = this.#inboxBytes;
    while (this.#inbox.length > 0 && !this.#paused && !this.isOver()) {
      const item = this.#inbox.shift()!;
      this.#inboxBytes -= item.length;
      // After our own close the rest is read and thrown away.
      if (!this.open) continue;
      if (typeof item === "string") this.handler.receivedMessage?.(item);
      else this.handler.received(item);
    }
    if (this.#inboxBytes < before) this.#peer.roomAgain();
  }
}
