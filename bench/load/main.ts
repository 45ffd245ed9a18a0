/** The process of the load generator: carries out the plan in its argument and prints the outcome, both JSON. */
import { fanout } from "./fanout.ts";
import { idle, register } from "./idle.ts";
import { logins } from "./logins.ts";
import { offline } from "./offline.ts";
import { pairs } from "./pairs.ts";
import type { Outcome, Plan } from "./plan.ts";
import { presence } from "./presence.ts";

function run(plan: Plan): Promise<Outcome> {
  switch (plan.kind) {
    case "register":
      return register(plan);
    case "idle":
      return idle(plan);
    case "logins":
      return logins(plan);
    case "pairs":
      return pairs(plan);
    case "presence":
      return presence(plan);
    case "fanout":
      return fanout(plan);
    case "offline":
      return offline(plan);
  }
}

try {
  const outcome = await run(JSON.parse(process.argv[2]!) as Plan);
  process.stdout.write(JSON.stringify(outcome));
  process.exit(0);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
