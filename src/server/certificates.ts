/**
 * The certificates of a node's listeners: the configured ones, or a self-signed one kept in the data folder. Files that
 * change on disk are taken up while the node runs; new connections get them.
 */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificateFiles, Settings, TlsSettings } from "../config/settings.ts";
import type { Log } from "../observe/log.ts";
import { selfSigned } from "../runtime/bun/certificate.ts";
import { type HostCertificate, ServerCertificates } from "../runtime/bun/tls.ts";
import type { Clock } from "../util/clock.ts";

/** How often the files are looked at. */
const watchMs = 60_000;
/** A self-signed certificate is renewed at start when it has less than this left. */
const renewBeforeMs = 30 * 86_400_000;

export interface NodeCertificates {
  /** Those of one listener. */
  of(tls: TlsSettings): ServerCertificates;
  /** Some listener uses the self-signed certificate. */
  readonly selfSigned: boolean;
  /** Reads all files again. Throws `TlsConfigurationError` and keeps the old ones when one is unusable. */
  reload(): void;
  stop(): void;
}

export async function loadCertificates(
  settings: Settings,
  dataDir: string,
  clock: Clock,
  log: Log,
): Promise<NodeCertificates> {
  const own = await ensureSelfSigned(settings, dataDir, clock);
  const loaded = new Map<TlsSettings, ServerCertificates>();
  let usesSelfSigned = false;

  const certificatesFor = (tls: TlsSettings): HostCertificate[] => {
    const list: HostCertificate[] = [];
    for (const host of settings.hosts.values()) {
      if (host.certificate !== undefined) list.push(read(host.certificate, [host.domain], tls.passphrase));
    }
    const general = tls.certificate;
    if (general !== undefined) list.push(read(general, [], tls.passphrase));
    const served = new Set(list.flatMap((certificate) => certificate.hosts));
    const rest = [...settings.hosts.keys()].filter((domain) => !served.has(domain));
    if (general === undefined && rest.length > 0) {
      usesSelfSigned = true;
      list.push(read(own, rest, undefined));
    }
    return list;
  };

  let seen = stamps();
  function stamps(): string {
    const files = [own, ...[...settings.hosts.values()].map((host) => host.certificate)];
    for (const tls of loaded.keys()) files.push(tls.certificate);
    return files
      .filter((file) => file !== undefined)
      .map(({ certfile, keyfile }) => `${stampOf(certfile)} ${stampOf(keyfile)}`)
      .join("\n");
  }
  const reload = (): void => {
    for (const [tls, certificates] of loaded) certificates.reload(certificatesFor(tls));
  };
  const timer = clock.every(watchMs, () => {
    const now = stamps();
    if (now === seen) return;
    seen = now;
    try {
      reload();
      log.info({}, "certificates were read again");
    } catch (error) {
      log.error({ err: error }, "a changed certificate cannot be used; the old one stays");
    }
  });
  return {
    of(tls) {
      let certificates = loaded.get(tls);
      if (certificates === undefined) {
        certificates = new ServerCertificates(certificatesFor(tls), { ciphers: tls.ciphers, versions: tls.versions });
        loaded.set(tls, certificates);
        seen = stamps();
      }
      return certificates;
    },
    get selfSigned() {
      return usesSelfSigned;
    },
    reload,
    stop: () => timer.cancel(),
  };
}

function read(files: CertificateFiles, hosts: readonly string[], passphrase: string | undefined): HostCertificate {
  return {
    hosts,
    certificate: readFileSync(files.certfile, "utf8"),
    key: readFileSync(files.keyfile, "utf8"),
    passphrase,
  };
}

function stampOf(file: string): string {
  try {
    return `${file} ${statSync(file).mtimeMs}`;
  } catch (error) {
    return `${file} ${(error as NodeJS.ErrnoException).code}`;
  }
}

/** Made at the first start, and again when it expires soon or a host was added. */
async function ensureSelfSigned(settings: Settings, dataDir: string, clock: Clock): Promise<CertificateFiles> {
  const folder = join(dataDir, "tls");
  const files = { certfile: join(folder, "self-signed.crt"), keyfile: join(folder, "self-signed.key") };
  const hosts = [...new Set([...settings.hosts.keys(), "localhost"])];
  if (existsSync(files.certfile) && existsSync(files.keyfile)) {
    const certificate = new X509Certificate(readFileSync(files.certfile));
    const covers = hosts.every((host) => certificate.checkHost(host) !== undefined);
    if (covers && Date.parse(certificate.validTo) - clock.now() > renewBeforeMs) return files;
  }
  const made = await selfSigned(hosts, clock.now());
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(files.keyfile, made.key, { mode: 0o600 });
  writeFileSync(files.certfile, made.certificate);
  return files;
}
