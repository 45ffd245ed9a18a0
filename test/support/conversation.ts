/**
 * Conversations with modules, in process: real router, stages, sessions and a SQLite database in memory, but no stream.
 * What a session would write to its client is kept, and asked for by `receives`.
 */
import { expect } from "bun:test";
import { AccessRules } from "../../src/config/access.ts";
import { nameInCode, type Option, type OptionSpec, toMs } from "../../src/config/option.ts";
import type { HttpPool } from "../../src/config/settings.ts";
import type { InstalledModule, ModuleContext, ModuleDefinition } from "../../src/hooks/define-module.ts";
import type { MaybePromise, Outcome } from "../../src/hooks/effect.ts";
import type { Questions, SessionEnd } from "../../src/hooks/points.ts";
import { type ModuleMetrics, unwatched } from "../../src/observe/metrics.ts";
import { becomeUnavailable, runSessionEvent, takeFromClient } from "../../src/router/from-client.ts";
import { Host } from "../../src/router/host.ts";
import { PendingRequests } from "../../src/router/pending-requests.ts";
import { Router } from "../../src/router/route.ts";
import { carryOut } from "../../src/router/stages.ts";
import { alone } from "../../src/server/install-modules.ts";
import type { Origin } from "../../src/session/resource.ts";
import { Session } from "../../src/session/session.ts";
import { SessionTable } from "../../src/session/session-table.ts";
import { type Jid, parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { errorOf } from "../../src/stanza/reply.ts";
import { presence, type Stanza, stanzaFromFrame, UnroutableStanza } from "../../src/stanza/stanza.ts";
import { GroupCommit } from "../../src/store/group-commit.ts";
import { migrate } from "../../src/store/migrations.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { type Element, equalElements, parseElement } from "../../src/xml/element.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import type { Xml } from "../../src/xml/xml.ts";
import { ManualClock, settle } from "./manual-clock.ts";

const domain = "localhost";
const silent = () => {};
const log = {
  fatal: silent,
  error: (fields: object, message: string) => failures.push({ fields, message }),
  warn: (fields: object, message: string) => void warnings.push({ fields, message }),
  info: silent,
  debug: silent,
  trace: silent,
  child: () => log,
};
const failures: { fields: object; message: string }[] = [];
const warnings: { fields: object; message: string }[] = [];

export interface ConversationOptions {
  modules: readonly ModuleDefinition[];
  /** Options by module name, with their names in the file. */
  options?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Accounts of localhost (local parts); by default alice, bob, carol. */
  accounts?: readonly string[];
  /** Values of access rules by name. */
  access?: Readonly<Record<string, string | number>>;
  /** Bytes a second by the names of shapers. */
  shapers?: Readonly<Record<string, number>>;
  httpPools?: ReadonlyMap<string, HttpPool>;
  dataDir?: string;
  /** Where clients reach uploaded files; by default nowhere. */
  uploadsUrl?: string;
  /** What modules leave to chance, from 0 to 1; by default always 0.5. */
  chance?: () => number;
  /** Answers of modules that are not there. */
  answers?: Partial<Questions>;
}

export class Conversation {
  readonly clock = new ManualClock();
  readonly router: Router;
  readonly host: Host;
  readonly store: Store;
  /** A short name of each query so far, such as "select vcard". */
  readonly queries: string[];
  readonly writes: GroupCommit;
  readonly people: Person[] = [];
  readonly accounts: Set<string>;
  /** What modules have counted, by `mod_x name label …`. */
  readonly counted = new Map<string, number>();
  readonly #stops: (() => MaybePromise<void>)[] = [];
  #serial = 0;
  #ids = 0;

  private constructor(store: Store, queries: string[], options: ConversationOptions) {
    this.store = store;
    this.queries = queries;
    const random = {
      bytes: (count: number) => new Uint8Array(count).fill(7),
      id: () => `random${++this.#ids}`,
      next: options.chance ?? (() => 0.5),
    };
    this.writes = new GroupCommit(store, this.clock);
    this.accounts = new Set(options.accounts ?? ["alice", "bob", "carol"]);
    this.router = new Router(new SessionTable(), new PendingRequests(this.clock, random, 100), log);
    this.host = new Host(domain, this.router);
    this.router.hosts.set(domain, this.host);
    for (const definition of options.modules) {
      const settings = optionsInCode(definition.options, options.options?.[definition.name] ?? {});
      this.host.installed.push({ definition, options: settings } as InstalledModule);
      const context = { ...this.#context(settings, random, options), metrics: this.#metricsOf(definition.name) };
      const stop = definition.setup(this.host.registry, context as never);
      if (stop !== undefined) this.#stops.push(stop);
    }
    for (const [served, handler] of this.host.registry.domains) this.router.domains.set(served, handler);
    for (const [question, answer] of Object.entries(options.answers ?? {})) {
      this.host.registry.answer(question as keyof Questions, answer as never);
    }
  }

  static async start(options: ConversationOptions): Promise<Conversation> {
    failures.length = 0;
    warnings.length = 0;
    const clock = new ManualClock();
    const queries: string[] = [];
    const observe = (query: string) => void queries.push(query);
    const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock, log, observe });
    const migrations = new Set(options.modules.flatMap((module) => module.migrations ?? []));
    await migrate(store, [...migrations], { clock });
    queries.length = 0;
    return new Conversation(store, queries, options);
  }

  #metricsOf(module: string): ModuleMetrics {
    const counter = (name: string) => ({
      add: (amount: number, ...labels: string[]) => {
        const key = [module, name, ...labels].join(" ");
        this.counted.set(key, (this.counted.get(key) ?? 0) + amount);
      },
    });
    return { ...unwatched, counter };
  }

  #context(options: unknown, random: unknown, given: ConversationOptions): Partial<ModuleContext<unknown>> {
    const { router, host } = this;
    return {
      domain,
      address: host.address,
      options,
      store: this.store,
      writes: this.writes,
      clock: this.clock,
      clusterNow: () => this.clock.now(),
      random: random as never,
      log,
      access: accessRules(given.access ?? {}),
      shapers: new Map([["none", Number.POSITIVE_INFINITY], ...Object.entries(given.shapers ?? {})]),
      installed: host.installed,
      sessionsOf: (account) => router.sessions.of(account.bare),
      resourcesOf: (account) => router.resourcesOf(account),
      isAvailable: (account) => router.isAvailable(account),
      service: (name) => host.registry.service(name),
      rooms: host.registry.rooms,
      servedDomains: () => host.registry.domains.keys(),
      ...alone,
      written: () => this.writes.flush().then(() => true),
      writtenElsewhere: () => undefined,
      allSessions: () => router.sessions.all(),
      ask: (name, ...args) => host.registry.ask(name, ...args),
      askAll: (name, ...args) => host.registry.askAll(name, ...args),
      run: (effects: Outcome, cause = presence({}), origin?: Origin) => {
        const done = carryOut(effects, cause, router, origin);
        if (done instanceof Promise) return done.then(() => undefined);
      },
      accountExists: (account) => this.accounts.has(account.local),
      request: (type: "get" | "set", to: Jid, payload: Xml, timeoutMs: number) => {
        const session = router.sessions.find(to);
        if (session === undefined && to.domain === domain) return Promise.reject(new Error(`nobody at ${to.full}`));
        return router.requests.send(type, host.address, to, payload, timeoutMs, (request) => {
          if (session !== undefined) session.deliver(request);
          else void router.route(request, undefined);
        });
      },
      httpPools: given.httpPools ?? new Map(),
      nodeStartedAt: this.clock.now(),
      dataDir: given.dataDir ?? ".",
      uploadsUrl: () => given.uploadsUrl,
    };
  }

  /** Binds a resource; it has not sent any presence. */
  async login(address: string): Promise<Person> {
    const jid = parseJid(address)!;
    const person = new Person(this, jid, ++this.#serial);
    this.people.push(person);
    this.router.sessions.add(person.session);
    await runSessionEvent(this.router, this.host, "opened", person.session);
    return person;
  }

  /** As `login`, then available. */
  async online(address: string, priority = 0): Promise<Person> {
    const person = await this.login(address);
    await person.sends(`<presence><priority>${priority}</priority></presence>`);
    return person;
  }

  /** Lets all promises, writes and short timers finish. */
  async settle(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      await settle();
      await this.clock.advance(2);
    }
    await this.writes.flush();
    await settle();
  }

  /** A stanza from elsewhere, such as from a user of another server. */
  async arrives(text: string): Promise<void> {
    await this.router.route(stanzaFromFrame(parseFrame(text, undefined, ns.client))!, undefined);
    await this.settle();
  }

  /** What was logged as an error so far; a conversation with errors that nobody asked for fails at its end. */
  takeFailures(): string[] {
    return failures.splice(0).map(({ message }) => message);
  }

  /** What was logged as a warning so far. */
  get warnings(): readonly { readonly fields: object; readonly message: string }[] {
    return warnings;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) await stop();
    await this.writes.close();
    await this.store.close();
    expect(failures).toEqual([]);
  }
}

export class Person {
  readonly session: Session;
  /** Acknowledgements of what this client sent wait for these. */
  readonly secured: Promise<void>[] = [];
  readonly #talk: Conversation;
  #inbox: string[] = [];
  closedWith: string | undefined = undefined;
  #unacknowledged: Stanza[] | undefined = undefined;
  #whenAcknowledged: (() => void)[] = [];

  constructor(talk: Conversation, jid: Jid, serial: number) {
    this.#talk = talk;
    const link = {
      send: (stanza: Stanza) => void this.#inbox.push(stanza.toXml()),
      close: (error: { condition: string } | undefined) => {
        this.closedWith = error?.condition ?? "closed";
      },
      part: () => undefined,
      remoteAddress: "192.0.2.1",
      remotePort: 5222,
      secure: true,
      transport: "tcp" as const,
    };
    this.session = new Session(serial, jid, talk.host, link, talk.clock.now());
    this.session.outlet = {
      write: (session, stanza) => session.link?.send(stanza),
      secure: (stored) => void this.secured.push(stored),
    };
  }

  /** From now on this client has stream management (XEP-0198), and acknowledges when the test says so. */
  managed(): this {
    this.#unacknowledged = [];
    this.session.outlet = {
      ...this.session.outlet!,
      write: (session, stanza) => {
        this.#unacknowledged?.push(stanza);
        session.link?.send(stanza);
      },
      afterAcknowledged: (run) => void this.#whenAcknowledged.push(run),
    };
    return this;
  }

  async acknowledges(): Promise<void> {
    this.#unacknowledged = [];
    for (const run of this.#whenAcknowledged.splice(0)) run();
    await this.#talk.settle();
  }

  /** Sends one element of the stream: a stanza, or something else a module takes. */
  async sends(text: string): Promise<void> {
    const frame = parseFrame(text, undefined, ns.client);
    const { router, host } = this.#talk;
    try {
      const stanza = stanzaFromFrame(frame);
      if (stanza !== undefined) await takeFromClient(router, host, this.session, stanza);
      else {
        const nonza = host.registry.findNonza(frame.ns, frame.name);
        if (nonza === undefined) throw new Error(`nobody takes <${frame.name} xmlns='${frame.ns}'/>`);
        await carryOut(await nonza(frame, this.session), presence({}), router, undefined);
      }
    } catch (error) {
      if (!(error instanceof UnroutableStanza)) throw error;
      this.session.deliver(errorOf(error.stanza.withFrom(this.session.jid), error.error));
    }
    await this.#talk.settle();
  }

  /** The next stanza this client got; `id='*'` and `stamp='*'` stand for any value. */
  async receives(expected: string): Promise<void> {
    await this.#talk.settle();
    const got = this.#inbox.shift();
    if (got === undefined) throw new Error(`${this.session.jid.full} received nothing, not ${expected}`);
    const wanted = parseElement(expected, ns.client);
    const seen = parseElement(got, ns.client);
    wildcards(wanted, seen);
    if (!equalElements(wanted, seen)) expect(got).toBe(expected);
  }

  async receivesNothing(): Promise<void> {
    await this.#talk.settle();
    expect(this.#inbox).toEqual([]);
  }

  /** Takes everything that came so far. */
  async takes(): Promise<Element[]> {
    await this.#talk.settle();
    const got = this.#inbox.map((text) => parseElement(text, ns.client));
    this.#inbox = [];
    return got;
  }

  /** Says goodbye (or whatever `how` says). */
  async leaves(how: SessionEnd = "closed"): Promise<void> {
    const { router, host } = this.#talk;
    router.sessions.remove(this.session);
    this.session.link = undefined;
    await becomeUnavailable(router, host, this.session);
    await runSessionEvent(router, host, "ended", this.session, how);
    for (const stanza of this.#unacknowledged ?? []) {
      if (stanza.kind === "message") await router.redeliver(host, stanza, this.session.account);
    }
    await this.#talk.settle();
  }
}

function wildcards(wanted: Element, seen: Element): void {
  for (const [name, value] of wanted.attributes) {
    if (value === "*" && seen.attributes.has(name)) wanted.set(name, seen.attr(name));
  }
  const inner = seen.elements();
  wanted.elements().forEach((child, at) => {
    if (inner[at] !== undefined) wildcards(child, inner[at]);
  });
}

export function optionsInCode(spec: OptionSpec, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const name in spec) options[nameInCode(name, spec[name]!.kind)] = valueInCode(spec[name]!, given[name]);
  return options;
}

function valueInCode(declared: Option, given: unknown): unknown {
  const value = given ?? ("default" in declared ? declared.default : undefined);
  switch (declared.kind) {
    case "duration":
      return typeof value === "number" ? toMs(value, declared.unit) : value;
    case "list":
      return ((value ?? []) as unknown[]).map((item) => valueInCode(declared.item, item));
    case "table":
      if (value === undefined && declared.optional) return undefined;
      return optionsInCode(declared.shape, (value ?? {}) as Record<string, unknown>);
    default:
      return value;
  }
}

/** Rules that give everybody the same value. */
function accessRules(values: Readonly<Record<string, string | number>>): AccessRules {
  const rules = Object.entries(values).map(([name, value]) => [name, [{ acl: "all", value }]] as const);
  return new AccessRules(domain, new Set([domain]), new Map(), new Map(rules));
}
