/**
 * Envelopes between processes of one machine, over Unix sockets: no server, the path of a node's socket is its address.
 * Every node listens, and dials every node it knows of; what it sends goes over the connection it dialled, what it
 * receives comes over those that others dialled. On the wire an envelope follows its length, u32 big-endian.
 */
import { chmodSync, mkdirSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Log } from "../../observe/log.ts";
import type { Clock, Timer } from "../../util/clock.ts";
import type { Randomness } from "../../util/random.ts";
import { Backoff } from "./backoff.ts";
import { HEADER_BYTES, MAGIC, NODE_NUMBER_MAX, readU16, readU32, writeU32 } from "./envelope.ts";
import type { KnownNode, Transport, TransportEvents } from "./transport.ts";

export interface LocalTransportOptions {
  /** This node's own number; 0 for one who only looks whether others live. */
  readonly number: number;
  /** Path of this node's socket. Its folder is made, for the system user alone. */
  readonly path: string;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly log: Log;
}

const envelopeBytesMax = 256 * 1024;
/** Up to this size length and envelope are copied together; that is cheaper than a second system call. */
const copyBytesMax = 64 * 1024;
/** How long a stopping node waits for its last words to leave. */
const lastWordsMs = 1_000;
/** Linux has 108 bytes for the path of a socket, its end included; macOS 104. */
const pathBytesMax = 103;

/** The address a node listens at with the local fabric. @throws RangeError when the system has no room for the path. */
export function localAddress(folder: string, node: string): string {
  const path = join(folder, `${node.replace(/[^A-Za-z0-9_.-]/g, "_")}.sock`);
  if (Buffer.byteLength(path) > pathBytesMax)
    throw new RangeError(
      `the path of the local fabric's socket is too long for the system, ${pathBytesMax} bytes at most: ${path}`,
    );
  return path;
}

/** Whether a process listens at this path: a killed one leaves the file, but answers no more. */
export function answersAt(path: string): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Another process listens at the path of this node's socket. */
export class AddressInUse extends Error {
  override readonly name = "AddressInUse";
}

export class LocalTransport implements Transport {
  readonly envelopeBytesMax = envelopeBytesMax;
  readonly #options: LocalTransportOptions;
  readonly #log: Log;
  readonly #lines = new Map<number, OutLine>();
  readonly #inbound = new Set<Socket>();
  /** The latest connection that each node dialled. */
  readonly #inboundOf = new Map<number, Socket>();
  #events: TransportEvents | undefined = undefined;
  #server: Server | undefined = undefined;

  constructor(options: LocalTransportOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: "local-fabric" });
  }

  async start(events: TransportEvents): Promise<void> {
    this.#events = events;
    const { path } = this.#options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (await answersAt(path)) throw new AddressInUse(`another process listens at ${path}`);
    removeIfThere(path);
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    });
    chmodSync(path, 0o600);
    server.on("error", (error) => this.#log.error({ err: error }, "The local fabric cannot accept a connection"));
    for (const line of this.#lines.values()) line.start();
  }

  /** Dials this node from now on. */
  learned(node: KnownNode): void {
    if (node.number === this.#options.number || node.address === "" || node.number > NODE_NUMBER_MAX) return;
    const known = this.#lines.get(node.number);
    if (known?.address === node.address) return;
    known?.stop();
    const line = new OutLine(node.address, this.#options, this.#log.child({ node: node.name }), () =>
      this.#events?.reachable(),
    );
    this.#lines.set(node.number, line);
    if (this.#server !== undefined) line.start();
  }

  /** The nodes there are; those that are not among them are dialled no more. */
  setKnown(nodes: readonly KnownNode[]): void {
    for (const node of nodes) this.learned(node);
    for (const [number, line] of this.#lines) {
      // Somebody who is connected knows better than any list.
      if (line.connected || nodes.some((node) => node.number === number)) continue;
      line.stop();
      this.#lines.delete(number);
    }
  }

  send(node: number, envelope: Uint8Array): void {
    this.#lines.get(node)?.write(envelope);
  }

  broadcast(envelope: Uint8Array): void {
    for (const line of this.#lines.values()) line.write(envelope);
  }

  queuedBytes(node: number): number {
    return this.#lines.get(node)?.queuedBytes ?? 0;
  }

  async stop(): Promise<void> {
    const { clock, path } = this.#options;
    const events = this.#events;
    this.#events = undefined;
    await Promise.all([...this.#lines.values()].map((line) => line.finish(clock, lastWordsMs)));
    for (const socket of this.#inbound) socket.destroy();
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined || events === undefined) return;
    await new Promise<void>((resolve) => server.close(() => resolve()));
    removeIfThere(path);
  }

  #accept(socket: Socket): void {
    this.#inbound.add(socket);
    const reader = new FrameReader();
    let from = 0;
    socket.on("data", (chunk: Buffer) => {
      const ok = reader.push(chunk, (envelope) => {
        if (from === 0 && envelope.length >= HEADER_BYTES && envelope[0] === MAGIC) {
          from = readU16(envelope, 4);
          this.#inboundOf.set(from, socket);
        }
        this.#events?.received(envelope);
      });
      if (ok) return;
      this.#log.warn({ number: from }, "What came over the local fabric is no envelope; the connection is closed");
      socket.destroy();
    });
    socket.on("error", (error) => this.#log.debug({ err: error, number: from }, "A connection broke"));
    socket.on("close", () => {
      this.#inbound.delete(socket);
      if (from === 0 || this.#inboundOf.get(from) !== socket) return;
      this.#inboundOf.delete(from);
      // Its process is gone, or it had to drop the connection; then it will be back at once.
      this.#events?.lost(from);
    });
  }
}

/** The connection to one node, dialled again for as long as it is known. */
class OutLine {
  readonly address: string;
  readonly #backoff: Backoff;
  readonly #log: Log;
  readonly #connectedNow: () => void;
  #socket: Socket | undefined = undefined;
  #state: "idle" | "dialling" | "connected" | "stopped" = "idle";

  constructor(address: string, options: LocalTransportOptions, log: Log, connectedNow: () => void) {
    this.address = address;
    this.#backoff = new Backoff(options.clock, options.randomness);
    this.#log = log;
    this.#connectedNow = connectedNow;
  }

  get connected(): boolean {
    return this.#state === "connected";
  }

  get queuedBytes(): number {
    return this.#state === "connected" ? this.#socket!.writableLength : 0;
  }

  start(): void {
    if (this.#state === "idle") this.#dial();
  }

  /** Lost unless there is a connection. */
  write(envelope: Uint8Array): void {
    if (this.#state !== "connected") return;
    const socket = this.#socket!;
    const { length } = envelope;
    if (length <= copyBytesMax) {
      const frame = new Uint8Array(4 + length);
      writeU32(frame, 0, length);
      frame.set(envelope, 4);
      socket.write(frame);
      return;
    }
    const head = new Uint8Array(4);
    writeU32(head, 0, length);
    socket.write(head);
    socket.write(envelope);
  }

  stop(): void {
    this.#state = "stopped";
    this.#backoff.cancel();
    this.#socket?.destroy();
  }

  /** Lets what was written leave, for at most `ms`. */
  async finish(clock: Clock, ms: number): Promise<void> {
    if (this.#state !== "connected") return this.stop();
    const socket = this.#socket!;
    this.#state = "stopped";
    await new Promise<void>((resolve) => {
      const timer: Timer = clock.after(ms, resolve);
      socket.end(() => {
        timer.cancel();
        resolve();
      });
    });
    socket.destroy();
  }

  #dial(): void {
    this.#state = "dialling";
    const socket = createConnection(this.address);
    this.#socket = socket;
    socket.on("connect", () => {
      if (this.#state !== "dialling") return;
      this.#state = "connected";
      this.#backoff.reset();
      this.#connectedNow();
    });
    socket.on("error", (error) => this.#log.debug({ err: error, address: this.address }, "A node cannot be reached"));
    // Nothing is ever read here, but without a reader the end of the other side is not noticed.
    socket.resume();
    socket.on("close", () => {
      if (this.#state === "stopped") return;
      this.#state = "idle";
      void this.#backoff.pause().then(() => this.start());
    });
  }
}

/** Cuts a stream of bytes into envelopes. */
class FrameReader {
  /** What came of an envelope that is not complete: its length, then its bytes. */
  #parts: Uint8Array[] = [];
  #have = 0;
  /** With the length's own four bytes; 0 while that is not known. */
  #need = 0;

  /** False when it is no stream of envelopes. */
  push(chunk: Uint8Array, take: (envelope: Uint8Array) => void): boolean {
    let at = 0;
    const end = chunk.length;
    if (this.#have > 0) {
      at = this.#complete(chunk, take);
      if (at < 0) return false;
    }
    while (end - at >= 4) {
      const length = readU32(chunk, at);
      if (length > envelopeBytesMax) return false;
      if (end - at - 4 < length) break;
      take(chunk.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    if (at < end) this.#keep(chunk.subarray(at));
    return true;
  }

  #keep(rest: Uint8Array): void {
    this.#parts.push(rest);
    this.#have += rest.length;
    if (this.#need !== 0 || this.#have < 4) return;
    if (this.#parts.length > 1) this.#parts = [Buffer.concat(this.#parts)];
    this.#need = 4 + readU32(this.#parts[0]!, 0);
  }

  /** Adds of the chunk what the waiting envelope lacks, and returns how far it came; -1 for what is no envelope. */
  #complete(chunk: Uint8Array, take: (envelope: Uint8Array) => void): number {
    let at = 0;
    if (this.#need === 0) {
      at = Math.min(4 - this.#have, chunk.length);
      this.#keep(chunk.subarray(0, at));
      if (this.#need === 0) return at;
    }
    if (this.#need > 4 + envelopeBytesMax) return -1;
    const more = Math.min(this.#need - this.#have, chunk.length - at);
    this.#parts.push(chunk.subarray(at, at + more));
    this.#have += more;
    if (this.#have < this.#need) return at + more;
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#have = 0;
    this.#need = 0;
    take(whole.subarray(4));
    return at + more;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
