/** Logins, over and over: connect, authenticate, bind, and away again, `inflight` of them at once. */
import { snapshot, usage } from "../measure/process.ts";
import { Histogram } from "../measure/statistics.ts";
import { Fleet, sleep } from "./fleet.ts";
import type { LoginsPlan, Outcome } from "./plan.ts";

/** So many before it is measured: a server that compiles what it runs often is compiling until then. */
const warmupLogins = 10_000;
/** How many times the usual warming up that may take. */
const patience = 3;

export async function logins(plan: LoginsPlan): Promise<Outcome> {
  let count = 0;
  let next = 0;
  let running = true;
  const took = new Histogram();
  const fleet = new Fleet(plan, {
    ready(client) {
      count++;
      took.add((performance.now() - client.startedAt) * 1000);
      client.close();
    },
    closed() {
      if (running) connectNext();
    },
  });
  /** Round and round, so that each account rests for a while. */
  function connectNext(): void {
    for (let tries = 0; tries < plan.users; tries++) {
      const client = fleet.clients[next++ % plan.users]!;
      if (client.state === "idle") return client.connect();
    }
  }
  await fleet.settle();
  for (let at = 0; at < Math.min(plan.inflight, plan.users); at++) connectNext();
  // The load derives each account's salted password at its first login; that is over after one round.
  await fleet.until(
    () => count >= plan.users,
    () => `${count} logins`,
  );
  await sleep(plan.warmupSeconds * 1000);
  const deadline = performance.now() + plan.warmupSeconds * 1000 * patience;
  await fleet.until(
    () => count >= warmupLogins || performance.now() > deadline,
    () => `${count} logins`,
  );
  took.clear();
  const begun = count;
  const before = snapshot(plan.serverPid, plan.apart);
  await sleep(plan.seconds * 1000);
  const after = snapshot(plan.serverPid, plan.apart);
  fleet.check();
  const units = count - begun;
  if (units === 0) throw new Error("no login was completed");
  running = false;
  await fleet.until(
    () => fleet.clients.every((client) => client.state === "idle"),
    () => "closing",
  );
  const latency = { p50Ms: took.quantile(0.5) / 1000, p99Ms: took.quantile(0.99) / 1000, maxMs: took.max / 1000 };
  return { units, users: plan.users, usage: usage(before, after), latency };
}
