/**
 * The certificates of a node's listeners: the configured ones, or a self-signed one kept in the data folder. Files that
 * change on disk are taken up while the node runs; new connections get them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificateFiles, Settings, TlsSettings } from "../config/settings.ts";
import type { Log } from "../observe/log.ts";
import { certificateFault, keepSelfSigned } from "../runtime/bun/certificate.ts";
import { type HostCertificate, ServerCertificates, TlsConfigurationError } from "../runtime/bun/tls.ts";
import { watchFiles } from "../runtime/bun/watch-files.ts";
import type { Clock } from "../util/clock.ts";
import { systemReason } from "../util/system-reason.ts";

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
  const own: CertificateFiles = { option: undefined, certfile: kept.certificateFile, keyfile: kept.keyFile };
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

/** Throws `TlsConfigurationError`, which names option and file, when they cannot be used. */
function read(files: CertificateFiles, hosts: readonly string[], passphrase: string | undefined): HostCertificate {
  const certificate = readPart(files, "certfile");
  const key = readPart(files, "keyfile");
  const fault = certificateFault(certificate, key, passphrase);
  if (fault !== undefined) throw unusable(files, fault.part, fault.reason);
  return { hosts, certificate, key, passphrase };
}

function readPart(files: CertificateFiles, part: "certfile" | "keyfile"): string {
  try {
    return readFileSync(files[part], "utf8");
  } catch (error) {
    throw unusable(files, part, `cannot be read: ${systemReason(error)}`);
  }
}

function unusable(files: CertificateFiles, part: "certfile" | "keyfile", reason: string): TlsConfigurationError {
  const option = files.option === undefined ? "" : `${files.option}.${part}: `;
  return new TlsConfigurationError(`${option}${files[part]} ${reason}`);
}

/** What is wrong with the configured certificates; nothing when a node could use them all. */
export function certificateProblems(settings: Settings): string[] {
  const problems = new Set<string>();
  const check = (files: CertificateFiles, passphrase: string | undefined): void => {
    try {
      read(files, [], passphrase);
    } catch (error) {
      if (!(error instanceof TlsConfigurationError)) throw error;
      problems.add(error.message);
    }
  };
  const ofHosts = [...settings.hosts.values()].flatMap(({ certificate }) => certificate ?? []);
  for (const { certificate, passphrase } of tlsListeners(settings)) {
    for (const files of [...ofHosts, ...(certificate === undefined ? [] : [certificate])]) check(files, passphrase);
  }
  return [...problems];
}

const tlsListeners = ({ listen }: Settings): TlsSettings[] =>
  [...listen.c2s, ...listen.http].flatMap(({ tls }) => tls ?? []);

/** The files of all certificates that the operator configured. */
function configured(settings: Settings): CertificateFiles[] {
  const hosts = [...settings.hosts.values()].map((host) => host.certificate);
  return [...tlsListeners(settings).map((tls) => tls.certificate), ...hosts].filter((files) => files !== undefined);
}
