/** XEP-0352 Client State Indication 1.0.0: while nobody looks at a client, what can wait does, in order. */
import { option } from "../config/option.ts";
import { defineModule } from "../hooks/define-module.ts";
import { type Effect, handled, type Outcome, writeTo } from "../hooks/effect.ts";
import { marks } from "../session/resource.ts";
import { type Session, SessionSlot } from "../session/session.ts";
import { ns } from "../stanza/ns.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { Element } from "../xml/element.ts";
import { Xml } from "../xml/xml.ts";

/** Whatever the configuration says, no session holds back more than this. */
const heldMost = 1_000;

/** What waits for an inactive client; a session whose client is active has none. */
interface Inactive {
  readonly held: Stanza[];
}

const inactive = new SessionSlot<Inactive>("csi");

export const csi = defineModule({
  name: "mod_csi",
  summary: "Spares a phone in a pocket: presence, typing notices and the like wait until it is looked at.",
  xeps: [{ number: 352, version: "1.0.0" }],
  options: {
    buffer_max: option.infinityOr(
      option.integer({
        doc: "Stanzas held back for an inactive client before all of them are sent; never more than 1,000.",
        default: 20,
        min: 1,
      }),
    ),
  },
  streamFeatures: () => new Xml(`<csi xmlns='${ns.csi}'/>`),

  setup(on, context) {
    const most = Math.min(context.options.bufferMax, heldMost);

    on.nonza(ns.csi, "inactive", (_frame, session) => {
      if (inactive.get(session) === undefined) becomeInactive(session);
      return undefined;
    });
    on.nonza(ns.csi, "active", (_frame, session) => becomeActive(session));
    on.inline({
      name: "inactive",
      namespace: ns.csi,
      enable(session) {
        becomeInactive(session);
        return undefined;
      },
    });

    // Section 5.2: a resumed stream is active again, whatever its predecessor was.
    on.session("resumed", becomeActive);
    on.session("leaving", becomeActive);
    on.session("ended", (session) => {
      // Written to a session that is over, they are what its client never acknowledged: stream management reroutes
      // messages (among them receipts) and forgets the rest.
      return becomeActive(session);
    });

    on.stage("delivering", "iq", urgentOrNot);
    on.stage("delivering", "message", urgentOrNot);
    on.stage("delivering", "presence", urgentOrNot);

    function urgentOrNot(stanza: Stanza, session: Session): Outcome {
      const state = inactive.get(session);
      if (state === undefined) return undefined;
      const wait = waiting(stanza);
      if (wait === "urgent") return released(session, state);
      const { held } = state;
      if (wait === "newest") dropOlder(held, stanza);
      held.push(stanza);
      if (held.length < most) return handled;
      const effects = released(session, state)!;
      effects.push(handled);
      return effects;
    }
    return undefined;
  },
});

function becomeInactive(session: Session): void {
  inactive.set(session, { held: [] });
  session.mark(marks.inactive, true);
}

function becomeActive(session: Session): Outcome {
  const state = inactive.get(session);
  if (state === undefined) return undefined;
  inactive.set(session, undefined);
  session.mark(marks.inactive, false);
  return released(session, state);
}

/** Everything that was held back, in order; undefined when there is nothing. */
function released(session: Session, state: Inactive): Effect[] | undefined {
  if (state.held.length === 0) return undefined;
  return state.held.splice(0).map((stanza) => writeTo(session, stanza));
}

/** An older stanza of this kind and sender has nothing to add to the new one. */
function dropOlder(held: Stanza[], stanza: Stanza): void {
  for (let at = 0; at < held.length; at++) {
    const other = held[at]!;
    if (other.kind !== stanza.kind || other.from?.full !== stanza.from?.full) continue;
    // Of messages, a group's are not the same as those of its occupant.
    if (stanza.kind === "message" && other.type !== stanza.type) continue;
    if (waiting(other) !== "newest") continue;
    held.splice(at, 1);
    return;
  }
}

/**
 * - "urgent": a person may want to know now, or a program waits for it; what was held back goes first.
 * - "newest": can wait, and makes an older one of the same sender superfluous.
 * - "all": can wait, but none may be left out.
 */
export type Waiting = "urgent" | "newest" | "all";

/** How long a stanza can wait. What is not known to be patient is urgent. */
export function waiting(stanza: Stanza): Waiting {
  switch (stanza.kind) {
    case "iq":
      return "urgent";
    case "presence":
      return presenceWaiting(stanza);
    case "message":
      return stanza.type === "error" ? "urgent" : messageWaiting(stanza);
  }
}

function presenceWaiting(stanza: Stanza): Waiting {
  if (stanza.type !== undefined && stanza.type !== "unavailable") return "urgent";
  // The client's own entering and leaving of a group (XEP-0045, status 110) ends something it waits for.
  if (!stanza.has("x", ns.mucUser)) return "newest";
  const statuses = stanza.child("x", ns.mucUser)!.childrenNamed("status");
  return statuses.some((status) => status.attr("code") === "110") ? "urgent" : "newest";
}

function messageWaiting(stanza: Stanza): Waiting {
  const children = stanza.children;
  let result: Waiting = "urgent";
  for (let at = 0; at < children.length; at += 4) {
    const name = children[at] as string;
    const namespace = children[at + 1] as string;
    if (namespace === ns.carbons && (name === "sent" || name === "received")) {
      return carbonWaiting(stanza.child(name, ns.carbons)!);
    }
    const part = partWaiting(name, namespace);
    if (part === "urgent") return "urgent";
    if (part === "all" || (part === "newest" && result === "urgent")) result = part;
  }
  return result;
}

/** Of one child of a message; undefined for what only accompanies others. */
function partWaiting(name: string, namespace: string): Waiting | undefined {
  switch (namespace) {
    case ns.chatStates:
      return "newest";
    case ns.pubsubEvent:
      return "all";
    case ns.receipts:
      return name === "received" ? "all" : "urgent";
    case ns.chatMarkers:
      return name === "markable" ? "urgent" : "all";
    case ns.hints:
    case ns.stanzaIds:
    case ns.delay:
      return undefined;
    case ns.client:
      return name === "thread" ? undefined : "urgent";
    default:
      return "urgent";
  }
}

/** A copy of a message can wait as long as the message itself; none is left out, for each is of another conversation. */
function carbonWaiting(carbon: Element): Waiting {
  const message = carbon.child("forwarded", ns.forward)?.child("message", ns.client);
  if (message === undefined || message.attr("type") === "error") return "urgent";
  let patient = false;
  for (const child of message.elements()) {
    const part = partWaiting(child.name, child.ns);
    if (part === "urgent") return "urgent";
    if (part !== undefined) patient = true;
  }
  return patient ? "all" : "urgent";
}
