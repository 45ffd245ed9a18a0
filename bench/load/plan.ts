/** What the process of the load generator is told, as JSON in its argument, and what it answers, as JSON in its output. */
import type { Usage } from "../measure/process.ts";
import type { Target } from "./client.ts";
import type { Verdict } from "./ledger.ts";

interface Common {
  readonly target: Target;
  /** The server's process, whose tree is measured. */
  readonly serverPid: number;
  /** Processes whose CPU is told apart too, by what they are: of the server's tree, or beside it. */
  readonly apart?: Readonly<Record<string, number>>;
  readonly users: number;
  /** Number of the first user: `u0`, `u1`, … */
  readonly first: number;
  /** Logins under way at once. */
  readonly inflight: number;
}

export interface RegisterPlan extends Common {
  readonly kind: "register";
}

/** All log in and stay, doing nothing. */
export interface IdlePlan extends Common {
  readonly kind: "idle";
  readonly holdSeconds: number;
}

/** Logins, each followed by a logout, for a while. */
export interface LoginsPlan extends Common {
  readonly kind: "logins";
  readonly warmupSeconds: number;
  readonly seconds: number;
}

/** Users 2k and 2k+1 talk. */
export interface PairsPlan extends Common {
  readonly kind: "pairs";
  /** Closed loop: so many messages are under way in each pair. 0: open loop, at `rate`. */
  readonly window: number;
  /** Open loop: messages a second of all together, due at fixed times whatever the server does. */
  readonly rate: number;
  readonly bodyBytes: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** Take a sample of memory this often; 0: only at the beginning and end. */
  readonly sampleSeconds: number;
}

/** The first `hubs` users have all others as contacts; one after the other logs in to them and out. */
export interface PresencePlan extends Common {
  readonly kind: "presence";
  readonly hubs: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

/** Even users write to odd ones that are away; these come and fetch it. */
export interface OfflinePlan extends Common {
  readonly kind: "offline";
  readonly messagesEach: number;
  readonly bodyBytes: number;
  /** Once before, unmeasured. */
  readonly rounds: number;
}

/** All users are in one room, and the first one talks. */
export interface FanoutPlan extends Common {
  readonly kind: "fanout";
  /** A room of MUC Light, which nobody enters. */
  readonly light?: boolean;
  readonly window: number;
  readonly bodyBytes: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export type Plan = FanoutPlan | RegisterPlan | IdlePlan | LoginsPlan | PairsPlan | PresencePlan | OfflinePlan;

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface MemorySample {
  readonly seconds: number;
  readonly bytes: number;
  /** Units of work per second since the last sample. */
  readonly rate: number;
}

export interface Outcome {
  /** Units of work done while measured: messages, logins, users. */
  readonly units: number;
  readonly usage: Usage;
  readonly latency?: Latency;
  readonly verdict?: Verdict;
  readonly users: number;
  /** Bytes of the server's memory before anybody logged in, when all had and it was quiet, and at the end. */
  readonly residentStart?: number;
  readonly residentIdle?: number;
  readonly residentEnd?: number;
  readonly samples?: readonly MemorySample[];
  /** Figures of a program of its own, by their key. */
  readonly values?: Readonly<Record<string, number>>;
  /** The same work by halves, where a scenario has two: storing and fetching. */
  readonly parts?: Readonly<Record<string, { units: number; serverCpu: number }>>;
}
