/** A feature as data: the house installs it for each host that lists it, and removes it with the host. */

import type { AccessRules } from "../config/access.ts";
import type { OptionSpec, OptionsOf } from "../config/option.ts";
import type { HttpPool } from "../config/settings.ts";
import type { Log } from "../observe/log.ts";
import type { ModuleMetrics } from "../observe/metrics.ts";
import type { Origin, Resource } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { GroupCommit } from "../store/group-commit.ts";
import type { Migration } from "../store/migrations.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import type { Xml } from "../xml/xml.ts";
import type { MaybePromise, Outcome } from "./effect.ts";
import type { Placement } from "./placement.ts";
import type { Answered, Questions, Registrar, RoomEvents, Stranger } from "./points.ts";
import type { Services } from "./services.ts";

export interface XepSupport {
  readonly number: number;
  readonly version: string;
  /** What of it is left out, in a few words. */
  readonly note?: string;
}

/** What a module sees of the node and the host it serves. */
export interface ModuleContext<Options> {
  readonly domain: string;
  /** The host's own address. */
  readonly address: Jid;
  readonly options: Options;
  readonly store: Store;
  /** Small writes that share commits, in the order they were added; for everything written per stanza. */
  readonly writes: GroupCommit;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly log: Log;
  /** Numbers of the module's own, on the page that is scraped. */
  readonly metrics: ModuleMetrics;
  readonly access: AccessRules;
  /** Bytes a second by the names of shapers; "none" is Infinity. */
  readonly shapers: ReadonlyMap<string, number>;
  /** The installed modules of this host, in order; complete once all are set up. */
  readonly installed: readonly InstalledModule[];
  /** Sessions of an account of this host that are bound on this node; not to be kept. */
  sessionsOf(account: Jid): readonly Session[];
  /** All resources of an account, whichever node they are bound on; not to be kept. */
  resourcesOf(account: Jid): readonly Resource[];
  /** Whether any resource of the account is available, on any node. */
  isAvailable(account: Jid): boolean;
  allSessions(): Iterable<Session>;
  /** Asks the other modules; undefined when none answers. */
  ask<Name extends keyof Questions>(
    question: Name,
    ...args: Parameters<Questions[Name]>
  ): ReturnType<Questions[Name]> | undefined;
  /** As `ask`, of every module that has an answer. */
  askAll<Name extends keyof Questions>(question: Name, ...args: Parameters<Questions[Name]>): Promise<Answered<Name>[]>;
  /** What another module of this host offers; undefined when the host has no such module. Complete once all are set up. */
  service<Name extends keyof Services>(name: Name): Services[Name] | undefined;
  /** Those who listen to what happens in rooms; for modules that have rooms. */
  readonly rooms: RoomEvents;
  /** Domains that modules of this host serve, such as a group chat service. Complete once all are set up. */
  servedDomains(): Iterable<string>;
  /**
   * Word to the same module on all other nodes, such as that what they remember of an account is old. `heard` is called with the key
   * another node told, or with undefined when something may have been missed: then all that is remembered is old.
   * Returns the function that tells; a node alone tells nobody.
   */
  notices(topic: string, heard: (key: string | undefined) => void): (key: string) => void;
  /**
   * Resolves when all other nodes know what this one has told so far: marks of sessions, notices. Undefined on a node that is alone. For
   * answers after which a client may rely on it, such as that a contact is blocked; it waits for a slow node for a moment only.
   */
  told(): undefined | Promise<void>;
  /**
   * Resolves when what any node took in before is in the database: for answers that must not miss what a client was told of, or a message
   * that was on its way when it came. A slow node is waited for a moment only; resolves to whether all were heard.
   */
  written(): Promise<boolean>;
  /** The same of all other nodes alone, for what is written here behind it; undefined on a node that is alone. */
  writtenElsewhere(): undefined | Promise<unknown>;
  /** Where things of this name live that are in one node's memory only. */
  placement(name: string): Placement;
  /**
   * The time for ids that sort: milliseconds since the Unix epoch by the clock of the cluster that is ahead of the others, as far as that is
   * credible; our own on a node that is alone.
   */
  clusterNow(): number;
  /** Unique among the nodes of the cluster that live, 0 to 1023; part of ids that must not collide. */
  readonly nodeNumber: number;
  /**
   * Runs effects outside of a handler (a timer, the end of a background job), or, given the stanza that has caused them and who waits for it,
   * in the place of the house: for whoever must know when they have been carried out.
   */
  run(effects: Outcome, cause?: Stanza, origin?: Origin): MaybePromise<void>;
  accountExists(account: Jid): MaybePromise<boolean>;
  accounts: AccountService;
  /** Sends an IQ to a client of ours, or to any address elsewhere, and resolves with its result or error stanza; rejects with `StanzaError` remote-server-timeout. */
  request(type: "get" | "set", to: Jid, payload: Xml, timeoutMs: number): Promise<Stanza>;
  /** `[outgoing_pools.http]`, by name. */
  readonly httpPools: ReadonlyMap<string, HttpPool>;
  /** `[general] registration_timeout`: shortest time between two registrations from one address; Infinity: one ever. */
  readonly registrationTimeoutMs: number;
  /** When the node started, milliseconds since the epoch. */
  readonly nodeStartedAt: number;
  /** The node's data folder. */
  readonly dataDir: string;
  /**
   * The URL, without a slash at the end, under which clients reach the files of this host through a listener of this node; undefined when
   * no listener serves any, or none is open yet.
   */
  uploadsUrl(): string | undefined;
}

/** What modules may do with accounts (XEP-0077). Throws `StanzaError`: conflict, not-acceptable, not-allowed. */
export interface AccountService {
  register(account: Jid, password: string): Promise<void>;
  changePassword(account: Jid, password: string): Promise<void>;
  remove(account: Jid): Promise<void>;
}

/** A module's features as service discovery (XEP-0030) shows them. */
export interface Discovery {
  readonly server?: readonly string[];
  readonly account?: readonly string[];
}

export interface ModuleDefinition<Spec extends OptionSpec = OptionSpec> {
  /** As in the configuration: `mod_carboncopy`. */
  readonly name: string;
  /** One sentence for the documentation. */
  readonly summary: string;
  readonly xeps?: readonly XepSupport[];
  readonly rfcs?: readonly string[];
  readonly options: Spec;
  readonly features?: Discovery;
  /** Elements of `<stream:features/>` after authentication. */
  streamFeatures?(options: OptionsOf<Spec>): Xml | undefined;
  /** Elements of `<stream:features/>` before authentication. */
  strangerFeatures?(options: OptionsOf<Spec>, stranger: Stranger): Xml | undefined;
  readonly migrations?: readonly Migration[];
  /** Other modules that must be configured too. */
  readonly requires?: readonly string[];
  /** Fills the extension points for one host. What it returns is run when the host stops. */
  setup(on: Registrar, context: ModuleContext<OptionsOf<Spec>>): undefined | (() => MaybePromise<void>);
}

export interface InstalledModule {
  readonly definition: ModuleDefinition;
  readonly options: Readonly<Record<string, unknown>>;
}

export function defineModule<const Spec extends OptionSpec>(
  definition: ModuleDefinition<Spec>,
): ModuleDefinition<Spec> {
  return definition;
}
