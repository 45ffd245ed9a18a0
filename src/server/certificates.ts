/**
 * The certificates of a node's listeners: the configured ones, or a self-signed one kept in the data folder. Files that
 * change on disk are taken up while the node runs; new connections get them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificateFiles, Settings, TlsSettings } from "../config/settings.ts";
import type { Log } from "../observe/log.ts";
import { keepSelfSigned } from "../runtime/bun/certificate.ts";
import { type HostCertificate, ServerCertificates } from "../runtime/bun/tls.ts";
import { watchFiles } from "../runtime/bun/watch-files.ts";
import type { Clock } from "../util/clock.ts";

/** How often the files are looked at. */
const watchMs = 60_000;

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
  const kept = await keepSelfSigned(join(dataDir, "tls"), [...settings.hosts.keys()], clock.now());
  const own: CertificateFiles = { certfile: kept.certificateFile, keyfile: kept.keyFile };
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

  const reload = (): void => {
    for (const [tls, certificates] of loaded) certificates.reload(certificatesFor(tls));
  };
  const files = [own, ...configured(settings)].flatMap(({ certfile, keyfile }) => [certfile, keyfile]);
  const timer = watchFiles(clock, files, watchMs, () => {
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

/** The files of all certificates that the operator configured. */
function configured(settings: Settings): CertificateFiles[] {
  const listeners = [...settings.listen.c2s, ...settings.listen.http].map((listener) => listener.tls?.certificate);
  const hosts = [...settings.hosts.values()].map((host) => host.certificate);
  return [...listeners, ...hosts].filter((files) => files !== undefined);
}
