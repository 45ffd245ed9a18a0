/** XEP-0060 section 9.2, filtered notifications: a client says by `NODE+notify` among its features which events it wants. */

import type { ModuleContext } from "../../hooks/define-module.ts";
import type { MaybePromise } from "../../hooks/effect.ts";
import type { Session } from "../../session/session.ts";

const suffix = "+notify";
const nothing: ReadonlySet<string> = new Set();

/** Sessions of equal clients share one list of features, and so one set of nodes. */
const known = new WeakMap<readonly string[], ReadonlySet<string>>();

export function interestsIn(features: readonly string[] | undefined): ReadonlySet<string> {
  if (features === undefined) return nothing;
  let nodes = known.get(features);
  if (nodes === undefined) {
    const wanted = features.filter((feature) => feature.endsWith(suffix));
    nodes = wanted.length === 0 ? nothing : new Set(wanted.map((feature) => feature.slice(0, -suffix.length)));
    known.set(features, nodes);
  }
  return nodes;
}

/** The nodes whose events a session of this node wants; a promise while its client is being asked. */
export function interestsOf(
  house: Pick<ModuleContext<unknown>, "ask">,
  session: Session,
): MaybePromise<ReadonlySet<string>> {
  const features = house.ask("clientFeatures", session);
  return features instanceof Promise ? features.then(interestsIn) : interestsIn(features);
}
