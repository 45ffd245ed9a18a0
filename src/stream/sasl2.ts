/** XEP-0388 Extensible SASL Profile 1.0, with XEP-0386 Bind 2 and XEP-0484 FAST inside. */
import type { SaslSuccess } from "../auth/exchange.ts";
import { isHashedToken } from "../auth/ht.ts";
import type { Host } from "../router/host.ts";
import type { Session } from "../session/session.ts";
import { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { type Element, parseElement } from "../xml/element.ts";
import { type Frame, frameAttribute } from "../xml/scanner.ts";
import { escapeAttribute, escapeText } from "../xml/xml.ts";
import { establishSession, fullJid } from "./bind.ts";
import type { C2sStream } from "./c2s-stream.ts";
import { ManagedStream } from "./managed-stream.ts";
import { advance, decodeResponse, type Exchanging, fail, hearing, type SaslProfile, type Stranger } from "./sasl.ts";
import { featuresAfterLogin, featuresWhenBound, sasl2Offered } from "./stream-features.ts";

const uuid4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** What came inside `<authenticate/>`, kept until the exchange has succeeded. */
export interface InlineRequest {
  readonly userAgent: string | undefined;
  readonly bind: Element | undefined;
  readonly resume: Element | undefined;
  readonly requestToken: string | undefined;
  /** `<fast/>`: the client authenticates with a token. */
  readonly fast: { readonly count: number | undefined; readonly invalidate: boolean } | undefined;
}

export const sasl2Profile: SaslProfile = { namespace: ns.sasl2, succeeded };

/** `<authenticate mechanism='…'/>` with everything the client wants in the same round trip. */
export function startSasl2(stream: C2sStream, state: Stranger, frame: Frame): ReturnType<typeof advance> {
  if (!sasl2Offered(stream, state.host)) throw new StreamError("policy-violation", "SASL2 is not on offer here");
  const mechanism = frameAttribute(frame, "mechanism") ?? "";
  const payload = parseElement(`<authenticate xmlns='${ns.sasl2}'>${frame.inner}</authenticate>`, ns.sasl2);
  const request = readRequest(payload);
  const initialText = payload.child("initial-response", ns.sasl2)?.text();
  const initial = initialText === undefined ? undefined : decodeResponse(initialText);
  const keeper = stream.environment.mechanisms.tokenKeeper(state.host);
  const fast =
    isHashedToken(mechanism) && keeper !== undefined && request.userAgent !== undefined
      ? { tokens: keeper, userAgentId: request.userAgent, count: request.fast?.count }
      : undefined;
  const exchange = stream.environment.mechanisms.begin(
    state.host,
    mechanism,
    stream.connection,
    hearing(stream, state.host),
    fast,
  );
  if (exchange === undefined) return fail(stream, state, sasl2Profile, "", "invalid-mechanism");
  if (initialText !== undefined && initial === undefined)
    return fail(stream, state, sasl2Profile, mechanism, "incorrect-encoding");
  const next: Exchanging = { ...state, at: "sasl", exchange, mechanism, profile: sasl2Profile, request };
  stream.become(next);
  return advance(stream, next, () => exchange.start(initial));
}

function readRequest(payload: Element): InlineRequest {
  const agent = payload.child("user-agent", ns.sasl2)?.attr("id");
  if (agent !== undefined && !uuid4.test(agent))
    throw new StreamError("policy-violation", "The id of a user agent is a UUID of version 4");
  const fast = payload.child("fast", ns.fast);
  const count = fast?.attr("count");
  const invalidate = fast?.attr("invalidate");
  return {
    userAgent: agent,
    bind: payload.child("bind", ns.bind2),
    resume: payload.child("resume", ns.sm),
    requestToken: payload.child("request-token", ns.fast)?.attr("mechanism"),
    fast:
      fast === undefined
        ? undefined
        : {
            count: count !== undefined && /^\d{1,9}$/.test(count) ? Number(count) : undefined,
            invalidate: invalidate === "true" || invalidate === "1",
          },
  };
}

/** Sends `<success/>` with the results of resumption or binding and of tokens, then the features. */
async function succeeded(stream: C2sStream, state: Exchanging, account: Jid, success: SaslSuccess): Promise<void> {
  const { host } = state;
  const request = state.request!;
  const userAgent = request.userAgent;
  stream.authenticatedWithoutRestart(host, account, userAgent);
  const token = await tokenFor(stream, host, account, request, success);
  const data =
    success.additionalData === undefined
      ? ""
      : `<additional-data>${Buffer.from(success.additionalData).toString("base64")}</additional-data>`;
  const announce = (jid: Jid, results: string): void => {
    stream.write(
      `<success xmlns='${ns.sasl2}'>${data}<authorization-identifier>${escapeText(jid.full)}</authorization-identifier>${token}${results}</success>`,
    );
  };

  let resumeFailed = "";
  if (request.resume !== undefined && host.moduleOptions("mod_stream_management") !== undefined) {
    const attributes = [...request.resume.attributes].flat() as string[];
    const id = request.resume.attr("previd") ?? "";
    const { resumptions } = stream.environment.keeper;
    const resumed = await ManagedStream.resume(stream, host, account, attributes, (text) => {
      if (text.startsWith("<resumed")) announce(resumptions.find(id, account.bare)?.session.jid ?? account, text);
      else resumeFailed = text;
    });
    if (resumed) {
      stream.sendFeatures(featuresWhenBound(stream, host));
      stream.settleIn();
      return;
    }
  }
  if (request.bind === undefined || host.moduleOptions("mod_bind2") === undefined) {
    announce(account, resumeFailed);
    stream.sendFeatures(featuresAfterLogin(stream, host));
    return;
  }
  if (!stream.environment.listener.mayLogIn(account))
    throw new StreamError("not-authorized", "This account may not log in here");
  const resource = resourceFor(stream, request);
  const jid = fullJid(account, resource) ?? account.withResource(stream.environment.random.id(9));
  // Nothing reaches the new session before <success/> has told the client about it.
  stream.hold();
  try {
    const session = await establishSession(stream, host, jid, userAgent);
    const bound = await enableInline(stream, host, session, request.bind);
    announce(session.jid, `${resumeFailed}<bound xmlns='${ns.bind2}'>${bound}</bound>`);
    stream.sendFeatures(featuresWhenBound(stream, host));
  } finally {
    stream.release();
  }
  stream.settleIn();
}

/** XEP-0386 section 4: the client's tag and something stable for the installation, or random where it has no id. */
function resourceFor(stream: C2sStream, request: InlineRequest): string {
  const tag = request.bind?.child("tag", ns.bind2)?.text().trim() ?? "";
  const tail = stream.environment.random.id(9);
  return tag === "" || tag.length > 256 ? tail : `${tag}/${tail}`;
}

async function enableInline(stream: C2sStream, host: Host, session: Session, bind: Element): Promise<string> {
  let results = "";
  const sm = bind.child("enable", ns.sm);
  if (sm !== undefined && host.moduleOptions("mod_stream_management") !== undefined) {
    const resume = sm.attr("resume");
    results += ManagedStream.enable(stream, session, resume === "true" || resume === "1");
  }
  for (const feature of host.registry.inlineFeatures) {
    const request = bind.child(feature.name, feature.namespace);
    if (request !== undefined) results += (await feature.enable(session, request))?.text ?? "";
  }
  for (const describe of host.registry.boundDescriptions) results += (await describe(session))?.text ?? "";
  return results;
}

/** XEP-0484 sections 3.3 to 3.5: a token that was asked for, or the successor of one that is about to expire. */
async function tokenFor(
  stream: C2sStream,
  host: Host,
  account: Jid,
  request: InlineRequest,
  success: SaslSuccess,
): Promise<string> {
  const keeper = stream.environment.mechanisms.tokenKeeper(host);
  const agent = request.userAgent;
  if (keeper === undefined || agent === undefined) return "";
  let mechanism = request.requestToken;
  if (success.token !== undefined) {
    const used = await keeper.used(account, agent, success.token, request.fast?.count);
    if (request.fast?.invalidate === true) await keeper.invalidate(account, agent);
    else if (used.renew) mechanism ??= success.token.mechanism;
  }
  if (mechanism === undefined) return "";
  if (!stream.environment.mechanisms.tokenMechanisms(host, stream.connection).includes(mechanism)) return "";
  const issued = await keeper.issue(account, agent, mechanism);
  return `<token xmlns='${ns.fast}' expiry='${new Date(issued.expiresAt).toISOString()}' token='${escapeAttribute(issued.token)}'/>`;
}
