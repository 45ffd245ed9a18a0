/** Conditional requests and content codings of static files (RFC 9110 sections 12.5.3 and 13.1.2). */

/** Whether the client takes gzip; without the header it may, but nothing is gained by surprising it. */
export function acceptsGzip(acceptEncoding: string | null): boolean {
  let wildcard = false;
  for (const part of acceptEncoding?.split(",") ?? []) {
    const [coding, ...parameters] = part
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/);
    const refused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    if (coding === "gzip" || coding === "x-gzip") return !refused;
    if (coding === "*" && !refused) wildcard = true;
  }
  return wildcard;
}

/** Whether If-None-Match names this entity tag (weak comparison), so that the client has it already. */
export function matchesTag(ifNoneMatch: string | null, tag: string): boolean {
  if (ifNoneMatch === null) return false;
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((candidate) => candidate.trim().replace(/^W\//, "") === tag);
}
