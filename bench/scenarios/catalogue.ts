/** All scenarios, in the order in which `all` runs them. A new one is a file beside this and a line here. */
import { archive } from "./archive.ts";
import { cluster } from "./cluster.ts";
import { connect } from "./connect.ts";
import { fanout } from "./fanout.ts";
import { floor } from "./floor.ts";
import { growth } from "./growth.ts";
import { login } from "./login.ts";
import { messages } from "./messages.ts";
import { offline } from "./offline.ts";
import { presence } from "./presence.ts";
import type { Scenario } from "./scenario.ts";
import { soak } from "./soak.ts";

export const scenarios: readonly Scenario[] = [
  messages,
  login,
  connect,
  presence,
  fanout,
  offline,
  archive,
  cluster,
  growth,
  floor,
  soak,
];
