/** What a stream offers in each state (RFC 6120 section 4.3.2, in the order of XEP-0170). */
import type { Host } from "../router/host.ts";
import { ns } from "../stanza/ns.ts";
import type { C2sStream } from "./c2s-stream.ts";
import type { Offer } from "./mechanisms.ts";

/** Before authentication: TLS, mechanisms, registration. Where TLS is demanded, nothing else is offered first. */
export function featuresBeforeLogin(stream: C2sStream, host: Host): string {
  const { listener, mechanisms } = stream.environment;
  const canStart = !stream.secure && (listener.tls === "starttls" || listener.tls === "starttls_required");
  if (stream.needsTls) return `<starttls xmlns='${ns.tls}'><required/></starttls>`;
  const offer = mechanisms.offer(host, stream.connection);
  let features = (canStart ? `<starttls xmlns='${ns.tls}'/>` : "") + authenticationFeatures(stream, host, offer);
  const stranger = { remoteAddress: stream.remoteAddress, secure: stream.secure };
  for (const { definition, options } of host.installed)
    features += definition.strangerFeatures?.(options as never, stranger)?.text ?? "";
  return features;
}

/** By offer and kind of stream: an offer is the same object for all streams it is made to. */
const written = new WeakMap<Offer, Map<boolean, string>>();

function authenticationFeatures(stream: C2sStream, host: Host, offer: Offer): string {
  if (offer.mechanisms.length === 0) return "";
  const withSasl2 = sasl2Offered(stream, host);
  let known = written.get(offer);
  if (known === undefined) {
    known = new Map();
    written.set(offer, known);
  }
  let features = known.get(withSasl2);
  if (features === undefined) {
    const list = offer.mechanisms.map((name) => `<mechanism>${name}</mechanism>`).join("");
    features = `<mechanisms xmlns='${ns.sasl}'>${list}</mechanisms>`;
    if (offer.bindings.length > 0) {
      const types = offer.bindings.map((type) => `<channel-binding type='${type}'/>`).join("");
      features += `<sasl-channel-binding xmlns='${ns.saslChannelBinding}'>${types}</sasl-channel-binding>`;
    }
    if (withSasl2) {
      features += `<authentication xmlns='${ns.sasl2}'>${list}${inlineFeatures(stream, host)}</authentication>`;
    }
    known.set(withSasl2, features);
  }
  return features;
}

/** XEP-0388 is for encrypted streams; on loopback we count the wire as safe, as for PLAIN. */
export function sasl2Offered(stream: C2sStream, host: Host): boolean {
  return host.moduleOptions("mod_sasl2") !== undefined && stream.trusted;
}

function inlineFeatures(stream: C2sStream, host: Host): string {
  let inline = "";
  if (host.moduleOptions("mod_stream_management") !== undefined) inline += `<sm xmlns='${ns.sm}'/>`;
  if (host.moduleOptions("mod_bind2") !== undefined) {
    const features = host.registry.inlineFeatures.map((feature) => `<feature var='${feature.namespace}'/>`);
    if (host.moduleOptions("mod_stream_management") !== undefined) features.push(`<feature var='${ns.sm}'/>`);
    inline += `<bind xmlns='${ns.bind2}'><inline>${features.join("")}</inline></bind>`;
  }
  const tokens = stream.environment.mechanisms.tokenMechanisms(host, stream.connection);
  if (tokens.length > 0) {
    const list = tokens.map((name) => `<mechanism>${name}</mechanism>`).join("");
    inline += `<fast xmlns='${ns.fast}'>${list}</fast>`;
  }
  return inline === "" ? "" : `<inline>${inline}</inline>`;
}

/** After authentication: binding, the legacy session, stream management, and what modules add. */
export function featuresAfterLogin(stream: C2sStream, host: Host): string {
  let features = `<bind xmlns='${ns.bind}'><required/></bind>`;
  if (stream.environment.listener.legacySession) features += `<session xmlns='${ns.session}'><optional/></session>`;
  if (host.moduleOptions("mod_stream_management") !== undefined) features += `<sm xmlns='${ns.sm}'/>`;
  return features + featuresOfModules(host);
}

/** Where SASL2 has bound a resource or resumed a session already. */
export function featuresWhenBound(stream: C2sStream, host: Host): string {
  const offersManagement = stream.managed === undefined && host.moduleOptions("mod_stream_management") !== undefined;
  return (offersManagement ? `<sm xmlns='${ns.sm}'/>` : "") + featuresOfModules(host);
}

/** What the modules declare; the rest may change while the host runs. */
const declared = new WeakMap<Host, string>();

function featuresOfModules(host: Host): string {
  let features = declared.get(host);
  if (features === undefined) {
    features = "";
    for (const { definition, options } of host.installed) {
      features += definition.streamFeatures?.(options as never)?.text ?? "";
    }
    declared.set(host, features);
  }
  for (const element of host.registry.streamFeatures) features += element()?.text ?? "";
  return features;
}
