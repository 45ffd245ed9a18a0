/** Where files come and go: which listener serves those of a host, and whose a file is. */
import { domainToASCII } from "node:url";
import type { HttpListener, Settings } from "../config/settings.ts";
import { isLoopback } from "../http/authority.ts";
import type { FoundUpload } from "../http/uploads.ts";
import type { Log } from "../observe/log.ts";
import type { Host } from "../router/host.ts";

/** The listeners of a node that take uploads, as they open. */
export class UploadPlaces {
  readonly #open: { readonly listener: HttpListener; readonly port: number }[] = [];

  opened(listener: HttpListener, port: number): void {
    if (listener.handlers.upload.length > 0) this.#open.push({ listener, port });
  }

  /** The base of the URLs of a host's files, without a slash at the end; a listener with TLS before one without. */
  urlOf(domain: string): string | undefined {
    const name = domainToASCII(domain);
    let plain: string | undefined;
    for (const { listener, port } of this.#open) {
      const handler =
        listener.handlers.upload.find(({ host }) => host === name) ??
        listener.handlers.upload.find(({ host }) => host === "_") ??
        listener.handlers.upload[0]!;
      const path = handler.path.replace(/\/+$/, "");
      if (handler.publicUrl !== undefined) return handler.publicUrl.replace(/\/+$/, "") + path;
      const host = handler.host === "_" ? name : handler.host;
      if (listener.tls !== undefined) return `https://${host}${port === 443 ? "" : `:${port}`}${path}`;
      plain ??= `http://${host}${port === 80 ? "" : `:${port}`}${path}`;
    }
    return plain;
  }
}

/** Origins that the web chat has to reach for files, its own aside. */
export function uploadOrigins(hosts: ReadonlyMap<string, Host>, places: UploadPlaces): string[] {
  const origins = new Set<string>();
  for (const host of hosts.values()) {
    const service = host.registry.service("uploads");
    if (service === undefined) continue;
    for (const origin of service.origins) origins.add(origin);
    const url = service.throughListener ? places.urlOf(host.domain) : undefined;
    if (url !== undefined) origins.add(new URL(url).origin);
  }
  return [...origins];
}

/** The file of this token, and the service of the host it is of. */
export async function findUpload(hosts: ReadonlyMap<string, Host>, token: string): Promise<FoundUpload | undefined> {
  for (const host of hosts.values()) {
    const any = host.registry.service("uploads");
    if (any === undefined) continue;
    // All hosts share the database, so whichever is asked knows.
    const upload = await any.find(token);
    const service = upload && hosts.get(upload.domain)?.registry.service("uploads");
    return upload === undefined || service === undefined ? undefined : { upload, service };
  }
  return undefined;
}

/** The largest file that any host takes; 0 when none takes any. */
export function largestUpload(hosts: ReadonlyMap<string, Host>): number {
  const sizes = Array.from(hosts.values(), (host) => host.registry.service("uploads")?.fileBytesMax ?? 0);
  return Math.max(0, ...sizes);
}

/** Throws when a host's files have no way in or out. Warns where they travel in clear (XEP-0363 section 5: TLS is a MUST). */
export function checkUploads(
  settings: Settings,
  hosts: ReadonlyMap<string, Host>,
  places: UploadPlaces,
  log: Log,
): void {
  for (const host of hosts.values()) {
    if (host.registry.service("uploads")?.throughListener !== true) continue;
    const url = places.urlOf(host.domain);
    if (url === undefined) {
      throw new Error(
        `${settings.file}: mod_http_upload of ${host.domain} needs an HTTP listener that serves its files: ` +
          "add [[listen.http.handlers.meerkat_upload_handler]] to one, or take the module out",
      );
    }
    const { protocol, hostname } = new URL(url);
    if (protocol === "http:" && !isLoopback(hostname)) {
      log.warn(
        { host: host.domain, url },
        "uploaded files travel unencrypted: give the listener TLS, or set public_url",
      );
    }
  }
}
