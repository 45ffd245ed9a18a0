/** Channel bindings of a TLS connection: tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929 section 4). */
import { createHash } from "node:crypto";

/** Label, context (empty) and length of RFC 9266 section 2. */
export const exporterLabel = "EXPORTER-Channel-Binding";
export const exporterContext = Buffer.alloc(0);
export const exporterBytes = 32;

/** Signature algorithms whose hash is part of their name: object identifier (hex of its DER content) → hash. */
const hashes = new Map<string, string>([
  ["2a864886f70d010104", "md5"], // md5WithRSAEncryption
  ["2a864886f70d010105", "sha1"], // sha1WithRSAEncryption
  ["2a864886f70d01010e", "sha224"], // sha224WithRSAEncryption
  ["2a864886f70d01010b", "sha256"], // sha256WithRSAEncryption
  ["2a864886f70d01010c", "sha384"], // sha384WithRSAEncryption
  ["2a864886f70d01010d", "sha512"], // sha512WithRSAEncryption
  ["2a8648ce3d0401", "sha1"], // ecdsa-with-SHA1
  ["2a8648ce3d040301", "sha224"], // ecdsa-with-SHA224
  ["2a8648ce3d040302", "sha256"], // ecdsa-with-SHA256
  ["2a8648ce3d040303", "sha384"], // ecdsa-with-SHA384
  ["2a8648ce3d040304", "sha512"], // ecdsa-with-SHA512
]);
const rsaPss = "2a864886f70d01010a";
/** Hashes RSASSA-PSS names in its parameters. */
const pssHashes = new Map<string, string>([
  ["2b0e03021a", "sha1"],
  ["608648016503040204", "sha224"],
  ["608648016503040201", "sha256"],
  ["608648016503040202", "sha384"],
  ["608648016503040203", "sha512"],
]);

/** A DER value: where its content begins and ends. */
interface Value {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

function valueAt(der: Uint8Array, at: number): Value {
  const tag = der[at];
  let length = der[at + 1];
  let start = at + 2;
  if (tag === undefined || length === undefined) throw new RangeError("the certificate ends early");
  if (length >= 0x80) {
    const count = length & 0x7f;
    if (count === 0 || count > 4) throw new RangeError("the certificate has a length that DER does not allow");
    length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + (der[start++] ?? 0);
  }
  const end = start + length;
  if (end > der.length) throw new RangeError("the certificate ends early");
  return { tag, start, end };
}

const hexOf = (der: Uint8Array, value: Value) => Buffer.from(der.subarray(value.start, value.end)).toString("hex");

/** The hash of a certificate's signature algorithm; undefined when it has none of its own (Ed25519) or is unknown. */
export function signatureHash(der: Uint8Array): string | undefined {
  const certificate = valueAt(der, 0);
  const signed = valueAt(der, certificate.start);
  const algorithm = valueAt(der, signed.end);
  const identifier = valueAt(der, algorithm.start);
  const name = hexOf(der, identifier);
  if (name !== rsaPss) return hashes.get(name);
  // RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] AlgorithmIdentifier DEFAULT sha1, … } (RFC 4055 section 3.1)
  if (identifier.end >= algorithm.end) return "sha1";
  const parameters = valueAt(der, identifier.end);
  if (parameters.start >= parameters.end) return "sha1";
  const first = valueAt(der, parameters.start);
  if (first.tag !== 0xa0) return "sha1";
  return pssHashes.get(hexOf(der, valueAt(der, valueAt(der, first.start).start)));
}

/** The tls-server-end-point data of a certificate: MD5 and SHA-1 signatures count as SHA-256; undefined where the RFC defines none. */
export function serverEndPoint(der: Uint8Array): Uint8Array | undefined {
  const hash = signatureHash(der);
  if (hash === undefined) return undefined;
  return createHash(hash === "md5" || hash === "sha1" ? "sha256" : hash)
    .update(der)
    .digest();
}
