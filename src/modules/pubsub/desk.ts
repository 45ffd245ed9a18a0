/** Takes the requests of XEP-0060 to whoever answers them, for domains and accounts alike. */
import type { MaybePromise, Outcome } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { Authorization } from "./authorization.ts";
import type { Core, PubSubRequest, PubSubService } from "./core.ts";
import { Owning } from "./owning.ts";
import { Publishing } from "./publishing.ts";
import { Subscribing } from "./subscribing.ts";

type Action = (request: PubSubRequest, stanza: Stanza) => MaybePromise<Outcome>;
type Actions = Readonly<Record<string, Action>>;

export class Desk {
  readonly publishing: Publishing;
  readonly authorization: Authorization;
  readonly subscribing: Subscribing;
  /** In this order they are looked for: `<options/>` also stands beside a `<subscribe/>`. */
  readonly #public: { readonly get: Actions; readonly set: Actions };
  readonly #owner: { readonly get: Actions; readonly set: Actions };

  constructor(core: Core) {
    this.authorization = new Authorization(core);
    const publishing = new Publishing(core);
    const subscribing = new Subscribing(core, this.authorization);
    const owning = new Owning(core, this.authorization);
    this.publishing = publishing;
    this.subscribing = subscribing;
    this.#public = {
      get: {
        items: (request) => subscribing.items(request),
        subscriptions: (request) => subscribing.subscriptions(request),
        affiliations: (request) => subscribing.affiliations(request),
        options: (request) => subscribing.getOptions(request),
        default: (request) => subscribing.defaultOptions(request),
      },
      set: {
        create: (request) => publishing.create(request),
        publish: (request) => publishing.publish(request),
        retract: (request) => publishing.retract(request),
        subscribe: (request) => subscribing.subscribe(request),
        unsubscribe: (request) => subscribing.unsubscribe(request),
        options: (request) => subscribing.setOptions(request),
      },
    };
    this.#owner = {
      get: {
        configure: (request) => owning.getConfig(request),
        default: (request) => owning.getDefaults(request),
        subscriptions: (request) => owning.getSubscriptions(request),
        affiliations: (request) => owning.getAffiliations(request),
      },
      set: {
        configure: (request) => owning.configure(request),
        delete: (request) => owning.delete(request),
        purge: (request) => owning.purge(request),
        subscriptions: (request, stanza) => owning.setSubscriptions(request, stanza),
        affiliations: (request, stanza) => owning.setAffiliations(request, stanza),
      },
    };
  }

  /** A request whose payload is a `<pubsub/>`, of everybody's namespace or of owners'. */
  answer(stanza: Stanza, service: PubSubService, pubsub: Element, ofOwner: boolean): MaybePromise<Outcome> {
    const type = stanza.type as "get" | "set";
    const actions = (ofOwner ? this.#owner : this.#public)[type];
    for (const name in actions) {
      const action = pubsub.child(name);
      if (action !== undefined) return actions[name]!({ service, from: stanza.from!, pubsub, action }, stanza);
    }
    throw new StanzaError("bad-request", { text: "Nothing known is asked for" });
  }
}
