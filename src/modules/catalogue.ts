/** Every feature there is, in the order in which handlers of one stage run: first what refuses, last what describes. */
import type { ModuleDefinition } from "../hooks/define-module.ts";
import { bind2 } from "./bind2.ts";
import { caps } from "./caps/caps.ts";
import { carbons } from "./carbons.ts";
import { csi } from "./csi.ts";
import { disco } from "./disco.ts";
import { extdisco } from "./extdisco.ts";
import { fastAuthToken } from "./fast-auth-token.ts";
import { httpUpload } from "./http-upload/http-upload.ts";
import { inbox } from "./inbox/inbox.ts";
import { last } from "./last.ts";
import { mam } from "./mam/mam.ts";
import { mongoosePush } from "./mongoosepush/mongoosepush.ts";
import { muc } from "./muc/muc.ts";
import { mucLight } from "./muc-light/muc-light.ts";
import { offline } from "./offline/offline.ts";
import { offlineStub } from "./offline-stub.ts";
import { ping } from "./ping.ts";
import { presence } from "./presence.ts";
import { blocking } from "./privacy/blocking.ts";
import { privacy } from "./privacy/privacy.ts";
import { privateStorage } from "./private.ts";
import { pubsub } from "./pubsub/pubsub.ts";
import { push } from "./push/push.ts";
import { register } from "./register.ts";
import { roster } from "./roster/roster.ts";
import { sasl2 } from "./sasl2.ts";
import { smartMarkers } from "./smart-markers/smart-markers.ts";
import { stanzaId } from "./stanza-id.ts";
import { streamManagement } from "./stream-management.ts";
import { time } from "./time.ts";
import { vcard } from "./vcard/vcard.ts";
import { version } from "./version.ts";

// biome-ignore lint/suspicious/noExplicitAny: each module has options of its own, which its setup gets typed
export type AnyModule = ModuleDefinition<any>;

/**
 * What the order is for: `ping` sees every stanza, also those that others drop; `privacy` and `blocking` stand before
 * whatever copies or stores, and so does `smartMarkers`, which may keep markers private; `mam` before `carbons`, whose copies bear its ids; `carbons` before `offline`, so that errors of kept messages are copied; `offline` before
 * `roster` and `presence`, so that no message overtakes the backlog; `pubsub` behind `caps`, which learns what a client wants; `inbox` behind
 * `mam`, whose ids it keeps, behind `mucLight`, from whose rooms an account is taken before its inbox goes, and before `push`, which counts; `csi` last, since it releases past later filters.
 */
export const catalogue: readonly AnyModule[] = [
  sasl2,
  bind2,
  fastAuthToken,
  streamManagement,
  ping,
  privacy,
  blocking,
  stanzaId,
  smartMarkers,
  mam,
  carbons,
  offline,
  offlineStub,
  roster,
  presence,
  last,
  time,
  version,
  privateStorage,
  vcard,
  register,
  extdisco,
  httpUpload,
  muc,
  mucLight,
  inbox,
  caps,
  pubsub,
  push,
  mongoosePush,
  disco,
  csi,
];

/** With modules that are not ours: behind all others, but for `csi`. */
export function catalogueWith(others: readonly AnyModule[]): readonly AnyModule[] {
  return others.length === 0 ? catalogue : [...catalogue.filter((module) => module !== csi), ...others, csi];
}
