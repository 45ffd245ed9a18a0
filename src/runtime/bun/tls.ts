/** Server certificates, chosen by the name a client asks for (SNI, RFC 6066 section 3), replaceable while running. */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureVersion } from "node:tls";
import { alternativeNames, asciiHost, assertKeyFits } from "./certificate.ts";
import { signatureHash } from "./channel-binding.ts";

/** One certificate with its key, and the hosts it is for. */
export interface HostCertificate {
  /** Host names, also internationalised; "*.example.org" covers one label. Empty: the names the certificate itself bears. */
  readonly hosts: readonly string[];
  /** PEM: the certificate, then the intermediates. */
  readonly certificate: string;
  /** PEM: the private key. */
  readonly key: string;
  readonly passphrase?: string;
}

export interface TlsSettings {
  /** OpenSSL's cipher list, for TLS 1.2; the library's default when absent. TLS 1.3 suites are all good and not configurable. */
  readonly ciphers?: string;
  /** Which versions may be negotiated; default both. */
  readonly versions?: readonly ("tlsv1.2" | "tlsv1.3")[];
}

/** Settings or certificates that cannot be used; the message says which and why. */
export class TlsConfigurationError extends Error {
  override readonly name = "TlsConfigurationError";
}

/** The runtime's native context object; opaque. */
export type NativeContext = object;

interface Entry {
  readonly names: readonly string[];
  readonly context: NativeContext;
  readonly hasEndPoint: boolean;
}

const versionNames: Record<"tlsv1.2" | "tlsv1.3", SecureVersion> = { "tlsv1.2": "TLSv1.2", "tlsv1.3": "TLSv1.3" };

/** What listeners share: a reload reaches every new connection of all of them; running ones keep what they have. */
export class ServerCertificates {
  readonly settings: TlsSettings;
  #exact = new Map<string, NativeContext>();
  #wildcard = new Map<string, NativeContext>();
  #default!: NativeContext;
  #current: readonly HostCertificate[] = [];
  #allHaveEndPoints = false;
  readonly #watchers = new Set<() => void>();

  /** The first certificate serves clients that name no host or an unknown one. Throws `TlsConfigurationError`. */
  constructor(certificates: readonly HostCertificate[], settings: TlsSettings = {}) {
    this.settings = settings;
    this.reload(certificates);
  }

  /** Replaces all certificates for new connections. Throws `TlsConfigurationError` and changes nothing when one is unusable. */
  reload(certificates: readonly HostCertificate[]): void {
    const entries = certificates.map((certificate) => this.#load(certificate));
    const first = entries[0];
    if (first === undefined) throw new TlsConfigurationError("no certificate is configured");
    const exact = new Map<string, NativeContext>();
    const wildcard = new Map<string, NativeContext>();
    // An earlier certificate wins where two are for the same host.
    for (const { names, context } of entries) {
      for (const name of names) {
        const map = name.startsWith("*.") ? wildcard : exact;
        const key = name.startsWith("*.") ? name.slice(2) : name;
        if (!map.has(key)) map.set(key, context);
      }
    }
    this.#exact = exact;
    this.#wildcard = wildcard;
    this.#default = first.context;
    this.#allHaveEndPoints = entries.every((entry) => entry.hasEndPoint);
    this.#current = certificates.map((certificate, index) => ({ ...certificate, hosts: entries[index]!.names }));
    for (const changed of this.#watchers) changed();
  }

  /** What is served now, with the names in `hosts` as the network writes them; never empty. */
  get current(): readonly HostCertificate[] {
    return this.#current;
  }

  /** Whichever certificate a connection is served, it has the channel binding "tls-server-end-point". */
  get allHaveEndPoints(): boolean {
    return this.#allHaveEndPoints;
  }

  /** `changed` is called after each reload, until the returned function is. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  get defaultContext(): NativeContext {
    return this.#default;
  }

  /** The context for the host a client named. */
  contextFor(servername: string): NativeContext {
    const name = servername.toLowerCase();
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf(".");
    const wildcard = dot < 0 ? undefined : this.#wildcard.get(name.slice(dot + 1));
    return wildcard ?? this.#default;
  }

  #load(certificate: HostCertificate): Entry {
    const versions = (this.settings.versions ?? ["tlsv1.2", "tlsv1.3"]).map((version) => versionNames[version]).sort();
    const lowest = versions[0];
    if (lowest === undefined) throw new TlsConfigurationError("no TLS version is allowed");
    const what = certificate.hosts.join(", ");
    try {
      const secure = createSecureContext({
        cert: certificate.certificate,
        key: certificate.key,
        passphrase: certificate.passphrase,
        ciphers: this.settings.ciphers,
        minVersion: lowest,
        maxVersion: versions[versions.length - 1],
      });
      // Of a key that does not fit only the first client would hear.
      assertKeyFits(certificate.certificate, certificate.key, certificate.passphrase);
      const context = (secure as { context?: unknown }).context;
      if (typeof context !== "object" || context === null) throw new Error("the runtime gave no native context");
      const leaf = new X509Certificate(certificate.certificate);
      const names =
        certificate.hosts.length > 0 ? certificate.hosts.map((host) => asciiHost(host)) : alternativeNames(leaf);
      return { names, context, hasEndPoint: signatureHash(leaf.raw) !== undefined };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new TlsConfigurationError(`certificate for ${what}: ${reason}`, { cause: error });
    }
  }
}
