/** A listener that answers, and clients of node:net and node:tls, for its tests. */
import { expect } from "bun:test";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import type { ByteSocket, SocketHandler } from "../../socket/socket.ts";
import { TimerWheel } from "../../util/timer-wheel.ts";
import { SimClock } from "../sim/clock.ts";
import { selfSigned } from "./certificate.ts";
import { type Listener, type ListenOptions, listen } from "./listen.ts";
import { turnBatch } from "./turn.ts";

export const one = { hosts: ["one.example"], ...(await selfSigned(["one.example"])) };
export const two = { hosts: ["two.example", "*.two.example"], ...(await selfSigned(["two.example", "*.two.example"])) };

/** Answers "<starttls/>" as a stream would, and echoes everything else; keeps what happened. */
export class Peer implements SocketHandler {
  readonly socket: ByteSocket;
  readonly log: string[] = [];
  closedWith: Error | undefined;
  received_ = 0;
  onChange: () => void = () => {};
  received(chunk: Uint8Array): void {
    const text = Buffer.from(chunk).toString();
    this.received_ += chunk.length;
    this.#note(text.length > 40 ? `${text.length} bytes` : text);
    if (text === "<starttls/>") {
      this.socket.write("<proceed/>");
      this.socket.startTls();
    } else if (text === "throw") throw new Error("thrown by the handler");
    else if (text === "bye") {
      this.socket.write("good bye");
      this.socket.close();
    } else if (text !== "quiet") this.socket.write(`echo ${text}`);
  }
  secured(): void {
    this.#note("secured");
  }
  drained(): void {
    this.#note("drained");
  }
  overflowed(): void {
    this.#note("overflowed");
  }
  closed(reason: Error | undefined): void {
    this.closedWith = reason;
    this.#note("closed");
  }
  constructor(socket: ByteSocket) {
    this.socket = socket;
  }
  async sees(entry: string): Promise<void> {
    while (!this.log.includes(entry)) await new Promise<void>((resolve) => (this.onChange = resolve));
  }
  #note(entry: string): void {
    this.log.push(entry);
    this.onChange();
  }
}

export const opened: { stop(): void }[] = [];
const dialled: net.Socket[] = [];
/** For `afterEach`. What stays connected slows down the tests of other files. */
export function stopListeners(): void {
  for (const client of dialled.splice(0)) client.destroy();
  for (const listener of opened.splice(0)) listener.stop();
}

export interface Server {
  readonly listener: Listener;
  readonly peers: Peer[];
  readonly failures: unknown[];
  readonly clock: SimClock;
  peer(): Promise<Peer>;
}

export function serve(options: Partial<ListenOptions> = {}): Server {
  const clock = new SimClock();
  const failures: unknown[] = [];
  const peers: Peer[] = [];
  let arrived: () => void = () => {};
  const failed = (error: unknown) => failures.push(error);
  const listener = listen({
    address: "127.0.0.1",
    port: 0,
    batch: turnBatch(failed),
    wheel: new TimerWheel(clock, failed),
    writeQueueBytesMax: 100_000,
    lingerMs: 2000,
    failed,
    connected(socket) {
      const peer = new Peer(socket);
      peers.push(peer);
      arrived();
      return peer;
    },
    ...options,
  });
  opened.push(listener);
  const peer = async () => {
    while (peers.length === 0) await new Promise<void>((resolve) => (arrived = resolve));
    return peers[peers.length - 1]!;
  };
  return { listener, peers, failures, clock, peer };
}

export async function dial(server: Server): Promise<net.Socket> {
  const socket = net.connect({ port: server.listener.port, host: "127.0.0.1", allowHalfOpen: true });
  dialled.push(socket);
  await once(socket, "connect");
  return socket;
}

/** The client's connection is over, in whatever way. */
export function gone(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.on("error", () => {}).once("close", () => resolve()));
}

/** The client receives exactly this text next. */
export async function reads(socket: net.Socket, text: string): Promise<void> {
  let seen = "";
  while (seen.length < text.length) {
    const chunk = socket.read();
    if (chunk === null) await once(socket, "readable");
    else seen += String(chunk);
  }
  expect(seen).toBe(text);
}

export async function dialTls(server: Server, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    port: server.listener.port,
    host: "127.0.0.1",
    servername: "one.example",
    rejectUnauthorized: false,
    ...options,
  });
  dialled.push(socket);
  await once(socket, "secureConnect");
  return socket;
}

export async function startTls(server: Server, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const plain = await dial(server);
  plain.write("<starttls/>");
  await reads(plain, "<proceed/>");
  const socket = tls.connect({ socket: plain, servername: "one.example", rejectUnauthorized: false, ...options });
  await once(socket, "secureConnect");
  return socket;
}

export const served = (socket: tls.TLSSocket) => socket.getPeerCertificate().subjectaltname;
