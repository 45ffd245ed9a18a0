/** Self-signed certificates, and reading certificates, against OpenSSL's view through node:crypto. */
import { afterAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  asciiHost,
  assertKeyFits,
  inspectCertificate,
  keepSelfSigned,
  selfSigned,
  selfSignedDays,
} from "./certificate.ts";
import { serverEndPoint, signatureHash } from "./channel-binding.ts";

const dayMs = 86_400_000;
const now = Date.UTC(2026, 0, 2, 3, 4, 5);
const directory = mkdtempSync(join(tmpdir(), "certificate-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("a self-signed certificate is for all its hosts, internationalised ones and addresses too", async () => {
  const { certificate, key } = await selfSigned(["bücher.example", "chat.example", "127.0.0.1", "::1"], now);
  const facts = inspectCertificate(certificate);
  expect(facts.names.slice(0, 3)).toEqual(["xn--bcher-kva.example", "chat.example", "127.0.0.1"]);
  expect(facts).toMatchObject({ signatureHash: "sha256", selfSigned: true });
  expect(facts.notBefore).toBe(now - 3_600_000);
  expect(facts.notAfter).toBe(now + selfSignedDays * dayMs);
  const parsed = new X509Certificate(certificate);
  expect(parsed.checkHost("chat.example")).toBe("chat.example");
  expect(parsed.checkIP("::1")).toBeDefined();
  expect(parsed.ca).toBe(false);
  expect(parsed.publicKey.asymmetricKeyType).toBe("ec");
  assertKeyFits(certificate, key);
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
  expect(() => assertKeyFits(certificate, String(other))).toThrow("belongs to another certificate");
});

test("no host, or what is no host name, is refused", async () => {
  expect(selfSigned([], now)).rejects.toThrow(RangeError);
  expect(() => asciiHost("two words")).toThrow("is no host name");
  expect(asciiHost("*.Bücher.example")).toBe("*.xn--bcher-kva.example");
});

describe("the certificate kept on disk", () => {
  test("is made once, with a key only its owner reads, and kept", async () => {
    const folder = join(directory, "kept", "tls");
    const first = await keepSelfSigned(folder, ["one.example"], now);
    expect(first.renewed).toBe("none yet");
    expect(statSync(first.keyFile).mode & 0o777).toBe(0o600);
    expect(inspectCertificate(readFileSync(first.certificateFile, "utf8")).names).toEqual(["one.example", "localhost"]);
    chmodSync(first.keyFile, 0o644);
    const second = await keepSelfSigned(folder, ["one.example"], now + 700 * dayMs);
    expect(second).toMatchObject({ renewed: undefined, certificate: first.certificate, key: first.key });
    expect(statSync(first.keyFile).mode & 0o777).toBe(0o600);
  });

  test("is renewed when it expires soon, lacks a host, or is broken", async () => {
    const folder = join(directory, "renewed");
    await keepSelfSigned(folder, ["one.example"], now);
    const later = now + (selfSignedDays - 29) * dayMs;
    expect((await keepSelfSigned(folder, ["one.example"], later)).renewed).toBe("expires soon");
    const more = await keepSelfSigned(folder, ["one.example", "two.example"], later);
    expect(more.renewed).toBe("other hosts");
    writeFileSync(more.keyFile, "half writ");
    const repaired = await keepSelfSigned(folder, ["one.example", "two.example"], later);
    expect(repaired.renewed).toBe("unreadable");
    assertKeyFits(repaired.certificate, readFileSync(repaired.keyFile, "utf8"));
  });
});

/** A minimal certificate: only its signature algorithm matters here. */
function withAlgorithm(algorithmHex: string): Uint8Array {
  const algorithm = Buffer.from(algorithmHex, "hex");
  const body = Buffer.concat([Buffer.from("3003020100", "hex"), algorithm, Buffer.from("030100", "hex")]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

describe("the hash of tls-server-end-point (RFC 5929 section 4.1)", () => {
  const cases: [string, string, string | undefined, string | undefined][] = [
    ["md5WithRSAEncryption", "300d06092a864886f70d0101040500", "md5", "sha256"],
    ["sha1WithRSAEncryption", "300d06092a864886f70d0101050500", "sha1", "sha256"],
    ["sha256WithRSAEncryption", "300d06092a864886f70d01010b0500", "sha256", "sha256"],
    ["sha384WithRSAEncryption", "300d06092a864886f70d01010c0500", "sha384", "sha384"],
    ["ecdsa-with-SHA1", "300906072a8648ce3d0401", "sha1", "sha256"],
    ["ecdsa-with-SHA256", "300a06082a8648ce3d040302", "sha256", "sha256"],
    ["ecdsa-with-SHA512", "300a06082a8648ce3d040304", "sha512", "sha512"],
    ["RSASSA-PSS with its default", "300d06092a864886f70d01010a3000", "sha1", "sha256"],
    ["RSASSA-PSS without parameters", "300b06092a864886f70d01010a", "sha1", "sha256"],
    ["RSASSA-PSS with SHA-512", "301e06092a864886f70d01010a3011a00f300d06096086480165030402030500", "sha512", "sha512"],
    ["Ed25519, which has no hash of its own", "300506032b6570", undefined, undefined],
  ];
  for (const [name, algorithm, own, used] of cases) {
    test(name, () => {
      const der = withAlgorithm(algorithm);
      expect(signatureHash(der)).toBe(own as string);
      const expected = used && new Bun.CryptoHasher(used as "sha256").update(der).digest("hex");
      const binding = serverEndPoint(der);
      expect(binding && Buffer.from(binding).toString("hex")).toBe(expected as string);
    });
  }

  test("a certificate cut short is an error, wherever it ends", async () => {
    const der = new X509Certificate((await selfSigned(["one.example"], now)).certificate).raw;
    expect(signatureHash(der)).toBe("sha256");
    for (let length = 0; length < der.length; length += 7) {
      expect(() => signatureHash(der.subarray(0, length))).toThrow("ends early");
    }
  });
});
