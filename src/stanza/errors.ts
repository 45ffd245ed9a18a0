/** Errors as the wire knows them: stanza errors (RFC 6120 section 8.3) and stream errors (section 4.9). */

/** Each defined condition with the error type RFC 6120 section 8.3.3 gives it. */
export const stanzaConditions = {
  "bad-request": "modify",
  conflict: "cancel",
  "feature-not-implemented": "cancel",
  forbidden: "auth",
  gone: "cancel",
  "internal-server-error": "cancel",
  "item-not-found": "cancel",
  "jid-malformed": "modify",
  "not-acceptable": "modify",
  "not-allowed": "cancel",
  "not-authorized": "auth",
  "policy-violation": "modify",
  "recipient-unavailable": "wait",
  redirect: "modify",
  "registration-required": "auth",
  "remote-server-not-found": "cancel",
  "remote-server-timeout": "wait",
  "resource-constraint": "wait",
  "service-unavailable": "cancel",
  "subscription-required": "auth",
  "undefined-condition": "cancel",
  "unexpected-request": "wait",
} as const;

export type StanzaCondition = keyof typeof stanzaConditions;
export type StanzaErrorType = "auth" | "cancel" | "continue" | "modify" | "wait";

export interface StanzaErrorDetails {
  /** For people; sent in the stream's language. */
  text?: string;
  /** Overrides the type the condition usually has. */
  type?: StanzaErrorType;
  /** An application-specific condition: one serialised element. */
  application?: string;
  cause?: unknown;
}

/** A stanza that cannot be honoured. Throwing it from a handler answers the sender with this error. */
export class StanzaError extends Error {
  override readonly name = "StanzaError";
  readonly condition: StanzaCondition;
  readonly type: StanzaErrorType;
  readonly text: string | undefined;
  readonly application: string | undefined;

  constructor(condition: StanzaCondition, details: StanzaErrorDetails = {}) {
    super(details.text === undefined ? condition : `${condition}: ${details.text}`, { cause: details.cause });
    this.condition = condition;
    this.type = details.type ?? stanzaConditions[condition];
    this.text = details.text;
    this.application = details.application;
  }
}

export type StreamCondition =
  | "bad-format"
  | "bad-namespace-prefix"
  | "conflict"
  | "connection-timeout"
  | "host-gone"
  | "host-unknown"
  | "improper-addressing"
  | "internal-server-error"
  | "invalid-from"
  | "invalid-namespace"
  | "invalid-xml"
  | "not-authorized"
  | "not-well-formed"
  | "policy-violation"
  | "remote-connection-failed"
  | "reset"
  | "resource-constraint"
  | "restricted-xml"
  | "see-other-host"
  | "system-shutdown"
  | "undefined-condition"
  | "unsupported-encoding"
  | "unsupported-feature"
  | "unsupported-stanza-type"
  | "unsupported-version";

/** The stream is over, and the peer is told why. */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly condition: StreamCondition;
  readonly text: string | undefined;
  /** An application-specific condition: one serialised element. */
  readonly application: string | undefined;

  constructor(condition: StreamCondition, text?: string, application?: string) {
    super(text === undefined ? condition : `${condition}: ${text}`);
    this.condition = condition;
    this.text = text;
    this.application = application;
  }
}
