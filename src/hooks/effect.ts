/** What a handler may ask for. Handlers return these values; only the house acts on them. */
import type { LongAnswer } from "../session/feed.ts";
import type { Resource } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import type { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Xml } from "../xml/xml.ts";

export type { MaybePromise };

export type Effect =
  /** The stanza goes no further, silently; the reason is logged at debug. */
  | { readonly do: "drop"; readonly reason: string }
  /** The stanza has found its place (was stored, answered); later handlers and the default do not run. */
  | { readonly do: "handled" }
  /** Later handlers and the default see this stanza instead. */
  | { readonly do: "replace"; readonly stanza: Stanza }
  /** A further stanza starts its own way through the router. */
  | { readonly do: "route"; readonly stanza: Stanza }
  /** Each of these stanzas goes to each of these full addresses, in order; it is serialised once, for only `to` differs. */
  | { readonly do: "spread"; readonly stanzas: readonly Stanza[]; readonly to: readonly Jid[] }
  /** A stanza goes to one resource, through its delivery filters. */
  | { readonly do: "deliver"; readonly to: Resource; readonly stanza: Stanza }
  /** A resource shows its last presence to this address, unless its account blocks it. */
  | { readonly do: "present"; readonly resource: Resource; readonly to: Jid }
  /** A stanza goes to one session past its delivery filters (a filter that releases what it held back). */
  | { readonly do: "write"; readonly session: Session; readonly stanza: Stanza }
  /** The client of a session gets a long answer, no faster than it takes it (see `session/feed.ts`). */
  | { readonly do: "feed"; readonly session: Session; answer(late: boolean): Promise<LongAnswer> }
  /** The payload of the result of the IQ at hand. */
  | { readonly do: "reply"; readonly payload: Xml }
  /** The sender's acknowledgement (XEP-0198) of the stanza at hand waits for this. */
  | { readonly do: "secure"; readonly stored: Promise<void> }
  /** A session's stream ends with this error. */
  | { readonly do: "close"; readonly session: Session; readonly error: StreamError };

/** Nothing, one effect, or several in order; a promise only where I/O is needed. */
export type Outcome = undefined | Effect | readonly Effect[];

export const drop = (reason: string): Effect => ({ do: "drop", reason });
export const handled: Effect = { do: "handled" };
export const replaceWith = (stanza: Stanza): Effect => ({ do: "replace", stanza });
export const route = (stanza: Stanza): Effect => ({ do: "route", stanza });
export const spread = (stanzas: readonly Stanza[], to: readonly Jid[]): Effect => ({ do: "spread", stanzas, to });
export const deliverTo = (to: Resource, stanza: Stanza): Effect => ({ do: "deliver", to, stanza });
export const present = (resource: Resource, to: Jid): Effect => ({ do: "present", resource, to });
export const writeTo = (session: Session, stanza: Stanza): Effect => ({ do: "write", session, stanza });
export const feedTo = (session: Session, answer: (late: boolean) => Promise<LongAnswer>): Effect => {
  return { do: "feed", session, answer };
};
export const reply = (payload: Xml): Effect => ({ do: "reply", payload });
export const secureBy = (stored: Promise<void>): Effect => ({ do: "secure", stored });
export const close = (session: Session, error: StreamError): Effect => ({ do: "close", session, error });
