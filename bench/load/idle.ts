/** Users that only are: created, or logged in and left alone while memory and CPU of the server are measured. */
import { residentBytes, snapshot, usage } from "../measure/process.ts";
import { Fleet, sleep } from "./fleet.ts";
import type { IdlePlan, Outcome, RegisterPlan } from "./plan.ts";

export async function register(plan: RegisterPlan): Promise<Outcome> {
  const fleet = new Fleet(plan, { ready: (client) => client.close() });
  const before = snapshot(plan.serverPid);
  await fleet.logIn();
  await fleet.until(
    () => fleet.clients.every((client) => client.state === "idle"),
    () => "closing",
  );
  const existed = fleet.clients.filter((client) => client.existed).length;
  return { units: plan.users - existed, users: plan.users, usage: usage(before, snapshot(plan.serverPid)) };
}

export async function idle(plan: IdlePlan): Promise<Outcome> {
  const fleet = new Fleet(plan);
  await fleet.settle();
  const residentStart = residentBytes(plan.serverPid);
  await fleet.logIn();
  await fleet.settle();
  const before = snapshot(plan.serverPid);
  await sleep(plan.holdSeconds * 1000);
  const after = snapshot(plan.serverPid);
  fleet.check();
  return {
    units: plan.users,
    users: plan.users,
    usage: usage(before, after),
    residentStart,
    residentIdle: residentBytes(plan.serverPid),
  };
}
