/**
 * Clients' streams in one process: the real stream, authentication, accounts and modules over a connection in memory, on a clock that is
 * moved by hand. For what a stream allows, which needs no listener.
 */
import { expect } from "bun:test";
import { AccessRules } from "../../src/config/access.ts";
import { DEFAULT_LIMITS } from "../../src/config/limits.ts";
import type { ModuleDefinition } from "../../src/hooks/define-module.ts";
import type { Log } from "../../src/observe/log.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { Authentication } from "../../src/server/authentication.ts";
import { type Core, startCore } from "../../src/server/core.ts";
import { type MemorySocket, memoryPair } from "../../src/socket/memory-pair.ts";
import { WriteBatch } from "../../src/socket/write-batch.ts";
import type { Jid } from "../../src/stanza/jid.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { C2sStream } from "../../src/stream/c2s-stream.ts";
import type { ListenerPolicy, StreamEnvironment } from "../../src/stream/environment.ts";
import { TimerWheel } from "../../src/util/timer-wheel.ts";
import { quiet } from "./cluster-talk.ts";
import { optionsInCode } from "./conversation.ts";
import { header } from "./raw-client.ts";
import { scramFinal } from "./sasl.ts";

const domain = "localhost";
const hashes = ["sha256"] as const;
/** Not that of an import. */
const iterations = 5_000;
const xmlLimits = {
  stanzaBytesMax: DEFAULT_LIMITS.preAuthStanzaBytesMax,
  depthMax: DEFAULT_LIMITS.depthMax,
  attributesMax: DEFAULT_LIMITS.attributesMax,
  nameBytesMax: DEFAULT_LIMITS.xmlNameBytesMax,
  declaredPrefixesMax: DEFAULT_LIMITS.xmlPrefixesMax,
};
const listener: ListenerPolicy = {
  tls: "starttls",
  stateTimeoutMs: 60_000,
  limitsBefore: xmlLimits,
  limitsAfter: xmlLimits,
  saslTries: 3,
  bindTries: 5,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  legacySession: false,
  idleTimeoutMs: 0,
  mayLogIn: () => true,
};

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
/** Nothing here waits for a disk or a network, so whatever does not come within these turns of the event loop waits for time to pass. */
const turnsMax = 100;

export interface StreamTalkOptions {
  readonly modules?: readonly ModuleDefinition[];
  readonly options?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export class StreamTalk {
  readonly clock: SimClock;
  readonly core: Core;
  readonly authentication: Authentication;
  /** Accounts of which the log says that their password was wrong. */
  readonly wrongAccounts: string[] = [];
  /** Streams that have not bound a session, now. */
  strangers = 0;
  readonly #store: Store;
  readonly #environment: Omit<StreamEnvironment, "listener">;
  readonly #batch = new WriteBatch(queueMicrotask, (error) => {
    throw error;
  });

  private constructor(clock: SimClock, core: Core, store: Store, authentication: Authentication, random: SimRandom) {
    this.authentication = authentication;
    this.clock = clock;
    this.core = core;
    this.#store = store;
    const counters = { connections: 0, bytesIn: 0, bytesOut: 0, messagesIn: 0, messagesOut: 0 };
    this.#environment = {
      strangers: {
        entered: () => {
          this.strangers++;
        },
        left: () => {
          this.strangers--;
        },
      },
      router: core.router,
      keeper: core.keeper,
      mechanisms: authentication.mechanisms,
      clock,
      wheel: new TimerWheel(clock, (error) => {
        throw error;
      }),
      random,
      log: {
        ...quiet,
        info: (fields: object, message: string) => {
          if (message === "wrong credentials") this.wrongAccounts.push((fields as { account: string }).account);
        },
      } as Log,
      counters: { ...counters, presencesIn: 0, presencesOut: 0, iqsIn: 0, iqsOut: 0 },
      observer: { login() {}, streamError() {} },
      language: "en",
      defaultHost: core.router.hosts.get(domain)!,
    };
  }

  static async start({ modules = [], options = {} }: StreamTalkOptions = {}): Promise<StreamTalk> {
    const clock = new SimClock();
    const random = new SimRandom(7);
    const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock, log: quiet });
    const core = await startCore({
      clock,
      random,
      log: quiet,
      store,
      hosts: [
        {
          domain,
          modules: modules.map((definition) => ({
            definition,
            options: optionsInCode(definition.options, options[definition.name] ?? {}),
          })),
          access: new AccessRules(domain, new Set([domain]), new Map(), new Map()),
          hashes,
          iterations,
          usersMax: Number.POSITIVE_INFINITY,
        },
      ],
      sessionsPerAccountMax: () => 10,
      requestsMax: 100,
      rememberedSessionsMax: 10,
      unacknowledgedBytesMax: 4 * 2 ** 20,
    });
    const authentication = new Authentication({
      accounts: core.accounts,
      rows: core.accountRows,
      hasher: core.hasher,
      clock,
      random,
      decoySecret: new Uint8Array(32),
      log: quiet,
      notices: () => () => undefined,
      plans: [{ domain, hashes, iterations, mechanisms: ["SCRAM-SHA-256", "PLAIN"] }],
    });
    await authentication.refresh();
    return new StreamTalk(clock, core, store, authentication, random);
  }

  /** An account with the password "secret". */
  async account(name: string): Promise<Jid> {
    const jid = parseJid(`${name}@${domain}`)!;
    await this.core.accounts.register(jid, "secret");
    return jid;
  }

  /** A connection from this address; nothing has been said. */
  connect(policy: Partial<ListenerPolicy> = {}, remoteAddress = "192.0.2.1"): StreamClient {
    const settings = {
      batch: this.#batch,
      wheel: this.#environment.wheel,
      writeQueueBytesMax: 1024 * 1024,
      lingerMs: 1_000,
      failed: (error: unknown) => {
        throw error;
      },
    };
    const [near, far] = memoryPair(settings, { remoteAddress });
    const stream = new C2sStream({ ...this.#environment, listener: { ...listener, ...policy } }, far);
    far.attach(stream);
    return new StreamClient(near);
  }

  /** A connection with TLS on which the features have come. */
  async stream(policy: Partial<ListenerPolicy> = {}, remoteAddress?: string): Promise<StreamClient> {
    const client = this.connect(policy, remoteAddress);
    await client.opens();
    await client.secures();
    await client.opens();
    return client;
  }

  async stop(): Promise<void> {
    await this.core.stop();
    await this.#store.close();
  }
}

export class StreamClient {
  readonly #near: MemorySocket;
  #text = "";
  #ended = false;
  #secured = false;

  constructor(near: MemorySocket) {
    this.#near = near;
    near.attach({
      received: (chunk) => {
        this.#text += Buffer.from(chunk).toString("utf8");
      },
      secured: () => {
        this.#secured = true;
      },
      drained() {},
      overflowed() {},
      closed: () => {
        this.#ended = true;
      },
    });
  }

  write(text: string): void {
    this.#near.write(text);
  }

  /** What has come up to and including `part`. No time passes. */
  async until(part: string): Promise<string> {
    for (let turns = 0; turns < turnsMax; turns++) {
      const at = this.#text.indexOf(part);
      if (at >= 0) {
        const taken = this.#text.slice(0, at + part.length);
        this.#text = this.#text.slice(at + part.length);
        return taken;
      }
      if (this.#ended) break;
      await turn();
    }
    throw new Error(`'${part}' never came; there is: ${this.#text}`);
  }

  /** The stream ends with this error. */
  async endsWith(condition: string): Promise<void> {
    expect(await this.until("</stream:stream>")).toContain(
      `<${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>`,
    );
  }

  /** Nothing comes, unless time passes. */
  async hearsNothing(): Promise<void> {
    for (let turns = 0; turns < turnsMax; turns++) await turn();
    expect(this.#text).toBe("");
    expect(this.#ended).toBe(false);
  }

  async opens(): Promise<string> {
    this.write(header());
    return this.until("</stream:features>");
  }

  async secures(): Promise<void> {
    this.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await this.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    this.#near.startTls();
    for (let turns = 0; !this.#secured && turns < turnsMax; turns++) await turn();
  }

  /** Tries this password with SCRAM-SHA-256; the answer is not awaited. */
  async tries(username: string, password: string): Promise<void> {
    const bare = `n=${username},r=clientnonce`;
    const initial = Buffer.from(`n,,${bare}`).toString("base64");
    this.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>${initial}</auth>`);
    const challenge = /<challenge [^>]*>([^<]*)</.exec(await this.until("</challenge>"))![1]!;
    const serverFirst = Buffer.from(challenge, "base64").toString("utf8");
    const { final } = scramFinal(bare, serverFirst, { hash: "sha256", password });
    this.write(
      `<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${Buffer.from(final).toString("base64")}</response>`,
    );
  }

  /** Logs in with the password "secret", up to the features. */
  async logsIn(username: string): Promise<void> {
    await this.tries(username, "secret");
    await this.until("</success>");
    await this.opens();
  }

  /** Binds this resource; resolves to the answer. */
  async binds(resource: string): Promise<string> {
    this.write(
      `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    );
    return this.until(">");
  }

  /** The connection breaks. */
  breaks(): void {
    this.#near.abort();
  }
}
