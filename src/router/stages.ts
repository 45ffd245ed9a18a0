/** Runs the handlers of a stage and carries out the effects they return. The only interpreter of effects. */
import type { Effect, MaybePromise, Outcome } from "../hooks/effect.ts";
import { feed } from "../session/feed.ts";
import type { Origin } from "../session/resource.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { Xml } from "../xml/xml.ts";

/** What carrying out effects needs of the router. */
export interface EffectTarget {
  route(stanza: Stanza, origin: Origin | undefined): MaybePromise<void>;
  /** Routes each stanza to each address. */
  spread(stanzas: readonly Stanza[], to: readonly Jid[], origin: Origin | undefined): MaybePromise<void>;
  dropped(stanza: Stanza, reason: string): void;
  /** Answers the sender with the error that anything thrown amounts to. */
  fail(stanza: Stanza, error: unknown): MaybePromise<void>;
}

// biome-ignore lint/suspicious/noExplicitAny: the five stages differ in what follows the stanza; StageHandlers types each
type StageHandler = (stanza: Stanza, first: any, second: any) => MaybePromise<Outcome>;

/**
 * Runs handlers in order. Resolves to the stanza that goes on (perhaps replaced), or undefined when one of them dropped
 * or handled it. Synchronous unless a handler, or a stanza it routed, needs I/O. Throws what a handler throws.
 */
export function runStage(
  handlers: readonly StageHandler[],
  stanza: Stanza,
  first: unknown,
  second: unknown,
  target: EffectTarget,
  origin: Origin | undefined,
  from = 0,
): MaybePromise<Stanza | undefined> {
  let current = stanza;
  for (let at = from; at < handlers.length; at++) {
    const outcome = handlers[at]!(current, first, second);
    if (outcome === undefined) continue;
    const next = outcome instanceof Promise ? undefined : carryOut(outcome, current, target, origin);
    if (outcome instanceof Promise || next instanceof Promise) {
      return goOn(outcome, next, handlers, current, first, second, target, origin, at + 1);
    }
    if (next === undefined) return undefined;
    current = next;
  }
  return current;
}

async function goOn(
  outcome: MaybePromise<Outcome>,
  next: MaybePromise<Stanza | undefined>,
  handlers: readonly StageHandler[],
  stanza: Stanza,
  first: unknown,
  second: unknown,
  target: EffectTarget,
  origin: Origin | undefined,
  from: number,
): Promise<Stanza | undefined> {
  const settled = outcome instanceof Promise ? await carryOut(await outcome, stanza, target, origin) : await next;
  if (settled === undefined) return undefined;
  return runStage(handlers, settled, first, second, target, origin, from);
}

/** Carries out one outcome for a stanza; resolves to the stanza that goes on, or undefined when it stops here. */
export function carryOut(
  outcome: Outcome,
  stanza: Stanza,
  target: EffectTarget,
  origin: Origin | undefined,
): MaybePromise<Stanza | undefined> {
  if (outcome === undefined) return stanza;
  if (!("length" in outcome)) return carryOutOne(outcome, stanza, target, origin);
  return carryOutFrom(outcome, 0, stanza, target, origin);
}

function carryOutFrom(
  effects: readonly Effect[],
  from: number,
  stanza: Stanza,
  target: EffectTarget,
  origin: Origin | undefined,
): MaybePromise<Stanza | undefined> {
  let current: Stanza = stanza;
  let stopped = false;
  for (let at = from; at < effects.length; at++) {
    const next = carryOutOne(effects[at]!, current, target, origin);
    if (next instanceof Promise) {
      const wasStopped = stopped;
      return next.then(async (settled) => {
        const rest = await carryOutFrom(effects, at + 1, settled ?? current, target, origin);
        return wasStopped || settled === undefined ? undefined : rest;
      });
    }
    if (next === undefined) stopped = true;
    else current = next;
  }
  return stopped ? undefined : current;
}

function carryOutOne(
  effect: Effect,
  stanza: Stanza,
  target: EffectTarget,
  origin: Origin | undefined,
): MaybePromise<Stanza | undefined> {
  switch (effect.do) {
    case "drop":
      target.dropped(stanza, effect.reason);
      return undefined;
    case "handled":
      return undefined;
    case "replace":
      return effect.stanza;
    case "route":
      return then(target.route(effect.stanza, origin), stanza);
    case "spread":
      return then(target.spread(effect.stanzas, effect.to, origin), stanza);
    case "deliver": {
      const delivered = effect.to.deliver(effect.stanza, origin);
      return delivered === undefined ? stanza : delivered.then(() => stanza);
    }
    case "present":
      return then(effect.resource.present(effect.to), stanza);
    case "write":
      effect.session.write(effect.stanza);
      return stanza;
    case "feed": {
      const { session, answer } = effect;
      const refuse = (error: unknown) => target.fail(stanza, error);
      return then(feed(session, { chars: stanza.inner.length, answer, refuse }), stanza);
    }
    case "secure":
      secure(effect.stored, stanza, target, origin);
      return stanza;
    case "close":
      effect.session.close(effect.error);
      return stanza;
    case "reply":
      throw new Error("Only the handler of an iq may reply");
  }
}

/** A store that fails later than its handler returned still has the sender told. */
function secure(stored: Promise<void>, stanza: Stanza, target: EffectTarget, origin: Origin | undefined): void {
  const dealtWith = stored.catch((error: unknown) => target.fail(stanza, error));
  origin?.secure(dealtWith);
}

function then(done: MaybePromise<void>, stanza: Stanza): MaybePromise<Stanza> {
  return done instanceof Promise ? done.then(() => stanza) : stanza;
}

/** The payload among the effects of an IQ handler, and the effects that remain. */
export function splitReply(outcome: Outcome): { payload: Xml | undefined; rest: readonly Effect[] } {
  if (outcome === undefined) return { payload: undefined, rest: [] };
  const effects = "length" in outcome ? outcome : [outcome];
  let payload: Xml | undefined;
  const rest: Effect[] = [];
  for (const effect of effects) {
    if (effect.do === "reply") payload = effect.payload;
    else rest.push(effect);
  }
  return { payload, rest };
}
