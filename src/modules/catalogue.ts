/** Every feature there is, in the order in which handlers of one stage run: first what refuses, last what describes. */
import type { ModuleDefinition } from "../hooks/define-module.ts";
import { bind2 } from "./bind2.ts";
import { caps } from "./caps/caps.ts";
import { carbons } from "./carbons.ts";
import { csi } from "./csi.ts";
import { disco } from "./disco.ts";
import { extdisco } from "./extdisco.ts";
import { fastAuthToken } from "./fast-auth-token.ts";
import { offline } from "./offline/offline.ts";
import { presence } from "./presence.ts";
import { blocking } from "./privacy/blocking.ts";
import { privacy } from "./privacy/privacy.ts";
import { privateStorage } from "./private.ts";
import { register } from "./register.ts";
import { roster } from "./roster/roster.ts";
import { sasl2 } from "./sasl2.ts";
import { streamManagement } from "./stream-management.ts";
import { vcard } from "./vcard/vcard.ts";

// biome-ignore lint/suspicious/noExplicitAny: each module has options of its own, which its setup gets typed
type AnyModule = ModuleDefinition<any>;

export const catalogue: readonly AnyModule[] = [
  sasl2,
  bind2,
  fastAuthToken,
  streamManagement,
  privacy,
  blocking,
  roster,
  presence,
  carbons,
  offline,
  privateStorage,
  vcard,
  register,
  extdisco,
  caps,
  disco,
  csi,
];
