/** XEP-0388 Extensible SASL Profile 1.0.4: logging in with fewer round trips. The exchange itself is in `src/stream/`. */
import { defineModule } from "../hooks/define-module.ts";

export const sasl2 = defineModule({
  name: "mod_sasl2",
  summary: "Lets clients log in, bind and resume in one round trip.",
  xeps: [{ number: 388, version: "1.0.4", note: "no tasks after authentication" }],
  options: {},
  setup: () => undefined,
});
