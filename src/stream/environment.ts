/** What all client streams of a listener share; one object, so that a stream itself holds little. */

import type { Log } from "../observe/log.ts";
import type { StreamCounters } from "../observe/metrics.ts";
import type { Host } from "../router/host.ts";
import type { Router } from "../router/route.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { XmlLimits } from "../xml/limits.ts";
import type { Mechanisms } from "./mechanisms.ts";
import type { SessionKeeper } from "./session-keeper.ts";

/** Events too rare to need care. */
export interface StreamObserver {
  login(mechanism: string, outcome: "success" | "failure"): void;
  streamError(condition: string): void;
}

/** Counts the connections whose clients have not logged in, by address. */
export interface Strangers {
  entered(remoteAddress: string): void;
  left(remoteAddress: string): void;
}

export interface StreamEnvironment {
  readonly strangers: Strangers;
  readonly router: Router;
  readonly keeper: SessionKeeper;
  readonly mechanisms: Mechanisms;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Randomness;
  readonly log: Log;
  readonly counters: StreamCounters;
  readonly observer: StreamObserver;
  /** The `xml:lang` of our streams. */
  readonly language: string;
  /** Answers for a stream header without `to`. */
  readonly defaultHost: Host;
  readonly listener: ListenerPolicy;
}

/** What the operator decided for one listener. */
export interface ListenerPolicy {
  /** Direct TLS, STARTTLS on offer, STARTTLS demanded, or none. */
  readonly tls: "tls" | "starttls" | "starttls_required" | "none";
  /** Milliseconds a client may take in each state before its session is bound. */
  readonly stateTimeoutMs: number;
  readonly limitsBefore: XmlLimits;
  readonly limitsAfter: XmlLimits;
  /** Wrong credentials after which the stream is closed. */
  readonly saslTries: number;
  readonly bindTries: number;
  /** Bytes a second that are read from one client, with a burst of as much; Infinity for no shaping. */
  readonly bytesPerSecond: number;
  /** Advertise RFC 3921's `<session/>` as optional. */
  readonly legacySession: boolean;
  /** Milliseconds without any byte from an authenticated client; 0 for no limit. WebSockets need it, having no keep-alive of TCP. */
  readonly idleTimeoutMs: number;
  /** Whether this account may open a session here. */
  mayLogIn(account: import("../stanza/jid.ts").Jid): boolean;
}
