/** What a node that has started says to people. */
import type { HttpListener, HttpPlace, Settings } from "../config/settings.ts";
import { version } from "../util/version.ts";

export interface OpenPort {
  readonly option: string;
  readonly kind: "c2s" | "c2s-tls" | "http";
  readonly address: string;
  readonly port: number;
}

export interface Started {
  readonly settings: Settings;
  readonly dataDir: string;
  readonly certificates: { readonly selfSigned: boolean };
}

/** `ctl` is how its operator gives commands, such as `./bin/meerkat ctl`. */
export function summaryOf(
  { settings, certificates, dataDir }: Started,
  ports: readonly OpenPort[],
  ctl: string,
): string[] {
  const domains = [...settings.hosts.keys()];
  const lines = [`Meerkat ${version} serves ${domains.join(", ")}. Its data is in ${dataDir}.`, ""];
  for (const { option, address, port } of ports) {
    const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;
    lines.push(`  ${where.padEnd(22)} ${served(settings, option)}`);
  }
  if (certificates.selfSigned) {
    lines.push(
      "",
      "The certificate is self-signed: clients will ask whether to trust it. docs/install.md says how to use your own.",
    );
  }
  lines.push("", `Make an account:  ${ctl} account registerUser --domain ${domains[0]} --username alice --password -`);
  const chat = chatUrl(settings, ports);
  if (chat !== undefined) lines.push(`Then chat:        ${chat}`);
  lines.push("Stop with Ctrl-C.");
  return lines;
}

/** What can be reached at a port. */
function served({ listen }: Settings, option: string): string {
  const clients = listen.c2s.find((listener) => listener.option === option);
  if (clients !== undefined) {
    const encryption = { none: "without encryption", starttls: "STARTTLS", starttls_required: "STARTTLS", tls: "TLS" };
    return `XMPP clients (${encryption[clients.tls?.mode ?? "none"]})`;
  }
  const { tls, handlers } = listen.http.find((listener) => listener.option === option)!;
  const names: readonly [readonly HttpPlace[], string][] = [
    [handlers.webSocket, "WebSocket"],
    [handlers.chat, "web chat"],
    [handlers.upload, "uploads"],
    [handlers.health, "health"],
    [handlers.prometheus, "metrics"],
  ];
  const there = names.filter(([places]) => places.length > 0).map(([, name]) => name);
  return `${tls === undefined ? "HTTP" : "HTTPS"}: ${there.join(", ") || "nothing of note"}`;
}

/** Where somebody at this machine finds the web chat. */
function chatUrl({ listen }: Settings, ports: readonly OpenPort[]): string | undefined {
  const withChat = ({ handlers }: HttpListener): boolean => handlers.chat.length > 0;
  const listener = listen.http.find(withChat);
  const open = ports.find(({ option }) => option === listener?.option);
  if (listener === undefined || open === undefined) return undefined;
  const { host, path } = listener.handlers.chat[0]!;
  const scheme = listener.tls === undefined ? "http" : "https";
  return `${scheme}://${host === "_" ? "localhost" : host}:${open.port}${path}`;
}
