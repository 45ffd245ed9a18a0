/** The one rule by which IQs addressed to an account or the host are answered (RFC 6120 section 8.2.3). */
import type { MaybePromise, Outcome } from "../hooks/effect.ts";
import type { IqTarget } from "../hooks/points.ts";
import type { Origin } from "../session/resource.ts";
import { StanzaError } from "../stanza/errors.ts";
import { resultOf } from "../stanza/reply.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { Host } from "./host.ts";
import type { Router } from "./route.ts";
import { carryOut, splitReply } from "./stages.ts";

/**
 * Answers a request with its handler's reply, an empty result, or the error it throws; service-unavailable where no
 * module answers. Results and errors settle the request we sent, or end here.
 */
export function answerIq(
  router: Router,
  host: Host,
  target: IqTarget,
  request: Stanza,
  origin: Origin | undefined,
): MaybePromise<void> {
  if (request.type === "result" || request.type === "error") {
    router.requests.settle(request);
    return;
  }
  const from = request.from;
  if (from === undefined || request.to === undefined) throw new Error("An iq without addresses");
  const [name, namespace] = request.children as readonly string[];
  const own = target === "user" && from.bare === request.to.bare;
  const handler =
    (own ? host.registry.findIq(request.type!, "account", namespace!, name!) : undefined) ??
    host.registry.findIq(request.type!, target, namespace!, name!);
  if (handler === undefined) throw new StanzaError("service-unavailable");

  const session = host.domain === from.domain ? router.sessions.find(from) : undefined;
  const outcome = handler(request, { session, target: request.to, from, payload: request.firstChild()! });
  if (outcome instanceof Promise) return outcome.then((settled) => finish(router, request, settled, origin));
  return finish(router, request, outcome, origin);
}

/** The result goes out before the effects: a roster set is answered, then pushed. */
function finish(router: Router, request: Stanza, outcome: Outcome, origin: Origin | undefined): MaybePromise<void> {
  const { payload, rest } = splitReply(outcome);
  const handled = rest.some((effect) => effect.do === "handled");
  const answered = handled ? undefined : answer(router, resultOf(request, payload), origin);
  if (rest.length === 0) return answered;
  const after = () => carryOut(rest, request, router, origin);
  const done = answered instanceof Promise ? answered.then(after) : after();
  if (done instanceof Promise) return done.then(() => undefined);
}

function answer(router: Router, result: Stanza, origin: Origin | undefined): MaybePromise<void> {
  const session = router.sessions.find(result.to!);
  if (session === undefined) return router.route(result, origin);
  session.deliver(result);
}
