/** A WebSocket (RFC 6455) of a client with subprotocol "xmpp" (RFC 7395): every frame is one complete XML element. */
import { BaseSocket, type SocketSettings } from "../../socket/base-socket.ts";
import type { ByteSocket, SocketHandler } from "../../socket/socket.ts";

export type NativeWebSocket = Bun.ServerWebSocket<WebSocketSocket>;

/** Close codes of RFC 6455 section 7.4.1. */
const normalClosure = 1000;
const unsupportedData = 1003;

/** What the sockets of one listener share. */
export interface WebSocketSettings extends SocketSettings {
  /** The connection is over. */
  left(socket: WebSocketSocket): void;
}

export class WebSocketSocket extends BaseSocket implements ByteSocket {
  readonly framing = "message";
  readonly transport = "websocket";
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly secure: boolean;
  declare protected readonly settings: WebSocketSettings;
  #native: NativeWebSocket | undefined = undefined;
  #paused = false;
  /** Frames that arrived though reading was paused. */
  #kept: string[] | undefined = undefined;
  /** Written and not handed over yet; nothing while idle. */
  #frames: string[] | undefined = undefined;
  #frameUnits = 0;
  #failure: Error | undefined = undefined;
  /** Sends what waits; made once, since Bun's `cork` takes a function. */
  static readonly #sendFrames = (native: NativeWebSocket) => native.data.#sendCorked(native);

  constructor(settings: WebSocketSettings, remoteAddress: string, remotePort: number, secure: boolean) {
    super(settings);
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.secure = secure;
  }

  get queuedBytes(): number {
    return this.#frameUnits + (this.#native?.getBufferedAmount() ?? 0);
  }

  /** The opening handshake is done. */
  attach(native: NativeWebSocket, handler: SocketHandler): void {
    this.#native = native;
    this.handler = handler;
  }

  pause(): void {
    if (this.#paused || !this.open) return;
    this.#paused = true;
    this.#native?.pause();
  }

  resume(): void {
    if (!this.#paused || this.isOver()) return;
    this.#paused = false;
    while (this.#kept !== undefined && !this.#paused && this.open) {
      const text = this.#kept.shift();
      if (this.#kept.length === 0) this.#kept = undefined;
      if (text !== undefined) this.#deliver(text);
    }
    if (!this.#paused && !this.isOver()) this.#native?.resume();
  }

  /** A WebSocket has TLS below it or not at all (RFC 7395 section 3.9). */
  startTls(): void {
    throw new Error("there is no STARTTLS over a WebSocket");
  }

  /** Bun's HTTP server tells nothing of the TLS connection below. */
  channelBinding(): undefined {
    return undefined;
  }

  hasChannelBinding(): boolean {
    return false;
  }

  tlsInfo(): undefined {
    return undefined;
  }

  protected enqueue(text: string): void {
    this.#frames ??= [];
    this.#frames.push(text);
    this.#frameUnits += text.length;
  }

  protected send(): boolean {
    const native = this.#native;
    if (native === undefined) return false;
    if (this.#frames !== undefined) native.cork(WebSocketSocket.#sendFrames);
    return this.#frames === undefined && native.getBufferedAmount() === 0;
  }

  /** All frames of a turn leave in one system call. */
  #sendCorked(native: NativeWebSocket): void {
    const frames = this.#frames!;
    let sent = 0;
    // Bun keeps what the kernel does not take; so at most one frame waits there, and the others here.
    while (sent < frames.length && native.getBufferedAmount() === 0) {
      const frame = frames[sent++]!;
      this.#frameUnits -= frame.length;
      if (native.sendText(frame) <= 0) break;
    }
    if (sent === frames.length) this.#frames = undefined;
    else if (sent > 0) frames.splice(0, sent);
  }

  protected dropQueue(): void {
    this.#frames = undefined;
    this.#frameUnits = 0;
    this.#kept = undefined;
  }

  protected finish(): void {
    this.#native?.close(normalClosure);
  }

  protected terminate(): void {
    if (this.#native === undefined) this.ended(undefined);
    else this.#native.terminate();
  }

  protected readUntilEnd(): void {
    this.#kept = undefined;
    if (!this.#paused) return;
    this.#paused = false;
    this.#native?.resume();
  }

  /** Bun's events, below. */
  onMessage(message: string | Buffer): void {
    if (!this.open) return;
    if (typeof message !== "string") {
      // RFC 7395 section 3.2: data frames are text.
      this.#failure = new Error("the client sent a binary frame");
      this.#native?.close(unsupportedData, "text frames only");
      return;
    }
    if (this.#paused) {
      this.#kept ??= [];
      this.#kept.push(message);
    } else this.#deliver(message);
  }

  onDrain(): void {
    if (this.#native?.getBufferedAmount() === 0) this.roomAgain();
  }

  onClose(code: number, reason: string): void {
    if (this.isOver()) return;
    this.settings.left(this);
    if (code !== normalClosure && this.open) {
      this.#failure ??= new Error(`the WebSocket was closed with code ${code}${reason === "" ? "" : `: ${reason}`}`);
    }
    this.ended(this.#failure);
  }

  #deliver(text: string): void {
    try {
      this.handler.receivedMessage?.(text);
    } catch (error) {
      this.handlerThrew(error);
    }
  }
}
