/** All scenarios, in the order in which `all` runs them. A new one is a file beside this and a line here. */
import { connect } from "./connect.ts";
import { login } from "./login.ts";
import { messages } from "./messages.ts";
import type { Scenario } from "./scenario.ts";

export const scenarios: readonly Scenario[] = [messages, login, connect];
