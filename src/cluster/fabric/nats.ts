/**
 * Envelopes over NATS (core: nothing is stored). A node listens to `meerkat.<cluster>.all` and
 * `meerkat.<cluster>.node.<number>`. The server keeps the order of what one connection publishes.
 *
 * The library says nothing of what waits in its socket. What has left is known by pings instead: a pong tells that the
 * server has read all that was written before the ping. One is sent for each 256 KiB, so what is counted as waiting is
 * too much by that at most.
 */
import { readFileSync } from "node:fs";
import {
  AuthorizationError,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  PermissionViolationError,
  type Status,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import type { NatsSettings } from "../../config/settings.ts";
import type { Log } from "../../observe/log.ts";
import type { Clock } from "../../util/clock.ts";
import type { Randomness } from "../../util/random.ts";
import { Backoff } from "./backoff.ts";
import { NODE_NUMBER_MAX } from "./envelope.ts";
import type { Transport, TransportEvents } from "./transport.ts";

export interface NatsTransportOptions {
  readonly settings: NatsSettings;
  readonly cluster: string;
  /** The node's number; 0 for one who only listens to what is said to all. */
  readonly number: number;
  /** How the connection is named in the server's own lists. */
  readonly name: string;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly log: Log;
}

/** After so many bytes without one, a ping is sent to learn what has left. */
const bytesPerPing = 256 * 1024;
const connectTimeoutMs = 5_000;
/** A connection that answers no ping for twice this time is given up. */
const pingIntervalMs = 5_000;
/** How long a stopping node waits for its last words to leave. */
const lastWordsMs = 1_000;
/** NATS allows no less in a message, unless its operator has restricted it. */
const envelopeBytesUnknown = 64 * 1024;

/** The name of a cluster as a part of a subject. */
export function subjectToken(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, (character) =>
    [...new TextEncoder().encode(character)].map((byte) => `=${byte.toString(16).padStart(2, "0")}`).join(""),
  );
}

export class NatsTransport implements Transport {
  readonly #options: NatsTransportOptions;
  readonly #log: Log;
  readonly #backoff: Backoff;
  readonly #toAll: string;
  /** Subjects of the nodes by number. */
  readonly #subjects: string[] = [];
  #events: TransportEvents | undefined = undefined;
  #connection: NatsConnection | undefined = undefined;
  #connected = false;
  #stopping = false;
  #running: Promise<void> = Promise.resolve();
  #troubleSaid = "";

  /** Bytes per node: written since the last ping, and before it without having been confirmed. */
  #written = new Float64Array(NODE_NUMBER_MAX + 1);
  #unconfirmed = new Float64Array(NODE_NUMBER_MAX + 1);
  #writtenBytes = 0;
  #pinging = false;

  constructor(options: NatsTransportOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: "nats" });
    this.#backoff = new Backoff(options.clock, options.randomness);
    this.#toAll = `meerkat.${subjectToken(options.cluster)}.all`;
  }

  get envelopeBytesMax(): number {
    return this.#connection?.info?.max_payload ?? envelopeBytesUnknown;
  }

  /** Whether there is a connection now. */
  get connected(): boolean {
    return this.#connected;
  }

  start(events: TransportEvents): Promise<void> {
    this.#events = events;
    return new Promise<void>((resolve) => {
      this.#running = this.#run(resolve).finally(resolve);
    });
  }

  send(node: number, envelope: Uint8Array): void {
    if (!this.#connected) return;
    this.#written[node]! += envelope.length;
    this.#writtenBytes += envelope.length;
    this.#publish(this.#subjectOf(node), envelope);
    if (this.#writtenBytes >= bytesPerPing && !this.#pinging) void this.#ping();
  }

  broadcast(envelope: Uint8Array): void {
    if (this.#connected) this.#publish(this.#toAll, envelope);
  }

  queuedBytes(node: number): number {
    return this.#written[node]! + this.#unconfirmed[node]!;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#backoff.cancel();
    const connection = this.#connection;
    if (connection !== undefined && this.#connected) {
      const flushed = connection.flush().catch(() => {}); // the connection broke: there is nobody to wait for
      await Promise.race([flushed, this.#pause(lastWordsMs)]);
    }
    this.#connected = false;
    await connection?.close();
    await this.#running;
  }

  #pause(ms: number): Promise<void> {
    return new Promise<void>((resolve) => void this.#options.clock.after(ms, resolve));
  }

  #subjectOf(node: number): string {
    this.#subjects[node] ??= `meerkat.${subjectToken(this.#options.cluster)}.node.${node}`;
    return this.#subjects[node];
  }

  #publish(subject: string, envelope: Uint8Array): void {
    try {
      this.#connection!.publish(subject, envelope);
    } catch (error) {
      // It is closing, or a server with a smaller limit has taken over: the envelope is lost, and its receiver notices.
      this.#trouble(error);
    }
  }

  async #ping(): Promise<void> {
    this.#pinging = true;
    const written = this.#written;
    this.#written = this.#unconfirmed;
    this.#unconfirmed = written;
    this.#written.fill(0);
    this.#writtenBytes = 0;
    try {
      await this.#connection!.flush();
    } catch {
      // Disconnected: what was not sent is thrown away, as it is here.
    }
    this.#unconfirmed.fill(0);
    this.#pinging = false;
    if (this.#writtenBytes >= bytesPerPing && this.#connected) void this.#ping();
  }

  /** Connects, and connects again whenever the library has given up, until `stop`. */
  async #run(ready: () => void): Promise<void> {
    while (!this.#stopping) {
      try {
        const connection = await connect(connectionOptions(this.#options, this.#backoff));
        this.#connection = connection;
        if (this.#stopping) return await connection.close();
        this.#subscribe(connection);
        this.#nowConnected(connection.getServer());
        ready();
        for await (const status of connection.status()) this.#onStatus(status);
        const reason = await connection.closed();
        this.#connected = false;
        if (reason instanceof Error) this.#trouble(reason);
      } catch (error) {
        this.#trouble(error);
      }
      if (!this.#stopping) await this.#backoff.pause();
    }
  }

  #subscribe(connection: NatsConnection): void {
    const callback = (error: Error | null, message: { data: Uint8Array }): void => {
      if (error !== null) this.#trouble(error);
      else this.#events!.received(message.data);
    };
    connection.subscribe(this.#toAll, { callback });
    const { number } = this.#options;
    if (number !== 0) connection.subscribe(this.#subjectOf(number), { callback });
  }

  #onStatus(status: Status): void {
    switch (status.type) {
      case "disconnect":
        if (this.#stopping) return;
        this.#connected = false;
        this.#writtenBytes = 0;
        this.#written.fill(0);
        this.#log.warn({ server: status.server }, "The connection to NATS is lost; connecting again");
        return;
      case "reconnect":
        return this.#nowConnected(status.server);
      case "error":
        return this.#trouble(status.error);
      case "staleConnection":
        this.#log.warn({}, "NATS answers no pings");
        return;
      case "ldm":
        this.#log.info({ server: status.server }, "A NATS server is about to stop; the connection moves when it does");
        return;
    }
  }

  #nowConnected(server: string): void {
    this.#connected = true;
    this.#troubleSaid = "";
    this.#backoff.reset();
    this.#log.info({ server }, "Connected to NATS");
    this.#events!.reachable();
  }

  /** Logs what went wrong; the same thing again and again is logged once. */
  #trouble(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#stopping || text === this.#troubleSaid) return;
    this.#troubleSaid = text;
    const { servers, username, credentialsFile } = this.#options.settings;
    const fields = { servers, err: error };
    if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError)
      this.#log.error(
        { ...fields, username, credentialsFile },
        "NATS refuses the credentials of this node ([cluster.nats] in the configuration); trying again",
      );
    else if (error instanceof PermissionViolationError)
      this.#log.error(fields, "NATS does not allow this node its subjects, meerkat.> for publish and subscribe");
    else if (this.#connected) this.#log.warn(fields, "NATS reports an error");
    else this.#log.warn(fields, "NATS cannot be reached; trying again");
  }
}

function connectionOptions(options: NatsTransportOptions, backoff: Backoff): ConnectionOptions {
  const { settings } = options;
  const { tls } = settings;
  return {
    servers: [...settings.servers],
    name: options.name,
    noEcho: true,
    timeout: connectTimeoutMs,
    pingInterval: pingIntervalMs,
    maxPingOut: 2,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => backoff.next(),
    // Credentials may be mended while we try.
    ignoreAuthErrorAbort: true,
    ...(settings.credentialsFile === undefined
      ? { user: settings.username, pass: settings.password, token: settings.token }
      : { authenticator: fromFile(settings.credentialsFile) }),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            caFile: tls.caFile,
            certFile: tls.certFile,
            keyFile: tls.keyFile,
            handshakeFirst: tls.handshakeFirst,
            // Not in the library's type, but passed on to TLS as all of these are.
            ...({ rejectUnauthorized: tls.verify } as object),
          },
        }),
  };
}

/** Reads the file each time it is needed, so that a renewed one is taken without a restart. */
function fromFile(file: string) {
  return (nonce?: string) => {
    const bytes = readFileSync(file);
    const text = bytes.toString();
    const make = text.includes("BEGIN NATS USER JWT")
      ? credsAuthenticator(bytes)
      : nkeyAuthenticator(new TextEncoder().encode(text.trim()));
    return make(nonce);
  };
}
