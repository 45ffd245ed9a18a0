/** Channel bindings of TLS: `tls-exporter` (RFC 9266) and `tls-server-end-point` (RFC 5929), and the list XEP-0440 1.0.0 advertises. */
import { createHash } from "node:crypto";
import { X509Certificate } from "@peculiar/x509";

/** Strongest first. `tls-unique` is left out: TLS 1.3 has none, and RFC 9266 replaces it. */
export const channelBindingTypes = ["tls-exporter", "tls-server-end-point"] as const;
export type ChannelBindingType = (typeof channelBindingTypes)[number];

/** The bindings of one TLS connection. Undefined when that connection cannot have this one. */
export interface ChannelBindings {
  data(type: ChannelBindingType): Uint8Array | undefined;
}

/** The types this connection has, strongest first: the children of XEP-0440's `<sasl-channel-binding/>`. */
export function availableBindings(bindings: ChannelBindings | undefined): ChannelBindingType[] {
  if (bindings === undefined) return [];
  return channelBindingTypes.filter((type) => bindings.data(type) !== undefined);
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
  const parsed = new X509Certificate(
    typeof certificate === "string" ? firstPem(certificate) : Buffer.from(certificate),
  );
  const algorithm = parsed.signatureAlgorithm as { hash?: { name?: string } };
  const name = algorithm.hash?.name?.toUpperCase();
  const hash = name === undefined ? undefined : endPointHash[name];
  if (hash === undefined) return undefined;
  return createHash(hash).update(new Uint8Array(parsed.rawData)).digest();
}

const endPointHash: Readonly<Record<string, string>> = {
  MD5: "sha256",
  "SHA-1": "sha256",
  "SHA-224": "sha224",
  "SHA-256": "sha256",
  "SHA-384": "sha384",
  "SHA-512": "sha512",
};

function firstPem(text: string): string {
  const end = "-----END CERTIFICATE-----";
  const start = text.indexOf("-----BEGIN CERTIFICATE-----");
  const stop = text.indexOf(end, start);
  if (start < 0 || stop < 0) throw new Error("no certificate in this PEM text");
  return text.slice(start, stop + end.length);
}
