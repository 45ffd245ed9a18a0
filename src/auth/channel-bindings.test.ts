/** RFC 5929's end point binding for each kind of certificate signature. */
import { describe, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { certificates } from "../../test/support/certificates.ts";
import { serverEndPoint } from "./channel-bindings.ts";

describe("tls-server-end-point", () => {
  test.each([
    ["ecdsaSha256", "sha256"],
    ["ecdsaSha384", "sha384"],
    ["rsaSha1", "sha256"],
    ["rsaSha512", "sha512"],
    ["rsaPssSha384", "sha384"],
    ["rsaPssSha1", "sha256"],
  ] as const)("%s: %s of the certificate", (name, hash) => {
    const pem = certificates[name];
    const { raw } = new X509Certificate(pem);
    const expected = createHash(hash).update(raw).digest();
    expect(Buffer.from(serverEndPoint(pem) ?? [])).toEqual(expected);
    expect(Buffer.from(serverEndPoint(raw) ?? [])).toEqual(expected);
  });

  test("of a chain the first certificate counts", () => {
    const chain = `${certificates.ecdsaSha256}\n${certificates.ed25519}`;
    expect(serverEndPoint(chain)).toEqual(serverEndPoint(certificates.ecdsaSha256));
  });

  test("Ed25519 has none", () => {
    expect(serverEndPoint(certificates.ed25519)).toBeUndefined();
  });

  test("what is no certificate throws", () => {
    expect(() => serverEndPoint("nothing")).toThrow();
    expect(() => serverEndPoint(new Uint8Array(10))).toThrow();
  });
});
