/** XEP-0386 Bind 2 1.1.0: binding a resource within SASL2, and turning features on with it. */
import { defineModule } from "../hooks/define-module.ts";

export const bind2 = defineModule({
  name: "mod_bind2",
  summary: "Binds a resource, and turns on carbons and the like, while logging in with SASL2.",
  xeps: [{ number: 386, version: "1.1.0" }],
  options: {},
  requires: ["mod_sasl2"],
  setup: () => undefined,
});
