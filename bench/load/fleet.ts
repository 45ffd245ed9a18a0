/** The users of a run together: logs them in, waits for quiet, and keeps the first trouble. */
import { cpuSeconds } from "../measure/process.ts";
import { Client, type Listener } from "./client.ts";
import type { Plan } from "./plan.ts";

const stallMs = 60_000;
const settleMs = 30_000;

export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

export class Fleet {
  readonly clients: Client[] = [];
  readonly plan: Plan;
  /** Anything received by anybody, so that silence can be told. */
  elements = 0;
  #ready = 0;
  #trouble: string | undefined;
  #progress: (() => void) | undefined;

  /** `hears` is what the scenario wants to know; it may set functions later too. */
  constructor(plan: Plan, hears: Omit<Listener, "failed"> = {}) {
    this.plan = plan;
    const listener: Listener = {
      ready: (client) => {
        this.#ready++;
        hears.ready?.(client);
        this.#progress?.();
      },
      message: (client, text, start, end) => {
        this.elements++;
        hears.message?.(client, text, start, end);
      },
      presence: (client, text, start, end) => {
        this.elements++;
        hears.presence?.(client, text, start, end);
      },
      iq: (client, text, start, end) => {
        this.elements++;
        hears.iq?.(client, text, start, end);
      },
      closed: (client) => {
        hears.closed?.(client);
        this.#progress?.();
      },
      failed: (_client, reason) => {
        this.#trouble ??= reason;
        this.#progress?.();
      },
    };
    for (let index = 0; index < plan.users; index++) {
      this.clients.push(new Client(plan.first + index, plan.target, listener));
    }
  }

  /** Throws what went wrong with any user. */
  check(): void {
    if (this.#trouble !== undefined) throw new Error(this.#trouble);
  }

  /** Logs these in, `inflight` at a time; all of them by default. */
  async logIn(clients: readonly Client[] = this.clients): Promise<void> {
    const goal = this.#ready + clients.length;
    const first = this.#ready;
    let started = 0;
    await this.until(
      () => {
        while (started < clients.length && started - (this.#ready - first) < this.plan.inflight) {
          clients[started++]!.connect();
        }
        return this.#ready >= goal;
      },
      () => `${this.#ready - first} of ${clients.length} users have logged in`,
    );
  }

  async logOut(clients: readonly Client[] = this.clients): Promise<void> {
    for (const client of clients) client.close();
    await this.until(
      () => clients.every((client) => client.state === "idle"),
      () => "logging out",
    );
  }

  /** Waits until `done` says so; it is asked after each event of logins and every 20 ms. */
  async until(done: () => boolean, what: () => string): Promise<void> {
    let deadline = performance.now() + stallMs;
    let seen = this.elements + this.#ready;
    while (!done()) {
      this.check();
      if (seen !== this.elements + this.#ready) {
        seen = this.elements + this.#ready;
        deadline = performance.now() + stallMs;
      } else if (performance.now() > deadline) throw new Error(`nothing happens any more: ${what()}`);
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, 20);
        this.#progress = () => {
          clearTimeout(timer);
          wake();
        };
      });
      this.#progress = undefined;
    }
    this.check();
  }

  /** Waits until the server neither sends nor uses CPU, for half a second; not for ever. */
  async settle(): Promise<void> {
    const deadline = performance.now() + settleMs;
    for (let quiet = 0; quiet < 2 && performance.now() < deadline; ) {
      const cpu = cpuSeconds(this.plan.serverPid);
      const elements = this.elements;
      await sleep(250);
      const still = this.elements === elements && cpuSeconds(this.plan.serverPid) - cpu < 0.025;
      quiet = still ? quiet + 1 : 0;
    }
    this.check();
  }

  /** Ends all connections at once. */
  drop(): void {
    for (const client of this.clients) client.drop();
  }
}
