/** RFC 6121 section 3 and appendix A: the subscription state machine, as two pure functions over a set of flags. */

/** The account gets the contact's presence. */
export const TO = 1;
/** The contact gets the account's presence. */
export const FROM = 2;
/** The account has asked, the contact has not answered. Never together with `TO`. */
export const PENDING_OUT = 4;
/** The contact has asked, the account has not answered. Never together with `FROM`. */
export const PENDING_IN = 8;
/** The account has allowed a request that has not come yet (section 3.4). */
export const APPROVED = 16;

/** A sum of the flags above. Without `APPROVED` these are the nine states of appendix A.1. */
export type SubscriptionState = number;

export type SubscriptionType = "subscribe" | "subscribed" | "unsubscribe" | "unsubscribed";

export function isSubscriptionType(type: string | undefined): type is SubscriptionType {
  return type === "subscribe" || type === "subscribed" || type === "unsubscribe" || type === "unsubscribed";
}

export interface OutboundStep {
  readonly state: SubscriptionState;
  /** Whether the contact is told. */
  readonly route: boolean;
}

/** Appendix A.2: the account sends its contact a subscription stanza. */
export function outbound(state: SubscriptionState, type: SubscriptionType): OutboundStep {
  switch (type) {
    case "subscribe":
      return { state: state & TO ? state : state | PENDING_OUT, route: true };
    case "unsubscribe":
      return { state: state & ~(TO | PENDING_OUT), route: true };
    case "subscribed":
      if (state & PENDING_IN) return { state: (state & ~PENDING_IN) | FROM, route: true };
      return { state: state & FROM ? state : state | APPROVED, route: false };
    case "unsubscribed":
      return { state: state & ~(FROM | PENDING_IN | APPROVED), route: (state & (FROM | PENDING_IN)) !== 0 };
  }
}

export interface InboundStep {
  readonly state: SubscriptionState;
  /** Whether the account's resources are told. */
  readonly deliver: boolean;
  /** Whether the server answers "subscribed" in the account's name (sections 3.1.3 and 3.4.2). */
  readonly approve: boolean;
}

/** Appendix A.3: a contact's subscription stanza reaches the account. */
export function inbound(state: SubscriptionState, type: SubscriptionType): InboundStep {
  switch (type) {
    case "subscribe":
      if (state & FROM) return { state, deliver: false, approve: true };
      if (state & APPROVED) return { state: (state & ~PENDING_IN) | FROM, deliver: false, approve: true };
      return { state: state | PENDING_IN, deliver: (state & PENDING_IN) === 0, approve: false };
    case "unsubscribe":
      return told(state, FROM | PENDING_IN, state & ~(FROM | PENDING_IN));
    case "subscribed":
      return told(state, PENDING_OUT, (state & ~PENDING_OUT) | TO);
    case "unsubscribed":
      return told(state, TO | PENDING_OUT, state & ~(TO | PENDING_OUT));
  }
}

/** Only who is in one of the expected states is told, and moves on. */
function told(state: SubscriptionState, expected: number, next: SubscriptionState): InboundStep {
  const deliver = (state & expected) !== 0;
  return { state: deliver ? next : state, deliver, approve: false };
}

/** What the `subscription` attribute of a roster item says (section 2.1.2.5). */
export function subscriptionOf(state: SubscriptionState): "none" | "to" | "from" | "both" {
  switch (state & (TO | FROM)) {
    case TO:
      return "to";
    case FROM:
      return "from";
    case TO | FROM:
      return "both";
    default:
      return "none";
  }
}
