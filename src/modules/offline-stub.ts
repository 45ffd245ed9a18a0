/** For hosts whose users read what they missed from their archive (mod_mam): a message to someone away is no failure. */
import { defineModule } from "../hooks/define-module.ts";
import { handled, type Outcome } from "../hooks/effect.ts";

export const offlineStub = defineModule({
  name: "mod_offline_stub",
  summary: "Without mod_offline: who writes to a user who is away gets no error.",
  options: {},
  setup(on, context) {
    on.stage("undelivered", "message", (_stanza, account) => {
      const exists = context.accountExists(account);
      return exists instanceof Promise ? exists.then(accepted) : accepted(exists);
    });
    return undefined;
  },
});

/** Who does not exist is still reported. */
function accepted(exists: boolean): Outcome {
  return exists ? handled : undefined;
}
