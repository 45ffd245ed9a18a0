/** The Host header of a request (RFC 9110 section 7.2): checked before anything is derived from it. */
import { domainToASCII } from "node:url";

export interface Authority {
  /** Lower case, as DNS has it (A-labels), without port and without a final dot; IPv6 in brackets. */
  readonly host: string;
  /** Host and port as the client reached us, fit for a URL. */
  readonly text: string;
}

/** A DNS name with its port is shorter; anything longer is no authority. */
export const authorityCharsMax = 270;

const pattern = /^((?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?)|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?$/;

/** The parts of a Host header, or undefined when it is none that a browser could have sent. */
export function parseAuthority(header: string): Authority | undefined {
  if (header.length > authorityCharsMax) return undefined;
  const match = pattern.exec(header.toLowerCase());
  if (match === null || Number(match[2]?.slice(1) ?? 0) > 65_535) return undefined;
  const name = match[1]!;
  if (name.includes("..")) return undefined;
  return { host: name.endsWith(".") ? name.slice(0, -1) : name, text: `${name}${match[2] ?? ""}` };
}

/**
 * Whom a request is for; undefined when its Host header names nobody. What passes the pattern and is no host all the same (`256.1.1.1`,
 * `xn--a`) makes no URL either, and a request without a URL cannot be served.
 */
export function authorityOf(request: Request): Authority | undefined {
  if (!URL.canParse(request.url)) return undefined;
  const text = request.headers.get("host") ?? new URL(request.url).host;
  const authority = parseAuthority(text);
  return authority !== undefined && URL.canParse(`http://${authority.text}/`) ? authority : undefined;
}

/** Whether the host of a request names this domain; internationalised domains are compared as A-labels. */
export function namesDomain(host: string, domain: string): boolean {
  return host === domain || host === domainToASCII(domain);
}

/** Whether only this machine can be meant, so that nobody listens on the way (RFC 6761 section 6.3, RFC 1122). */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}
