/** Channel bindings of TLS: `tls-exporter` (RFC 9266) and `tls-server-end-point` (RFC 5929), and the list XEP-0440 1.0.0 advertises. */
import { createHash, X509Certificate } from "node:crypto";

/** Strongest first. `tls-unique` is left out: TLS 1.3 has none, and RFC 9266 replaces it. */
export const channelBindingTypes = ["tls-exporter", "tls-server-end-point"] as const;
export type ChannelBindingType = (typeof channelBindingTypes)[number];

/** The bindings of one TLS connection. Undefined when that connection cannot have this one. */
export interface ChannelBindings {
  data(type: ChannelBindingType): Uint8Array | undefined;
  /** Whether `data` would give something, where that can be told for less. */
  has?(type: ChannelBindingType): boolean;
}

export function hasBinding(bindings: ChannelBindings, type: ChannelBindingType): boolean {
  return bindings.has === undefined ? bindings.data(type) !== undefined : bindings.has(type);
}

/** The types this connection has, strongest first: the children of XEP-0440's `<sasl-channel-binding/>`. */
export function availableBindings(bindings: ChannelBindings | undefined): ChannelBindingType[] {
  if (bindings === undefined) return [];
  return channelBindingTypes.filter((type) => hasBinding(bindings, type));
}

/** RFC 9266 section 4.2: label, context and length to ask TLS for. Only with TLS 1.3, or 1.2 with extended master secret. */
export const tlsExporter = { label: "EXPORTER-Channel-Binding", context: new Uint8Array(0), bytes: 32 } as const;

/**
 * RFC 5929 section 4.1: the hash of our certificate by its signature's hash function, SHA-256 in place of MD5 and SHA-1. Undefined for a
 * signature without one single hash function (Ed25519): the RFC leaves the binding undefined there.
 * @param certificate PEM (the first certificate counts) or DER
 * @throws Error when it is no certificate
 */
export function serverEndPoint(certificate: string | Uint8Array): Uint8Array | undefined {
  const parsed: X509Certificate & { readonly signatureAlgorithmOid?: string } = new X509Certificate(certificate);
  const oid = parsed.signatureAlgorithmOid;
  const hash = oid === rsaPss ? hashOfRsaPss(parsed.raw) : oid === undefined ? undefined : endPointHash[oid];
  return hash === undefined ? undefined : createHash(hash).update(parsed.raw).digest();
}

/** By the object identifier of the signature's algorithm. */
const endPointHash: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.4": "sha256", // md5WithRSAEncryption
  "1.2.840.113549.1.1.5": "sha256", // sha1WithRSAEncryption
  "1.2.840.113549.1.1.14": "sha224",
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.1": "sha256", // ecdsa-with-SHA1
  "1.2.840.10045.4.3.1": "sha224",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
};

const rsaPss = "1.2.840.113549.1.1.10";
const rsaPssDer = Buffer.from("06092a864886f70d01010a", "hex");
/** The identifiers of SHA-2 differ in their last byte. */
const sha2Der = Buffer.from("06096086480165030402", "hex");
const sha2ByLastByte: readonly (string | undefined)[] = [undefined, "sha256", "sha384", "sha512", "sha224"];

/** RSASSA-PSS names its hash first in its parameters (RFC 4055 section 3.1); the default, left out, is SHA-1. */
function hashOfRsaPss(der: Buffer): string | undefined {
  const parameters = der.lastIndexOf(rsaPssDer) + rsaPssDer.length;
  const at = der.indexOf(sha2Der, parameters);
  if (at < 0 || at > parameters + 16) return "sha256";
  return sha2ByLastByte[der[at + sha2Der.length] as number];
}
