/**
 * Users 2k and 2k+1 talk. Closed loop: `window` messages go back and forth in each pair; whoever receives one sends one.
 * Open loop: messages are due at fixed times whether or not the server keeps up, all users taking turns, and latency
 * counts from the time a message was due. It warms up in a closed loop: a server that compiles what it runs often would
 * need minutes at a low rate, and its compiler would be measured instead of its work.
 */
import { residentBytes, snapshot, usage } from "../measure/process.ts";
import type { Client } from "./client.ts";
import { Fleet, sleep } from "./fleet.ts";
import { Ledger, microseconds, Outbox } from "./ledger.ts";
import type { MemorySample, Outcome, PairsPlan } from "./plan.ts";

const drainMs = 30_000;
/** Anything that comes later than this after the last would be a duplicate. */
const quietMs = 300;
/** So many before anything is measured: a server that compiles what it runs often is compiling until then. */
const warmupMessages = 20_000;
/** How many times the usual warming up that may take. */
const patience = 3;
/** Of an open loop, before it is measured. */
const settleInMs = 1_000;

export async function pairs(plan: PairsPlan): Promise<Outcome> {
  if (plan.users % 2 !== 0) throw new Error("pairs need an even number of users");
  const ledger = new Ledger(plan.bodyBytes, (text) => process.stderr.write(`${text}\n`));
  const outboxes: Outbox[] = [];
  let replying = true;
  const send = (client: Client, due: number) => {
    client.send(outboxes[client.index - plan.first]!.next(due));
    ledger.sent++;
  };
  const fleet = new Fleet(plan, {
    message(client, text, start, end) {
      const now = microseconds();
      const partner = ((client.index - plan.first) ^ 1) + plan.first;
      if (ledger.take(client.index, partner, text, start, end, now) && replying) send(client, now);
    },
  });
  const residentStart = residentBytes(plan.serverPid);
  await fleet.logIn();
  await fleet.settle();
  const residentIdle = residentBytes(plan.serverPid);
  for (const client of fleet.clients) {
    const partner = fleet.clients[(client.index - plan.first) ^ 1]!;
    outboxes.push(new Outbox(client.index, partner.jid, "chat", plan.bodyBytes));
  }

  for (let at = 0; at < plan.users; at += 2) {
    for (let message = 0; message < Math.max(plan.window, 1); message++) send(fleet.clients[at]!, microseconds());
    fleet.clients[at]!.flush();
  }
  await sleep(plan.warmupSeconds * 1000);
  const deadline = performance.now() + plan.warmupSeconds * 1000 * patience;
  while (ledger.received < warmupMessages && performance.now() < deadline) await sleep(20);
  fleet.check();
  const clock = plan.window > 0 ? undefined : new OpenLoop(plan.rate, fleet.clients, send);
  if (clock !== undefined) {
    replying = false;
    await arrived(ledger);
    clock.start();
    await sleep(settleInMs);
    fleet.check();
  }

  ledger.latency.clear();
  const receivedBefore = ledger.received;
  const before = snapshot(plan.serverPid, plan.apart);
  const samples = await wait(plan, fleet, ledger);
  const after = snapshot(plan.serverPid, plan.apart);
  const units = ledger.received - receivedBefore;
  replying = false;
  clock?.stop();
  const measured = usage(before, after);
  const latency = {
    p50Ms: ledger.latency.quantile(0.5) / 1000,
    p99Ms: ledger.latency.quantile(0.99) / 1000,
    maxMs: ledger.latency.max / 1000,
  };
  await arrived(ledger);
  await sleep(quietMs);
  fleet.check();
  return {
    units,
    users: plan.users,
    usage: measured,
    latency,
    verdict: ledger.verdict(),
    residentStart,
    residentIdle,
    residentEnd: residentBytes(plan.serverPid),
    samples,
  };
}

/** Waits for what is under way, not for ever. */
async function arrived(ledger: Ledger): Promise<void> {
  const deadline = performance.now() + drainMs;
  while (ledger.received < ledger.sent && performance.now() < deadline) await sleep(20);
}

/** Passes the measured time, taking samples of memory on the way if they are wanted. */
async function wait(plan: PairsPlan, fleet: Fleet, ledger: Ledger): Promise<MemorySample[]> {
  const samples: MemorySample[] = [];
  const begun = performance.now();
  let lastAt = begun;
  let lastReceived = ledger.received;
  for (;;) {
    const left = begun + plan.seconds * 1000 - performance.now();
    if (left <= 0) return samples;
    await sleep(plan.sampleSeconds > 0 ? Math.min(left, plan.sampleSeconds * 1000) : left);
    fleet.check();
    if (plan.sampleSeconds === 0) continue;
    const now = performance.now();
    const rate = ((ledger.received - lastReceived) * 1000) / (now - lastAt);
    samples.push({ seconds: (now - begun) / 1000, bytes: residentBytes(plan.serverPid), rate });
    lastAt = now;
    lastReceived = ledger.received;
  }
}

/** Sends what is due, again and again; a message that is sent late still counts from its time. */
class OpenLoop {
  readonly #rate: number;
  readonly #clients: readonly Client[];
  readonly #send: (client: Client, due: number) => void;
  #begun = 0;
  #count = 0;
  #running = false;

  constructor(rate: number, clients: readonly Client[], send: (client: Client, due: number) => void) {
    this.#rate = rate;
    this.#clients = clients;
    this.#send = send;
  }

  start(): void {
    this.#begun = microseconds();
    this.#running = true;
    this.#turn();
  }

  stop(): void {
    this.#running = false;
  }

  #turn(): void {
    if (!this.#running) return;
    const now = microseconds();
    for (;;) {
      const due = this.#begun + (this.#count * 1e6) / this.#rate;
      if (due > now) break;
      const client = this.#clients[this.#count++ % this.#clients.length]!;
      this.#send(client, Math.floor(due));
      client.flush();
    }
    // Timers are too coarse by a millisecond: the loop is polled. The core is the load's own.
    setImmediate(() => this.#turn());
  }
}
