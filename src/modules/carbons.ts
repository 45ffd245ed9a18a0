/** XEP-0280 Message Carbons 1.0.1: each resource of a user that asks for it sees every chat message of the others. */
import { defineModule } from "../hooks/define-module.ts";
import { deliverTo, type Effect } from "../hooks/effect.ts";
import { mostAvailable } from "../router/route.ts";
import { includesResource, marks, type Resource } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { forwardedElement } from "../stanza/reply.ts";
import { message, type Stanza } from "../stanza/stanza.ts";
import { withStanzaId } from "../stanza/stanza-ids.ts";
import { BoundedMap } from "../util/bounded-map.ts";
import { xml } from "../xml/xml.ts";

/** Copied messages whose errors are still recognised, per host; the oldest is forgotten first. */
const copiedMax = 20_000;
/** Longer ids are not remembered: they would make the limit above no limit of memory. */
const idCharsMax = 200;

type Direction = "sent" | "received";

/** What is kept about a message that was copied; presence in the map is all that counts. */
const copied = true;

export const carbons = defineModule({
  name: "mod_carboncopy",
  summary: "A user's other devices see the messages that one of them sends and receives.",
  xeps: [{ number: 280, version: "1.0.1" }],
  options: {},
  features: { server: [ns.carbons, ns.carbonRules] },
  setup(on, context) {
    /** Section 6.1: an error follows the message it answers. Errors do not repeat the message, so ids are remembered. */
    const answerable = new BoundedMap<string, true>(copiedMax);

    /** Once the client has its answer, no node leaves it out. */
    const told = (): undefined | Promise<undefined> => context.told()?.then(() => undefined);

    on.iq("set", "account", ns.carbons, "enable", (_request, { session }) => {
      ownSession(session).mark(marks.carbons, true);
      return told();
    });
    on.iq("set", "account", ns.carbons, "disable", (_request, { session }) => {
      ownSession(session).mark(marks.carbons, false);
      return told();
    });
    on.inline({
      name: "enable",
      namespace: ns.carbons,
      enable(session) {
        session.mark(marks.carbons, true);
        return told();
      },
    });

    on.stage("outgoing", "message", (stanza, sender) => {
      const resources = context.resourcesOf(sender.account);
      if (resources.length < 2) return undefined;
      if (stanza.type === "error") return errorCopies(stanza, sender.account, stanza.to!, "sent", [sender], resources);
      if (!carbonVerdict(stanza, "sent").copy) return undefined;
      const id = context.ask("sentArchiveId", stanza);
      const identified = id === undefined ? stanza : withStanzaId(stanza, sender.account, id);
      return remembered(stanza, sender.account, stanza.to!, sentCopies(identified, sender, resources));
    });

    on.stage("delivered", "message", (stanza, account, reached) => {
      const resources = context.resourcesOf(account);
      if (resources.length <= reached.length || !copiedWhenReceived(stanza, account)) return undefined;
      return remembered(stanza, account, stanza.from!, copies("received", stanza, account, resources, reached));
    });

    // Nobody took it by RFC 6121, so it did not reach any resource: those that asked for copies still get one.
    on.stage("undelivered", "message", (stanza, account) => {
      const resources = context.resourcesOf(account);
      if (resources.length === 0 || !copiedWhenReceived(stanza, account)) return undefined;
      return remembered(stanza, account, stanza.from!, copies("received", stanza, account, resources, []));
    });

    // The router's own errors go to the sender's session without being routed, so here is where every error passes.
    on.stage("delivering", "message", (stanza, session) => {
      if (stanza.type !== "error" || stanza.from === undefined) return undefined;
      const resources = context.resourcesOf(session.account);
      if (resources.length < 2) return undefined;
      return errorCopies(stanza, session.account, stanza.from, "received", [session], resources);
    });

    function errorCopies(
      error: Stanza,
      account: Jid,
      peer: Jid,
      direction: Direction,
      without: readonly Resource[],
      resources: readonly Resource[],
    ): Effect[] | undefined {
      const key = keyOf(error, account, peer);
      if (key === undefined || !answerable.take(key)) return undefined;
      return copies(direction, error, account, resources, without);
    }

    function remembered(stanza: Stanza, account: Jid, peer: Jid, effects: Effect[] | undefined): Effect[] | undefined {
      const key = effects === undefined ? undefined : keyOf(stanza, account, peer);
      if (key !== undefined) answerable.set(key, copied);
      return effects;
    }
    return undefined;
  },
});

/** XEP-0280 section 4.1: only who is connected here can ask for copies here. */
function ownSession(session: Session | undefined): Session {
  if (session === undefined) throw new StanzaError("not-allowed");
  return session;
}

/** Whether a message is copied, and why (not): "why was there no carbon?" is a question operators ask. */
export interface CarbonVerdict {
  readonly copy: boolean;
  readonly reason: string;
}

const verdicts = {
  private: { copy: false, reason: "marked private" },
  hint: { copy: false, reason: "no-copy hint" },
  carbon: { copy: false, reason: "is a carbon itself" },
  groupchat: { copy: false, reason: "groupchat" },
  error: { copy: false, reason: "an error to a message that was not copied" },
  invitation: { copy: true, reason: "an invitation to a group" },
  occupant: { copy: false, reason: "private message of an occupant, which the group copies itself" },
  chat: { copy: true, reason: "type chat" },
  body: { copy: true, reason: "type normal with a body" },
  payload: { copy: true, reason: "a payload of instant messaging" },
  other: { copy: false, reason: "no instant message" },
} as const satisfies Record<string, CarbonVerdict>;

/**
 * Section 6.1, rules without state (errors need it: see the map in `setup`).
 * Also left alone: XEP-0334's no-copy (as section 9 asks senders to add it), and what claims to be a carbon, so that
 * nobody's forgery is multiplied.
 */
export function carbonVerdict(stanza: Stanza, direction: Direction): CarbonVerdict {
  const children = stanza.children;
  let body = false;
  let payload = false;
  let mucUser = false;
  let invitation = false;
  for (let at = 0; at < children.length; at += 4) {
    const name = children[at];
    switch (children[at + 1]) {
      case ns.client:
        if (name === "body") body = true;
        break;
      case ns.carbons:
        if (name === "private") return verdicts.private;
        if (name === "sent" || name === "received") return verdicts.carbon;
        break;
      case ns.hints:
        if (name === "no-copy") return verdicts.hint;
        break;
      case ns.receipts:
      case ns.chatStates:
      case ns.chatMarkers:
        payload = true;
        break;
      case ns.mucUser:
        if (name === "x") mucUser = true;
        break;
      case ns.conference:
        if (name === "x") invitation = true;
        break;
    }
  }
  if (stanza.type === "groupchat") return verdicts.groupchat;
  if (stanza.type === "error") return verdicts.error;
  if (invitation) return verdicts.invitation;
  if (mucUser) {
    if (stanza.child("x", ns.mucUser)!.child("invite") !== undefined) return verdicts.invitation;
    if (direction === "received" && stanza.from?.isBare === false) return verdicts.occupant;
  }
  if (stanza.type === "chat") return verdicts.chat;
  if (payload) return verdicts.payload;
  if (body && (stanza.type === undefined || stanza.type === "normal")) return verdicts.body;
  return verdicts.other;
}

/** A user's message to himself was copied when it was sent. */
function copiedWhenReceived(stanza: Stanza, account: Jid): boolean {
  return stanza.from?.bare !== account.bare && carbonVerdict(stanza, "received").copy;
}

/** Section 8. Resources that will receive a message to the user's own account itself are spared the copy. */
function sentCopies(stanza: Stanza, sender: Session, resources: readonly Resource[]): Effect[] | undefined {
  const to = stanza.to!;
  if (to.bare !== sender.account.bare) return copies("sent", stanza, sender.account, resources, [sender]);
  const named = resources.find((resource) => resource.jid.resource === to.resource);
  const reached = named === undefined ? mostAvailable(resources, false) : [named];
  return copies("sent", stanza, sender.account, resources, [sender, ...reached]);
}

/** One copy for each resource that asked for them and is not among `without`; undefined when there is none. */
function copies(
  direction: Direction,
  stanza: Stanza,
  account: Jid,
  resources: readonly Resource[],
  without: readonly Resource[],
): Effect[] | undefined {
  let effects: Effect[] | undefined;
  let inside: string | undefined;
  for (const resource of resources) {
    if (!resource.marked(marks.carbons) || includesResource(without, resource)) continue;
    inside ??= carbonElement(direction, stanza);
    const copy = message({ from: account, to: resource.jid, type: stanza.type, payload: inside });
    if (effects === undefined) effects = [deliverTo(resource, copy)];
    else effects.push(deliverTo(resource, copy));
  }
  return effects;
}

/** By the two accounts, since an error may come from another resource than the message went to. */
function keyOf(stanza: Stanza, account: Jid, peer: Jid): string | undefined {
  if (stanza.id === undefined || stanza.id.length > idCharsMax) return undefined;
  return `${account.bare} ${peer.bare} ${stanza.id}`;
}

function carbonElement(direction: Direction, stanza: Stanza): string {
  const forwarded = forwardedElement(stanza);
  return direction === "sent"
    ? xml`<sent xmlns='${ns.carbons}'>${forwarded}</sent>`.text
    : xml`<received xmlns='${ns.carbons}'>${forwarded}</received>`.text;
}
