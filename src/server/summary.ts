/** What a node that has started says to people. */
import { version } from "../util/version.ts";
import type { NodeParts } from "./node-parts.ts";

export interface OpenPort {
  readonly option: string;
  readonly kind: "c2s" | "c2s-tls" | "http";
  readonly address: string;
  readonly port: number;
}

export function summaryOf({ settings, certificates, dataDir }: NodeParts, ports: readonly OpenPort[]): string[] {
  const domains = [...settings.hosts.keys()];
  const lines = [`Meerkat ${version} serves ${domains.join(", ")}. Its data is in ${dataDir}.`, ""];
  for (const { kind, address, port } of ports) {
    const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;
    const what = {
      c2s: "XMPP clients (STARTTLS)",
      "c2s-tls": "XMPP clients (TLS)",
      http: "HTTP: WebSocket, web chat, health, metrics",
    }[kind];
    lines.push(`  ${where.padEnd(22)} ${what}`);
  }
  if (certificates.selfSigned) {
    lines.push(
      "",
      "The certificate is self-signed: clients will ask whether to trust it. docs/install.md says how to use your own.",
    );
  }
  const web = ports.find((port) => port.kind === "http");
  lines.push(
    "",
    `Make an account:  ./bin/meerkat ctl account registerUser --domain ${domains[0]} --username alice --password -`,
  );
  if (web !== undefined) lines.push(`Then chat:        http://localhost:${web.port}/chat`);
  lines.push("Stop with Ctrl-C.");
  return lines;
}
