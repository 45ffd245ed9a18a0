/** What the modules of one host have registered, indexed so that a stanza nobody cares about costs one array lookup. */
import type { Session } from "../session/session.ts";
import type { Stanza, StanzaKind } from "../stanza/stanza.ts";
import type { Xml } from "../xml/xml.ts";
import type { MaybePromise, Outcome } from "./effect.ts";
import type {
  AccountEventName,
  AccountHandlers,
  Answered,
  ClusterEventName,
  ClusterHandlers,
  DomainHandler,
  InlineFeature,
  IqHandler,
  IqTarget,
  NonzaHandler,
  Questions,
  Registrar,
  RoomEventName,
  RoomHandlers,
  SessionEventName,
  SessionHandlers,
  StageHandlers,
  StageName,
  Stranger,
} from "./points.ts";
import { RoomListeners } from "./room-listeners.ts";
import type { Services } from "./services.ts";

type PerKind<Handler> = { readonly [Kind in StanzaKind]: Handler[] };
export type StrangerIqHandler = (request: Stanza, stranger: Stranger) => MaybePromise<Outcome>;

function perKind<Handler>(): PerKind<Handler> {
  return { message: [], presence: [], iq: [] };
}

export class Registry implements Registrar {
  readonly stages: { readonly [Name in StageName]: PerKind<StageHandlers[Name]> } = {
    outgoing: perKind(),
    incoming: perKind(),
    delivered: perKind(),
    undelivered: perKind(),
    delivering: perKind(),
  };
  readonly sessions: { readonly [Name in SessionEventName]: SessionHandlers[Name][] } = {
    opened: [],
    available: [],
    updated: [],
    unavailable: [],
    asked: [],
    ended: [],
    leaving: [],
    left: [],
    arrived: [],
    resumed: [],
    detached: [],
  };
  readonly clusterEvents: { readonly [Name in ClusterEventName]: ClusterHandlers[Name][] } = {
    lost: [],
    healed: [],
    missed: [],
  };
  readonly accounts: { readonly [Name in AccountEventName]: AccountHandlers[Name][] } = {
    registered: [],
    passwordChanged: [],
    removed: [],
    guestRemoved: [],
  };
  readonly rooms = new RoomListeners();
  readonly stoppings: (() => Outcome)[] = [];
  readonly inlineFeatures: InlineFeature[] = [];
  readonly boundDescriptions: ((session: Session) => MaybePromise<Xml | undefined>)[] = [];
  readonly streamFeatures: (() => Xml | undefined)[] = [];
  /** Domains of modules of this host, with who takes what is addressed there. */
  readonly domains = new Map<string, DomainHandler>();
  readonly #iqs = new Map<string, IqHandler>();
  readonly #strangerIqs = new Map<string, StrangerIqHandler>();
  readonly #nonzas = new Map<string, NonzaHandler>();
  readonly #services = new Map<string, unknown>();
  readonly #questions: { [Name in keyof Questions]?: Questions[Name][] } = {};

  stage<Name extends StageName>(name: Name, kind: StanzaKind, handler: StageHandlers[Name]): void {
    this.stages[name][kind].push(handler);
  }

  session<Name extends SessionEventName>(name: Name, handler: SessionHandlers[Name]): void {
    this.sessions[name].push(handler);
  }

  cluster<Name extends ClusterEventName>(name: Name, handler: ClusterHandlers[Name]): void {
    this.clusterEvents[name].push(handler);
  }

  account<Name extends AccountEventName>(name: Name, handler: AccountHandlers[Name]): void {
    this.accounts[name].push(handler);
  }

  room<Name extends RoomEventName>(name: Name, handler: RoomHandlers[Name]): void {
    this.rooms.add(name, handler);
  }

  stopping(handler: () => Outcome): void {
    this.stoppings.push(handler);
  }

  iq(type: "get" | "set", target: IqTarget, namespace: string, name: string, handler: IqHandler): void {
    register(this.#iqs, `${type} ${target} ${namespace} ${name}`, handler);
  }

  strangerIq(type: "get" | "set", namespace: string, name: string, handler: StrangerIqHandler): void {
    register(this.#strangerIqs, `${type} ${namespace} ${name}`, handler);
  }

  nonza(namespace: string, name: string, handler: NonzaHandler): void {
    register(this.#nonzas, `${namespace} ${name}`, handler);
  }

  answer<Name extends keyof Questions>(question: Name, handler: Questions[Name]): void {
    let handlers = this.#questions[question] as Questions[Name][] | undefined;
    if (handlers === undefined) {
      handlers = [];
      (this.#questions as Record<string, unknown>)[question] = handlers;
    }
    handlers.push(handler);
  }

  inline(feature: InlineFeature): void {
    this.inlineFeatures.push(feature);
  }

  bound(describe: (session: Session) => MaybePromise<Xml | undefined>): void {
    this.boundDescriptions.push(describe);
  }

  streamFeature(element: () => Xml | undefined): void {
    this.streamFeatures.push(element);
  }

  provide<Name extends keyof Services>(name: Name, service: Services[Name]): void {
    register(this.#services, name, service);
  }

  serve(domain: string, handler: DomainHandler): void {
    register(this.domains, domain, handler);
  }

  /** What a module of this host offers under this name; undefined when the host has no such module. */
  service<Name extends keyof Services>(name: Name): Services[Name] | undefined {
    return this.#services.get(name) as Services[Name] | undefined;
  }

  findIq(type: string, target: IqTarget, namespace: string, name: string): IqHandler | undefined {
    return this.#iqs.get(`${type} ${target} ${namespace} ${name}`);
  }

  findStrangerIq(type: string, namespace: string, name: string): StrangerIqHandler | undefined {
    return this.#strangerIqs.get(`${type} ${namespace} ${name}`);
  }

  findNonza(namespace: string, name: string): NonzaHandler | undefined {
    return this.#nonzas.get(`${namespace} ${name}`);
  }

  /** The first answer that is not undefined. */
  ask<Name extends keyof Questions>(
    question: Name,
    ...args: Parameters<Questions[Name]>
  ): ReturnType<Questions[Name]> | undefined {
    const handlers = this.#questions[question] as ((...args: unknown[]) => unknown)[] | undefined;
    if (handlers === undefined) return undefined;
    return askFrom(handlers, 0, args) as ReturnType<Questions[Name]> | undefined;
  }

  /** The answers of all modules that have one, in the order of the catalogue. */
  async askAll<Name extends keyof Questions>(
    question: Name,
    ...args: Parameters<Questions[Name]>
  ): Promise<Answered<Name>[]> {
    const answers: Answered<Name>[] = [];
    for (const handler of (this.#questions[question] ?? []) as ((...args: unknown[]) => unknown)[]) {
      const answer = await handler(...args);
      if (answer !== undefined) answers.push(answer as Answered<Name>);
    }
    return answers;
  }
}

function askFrom(handlers: readonly ((...args: unknown[]) => unknown)[], from: number, args: unknown[]): unknown {
  for (let at = from; at < handlers.length; at++) {
    const answer = handlers[at]!(...args);
    if (answer instanceof Promise) {
      return answer.then((settled: unknown) => (settled === undefined ? askFrom(handlers, at + 1, args) : settled));
    }
    if (answer !== undefined) return answer;
  }
  return undefined;
}

function register<Handler>(handlers: Map<string, Handler>, key: string, handler: Handler): void {
  if (handlers.has(key)) throw new Error(`Two modules answer '${key}'`);
  handlers.set(key, handler);
}
