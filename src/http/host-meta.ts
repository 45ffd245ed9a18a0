/** XEP-0156 Discovering Alternative XMPP Connection Methods 1.4.0: the host metadata (RFC 6415), as XRD and as JRD. */
import { escapeAttribute } from "../xml/escape.ts";
import { type Authority, isLoopback, namesDomain } from "./authority.ts";

const websocketRelation = "urn:xmpp:alt-connections:websocket";

export interface LinkSource {
  /** Whether the listener speaks TLS. */
  readonly secure: boolean;
  /** Base of the URLs that clients reach us by, when something in front of us has another one. */
  readonly publicUrl?: string | undefined;
  /** XMPP domains of this node. */
  readonly domains: readonly string[];
}

/** The URL a client opens, or why there is none to announce. */
export type WebSocketLink = { readonly href: string } | { readonly refused: string };

/**
 * The WebSocket of the domain whose metadata is asked for. Nothing that a client can forge is used beyond the name it
 * asked for, which has to be a domain of ours; forwarded headers are ignored, the operator states the public URL instead.
 * Section 3.2 allows `wss:` only; the exception is a name that never leaves this machine.
 */
export function webSocketLink(asked: Authority, websocketPath: string, source: LinkSource): WebSocketLink {
  if (source.publicUrl !== undefined) {
    const base = source.publicUrl.replace(/\/+$/, "").replace(/^http/i, "ws");
    return { href: base + websocketPath };
  }
  if (!source.domains.some((domain) => namesDomain(asked.host, domain))) {
    return { refused: `${asked.host} is no domain of this server` };
  }
  if (!source.secure && !isLoopback(asked.host)) {
    return {
      refused:
        "this listener has no TLS and host metadata may announce wss: only (XEP-0156); " +
        "set public_url if something in front of it has TLS",
    };
  }
  return { href: `${source.secure ? "wss" : "ws"}://${asked.text}${websocketPath}` };
}

/** RFC 6415 section 3: XML. */
export function hostMetaXrd(href: string): string {
  return (
    "<?xml version='1.0' encoding='utf-8'?>\n" +
    "<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n" +
    `  <Link rel='${websocketRelation}' href='${escapeAttribute(href)}'/>\n` +
    "</XRD>\n"
  );
}

/** RFC 6415 appendix A: JSON. */
export function hostMetaJrd(href: string): string {
  return `${JSON.stringify({ links: [{ rel: websocketRelation, href }] })}\n`;
}
