/** Self-signed certificates for a server that has none yet, and what can be read off a certificate. */
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { domainToASCII } from "node:url";
import { signatureHash } from "./channel-binding.ts";

const dayMs = 86_400_000;
/** The longest life that Apple's and other clients accept of any certificate. */
export const selfSignedDays = 825;

/** PEM texts. */
export interface CertificateWithKey {
  readonly certificate: string;
  readonly key: string;
}

/** A new ECDSA P-256 key and its certificate for these hosts, valid from an hour before `now` for 825 days. */
export async function selfSigned(hosts: readonly string[], now: number = Date.now()): Promise<CertificateWithKey> {
  const first = hosts[0];
  if (first === undefined) throw new RangeError("a certificate needs a host");
  // Loaded only where a certificate is made; the library needs the metadata polyfill first.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const crypto = webcrypto as unknown as Crypto;
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      // Positive and at most 20 octets (RFC 5280 section 4.1.2.2).
      serialNumber: `4${randomBytes(16).toString("hex").slice(1)}`,
      // A common name has at most 64 characters; the host names that count are below.
      name: [{ CN: [first.slice(0, 64)] }],
      notBefore: new Date(now - 3_600_000),
      notAfter: new Date(now + selfSignedDays * dayMs),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension(
          hosts.map((host) => ({ type: isIP(host) === 0 ? "dns" : "ip", value: asciiHost(host) })),
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
      ],
    },
    crypto,
  );
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, "$&\n").trimEnd()}\n-----END PRIVATE KEY-----\n`,
  };
}

/** A host name as certificates and SNI write it: internationalised names by their A-labels (RFC 5890). */
export function asciiHost(host: string): string {
  if (isIP(host) !== 0) return host;
  const wildcard = host.startsWith("*.");
  const ascii = domainToASCII(wildcard ? host.slice(2) : host);
  if (ascii === "") throw new RangeError(`${host} is no host name`);
  return wildcard ? `*.${ascii}` : ascii;
}

/** What an operator wants to know of a certificate. */
export interface CertificateFacts {
  /** DNS names and addresses of the subject alternative names, lower case. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Of the signature algorithm ("sha256"); undefined when it has none of its own (Ed25519). */
  readonly signatureHash: string | undefined;
  readonly selfSigned: boolean;
  readonly issuer: string;
  /** SHA-256, upper case hex with colons. */
  readonly fingerprint: string;
}

/** Reads the first certificate of a PEM text. Throws when there is none. */
export function inspectCertificate(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem);
  return {
    names: alternativeNames(certificate),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    signatureHash: signatureHash(certificate.raw),
    selfSigned: certificate.issuer === certificate.subject && certificate.verify(certificate.publicKey),
    issuer: certificate.issuer,
    fingerprint: certificate.fingerprint256,
  };
}

/** The names a certificate is for, lower case. */
export function alternativeNames(certificate: X509Certificate): string[] {
  const names: string[] = [];
  for (const entry of (certificate.subjectAltName ?? "").split(", ")) {
    if (entry.startsWith("DNS:")) names.push(entry.slice(4).toLowerCase());
    else if (entry.startsWith("IP Address:")) names.push(entry.slice(11).toLowerCase());
  }
  return names;
}

/** Throws unless the private key is the one of the certificate. */
export function assertKeyFits(certificate: string, key: string, passphrase?: string): void {
  const own = createPrivateKey(passphrase === undefined ? { key } : { key, passphrase });
  if (!new X509Certificate(certificate).checkPrivateKey(own))
    throw new Error("the private key belongs to another certificate");
}

/** Why a certificate and its key cannot be used, and which of the two files is at fault; undefined when they can. */
export function certificateFault(
  certificate: string,
  key: string,
  passphrase?: string,
): { readonly part: "certfile" | "keyfile"; readonly reason: string } | undefined {
  try {
    new X509Certificate(certificate);
  } catch {
    // What the library says of it names its own functions.
    return { part: "certfile", reason: "holds no certificate (PEM)" };
  }
  try {
    createPrivateKey(passphrase === undefined ? { key } : { key, passphrase });
  } catch {
    const locked = key.includes("ENCRYPTED") ? ", or needs another password" : "";
    return { part: "keyfile", reason: `holds no private key (PEM)${locked}` };
  }
  try {
    assertKeyFits(certificate, key, passphrase);
  } catch (error) {
    return { part: "keyfile", reason: `does not fit: ${(error as Error).message}` };
  }
  return undefined;
}

/** A self-signed certificate on disk is replaced at a start when it ends within this time. */
export const renewBeforeDays = 30;

export interface KeptCertificate extends CertificateWithKey {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Why a new one was made; undefined when the one on disk serves on. */
  readonly renewed: "none yet" | "expires soon" | "other hosts" | "unreadable" | undefined;
}

/**
 * The self-signed certificate in a directory (`self-signed.crt`, `self-signed.key`): kept while it covers the hosts and
 * lives on, made anew otherwise. The key file is readable by its owner only, from the moment it exists.
 */
export async function keepSelfSigned(
  directory: string,
  hosts: readonly string[],
  now: number,
): Promise<KeptCertificate> {
  const certificateFile = join(directory, "self-signed.crt");
  const keyFile = join(directory, "self-signed.key");
  const wanted = [...new Set([...hosts, "localhost"].map((host) => asciiHost(host)))];
  const found = await readPair(certificateFile, keyFile);
  const renewed = reasonToRenew(found, wanted, now);
  if (found !== undefined && renewed === undefined) {
    await chmod(keyFile, 0o600);
    return { ...found, certificateFile, keyFile, renewed };
  }
  const made = await selfSigned(wanted, now);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Key first: a crash in between leaves a pair that does not fit, which the next start replaces.
  await replaceFile(keyFile, made.key, 0o600);
  await replaceFile(certificateFile, made.certificate, 0o644);
  return { ...made, certificateFile, keyFile, renewed };
}

function reasonToRenew(
  found: CertificateWithKey | undefined,
  wanted: readonly string[],
  now: number,
): KeptCertificate["renewed"] {
  if (found === undefined) return "none yet";
  let facts: CertificateFacts;
  try {
    assertKeyFits(found.certificate, found.key);
    facts = inspectCertificate(found.certificate);
  } catch {
    // Not ours any more, or half written; nothing is lost by making another.
    return "unreadable";
  }
  if (facts.notAfter - now < renewBeforeDays * dayMs) return "expires soon";
  return wanted.every((host) => facts.names.includes(host)) ? undefined : "other hosts";
}

async function readPair(certificateFile: string, keyFile: string): Promise<CertificateWithKey | undefined> {
  try {
    return { certificate: await readFile(certificateFile, "utf8"), key: await readFile(keyFile, "utf8") };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const fresh = `${file}.${process.pid}.new`;
  await rm(fresh, { force: true });
  await writeFile(fresh, text, { mode, flag: "wx", flush: true });
  await rename(fresh, file);
}
