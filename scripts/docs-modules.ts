/** Writes docs/modules.md and docs/xeps.md from what the modules declare; a test keeps both up to date. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { optionTable } from "../src/config/document.ts";
import type { XepSupport } from "../src/hooks/define-module.ts";
import { catalogue } from "../src/modules/catalogue.ts";

type AnyModule = (typeof catalogue)[number];

/** What is implemented outside of modules, and the file that does it. */
interface CoreXep extends XepSupport {
  readonly by: string;
}

export const coreXeps: readonly CoreXep[] = [
  { number: 68, version: "1.3.0", by: "src/stanza/disco-info.ts" },
  { number: 128, version: "1.0.1", by: "src/stanza/disco-info.ts" },
  { number: 156, version: "1.4.0", by: "src/http/host-meta.ts" },
  { number: 170, version: "1.0", by: "src/stream/stream-features.ts" },
  { number: 297, version: "1.0", by: "src/stanza/reply.ts" },
  { number: 300, version: "1.0.0", by: "src/stanza/disco-info.ts", note: "SHA-1, SHA-2 and SHA-3; no BLAKE2" },
  { number: 368, version: "1.1.0", by: "src/runtime/bun/listen.ts" },
  { number: 440, version: "1.0.0", by: "src/auth/channel-bindings.ts" },
];

/** RFCs outside of modules, each with what it is. */
export const coreRfcs: readonly (readonly [number: number, title: string, by: string])[] = [
  [4616, "The PLAIN SASL Mechanism", "src/auth/plain.ts"],
  [5802, "SCRAM SASL Mechanisms", "src/auth/scram.ts"],
  [5929, "Channel Bindings for TLS: tls-server-end-point", "src/auth/channel-bindings.ts"],
  [6120, "XMPP: Core", "src/stream/c2s-stream.ts"],
  [6121, "XMPP: Instant Messaging and Presence", "src/router/route.ts"],
  [7395, "XMPP Subprotocol for WebSocket", "src/stream/stream-header.ts"],
  [7622, "XMPP: Address Format", "src/stanza/jid.ts"],
  [7677, "SCRAM-SHA-256", "src/auth/scram.ts"],
  [8265, "PRECIS: Usernames and Passwords", "src/stanza/precis.ts"],
  [9266, "Channel Bindings for TLS 1.3: tls-exporter", "src/auth/channel-bindings.ts"],
];

/** Titles, as the XSF prints them. */
export const xepTitles: Readonly<Record<number, string>> = {
  4: "Data Forms",
  12: "Last Activity",
  16: "Privacy Lists",
  23: "Message Expiration",
  30: "Service Discovery",
  45: "Multi-User Chat",
  48: "Bookmark Storage",
  49: "Private XML Storage",
  54: "vcard-temp",
  59: "Result Set Management",
  60: "Publish-Subscribe",
  68: "Field Standardization for Data Forms",
  77: "In-Band Registration",
  82: "XMPP Date and Time Profiles",
  84: "User Avatar",
  85: "Chat State Notifications",
  92: "Software Version",
  107: "User Mood",
  115: "Entity Capabilities",
  118: "User Tune",
  128: "Service Discovery Extensions",
  131: "Stanza Headers and Internet Metadata",
  153: "vCard-Based Avatars",
  156: "Discovering Alternative XMPP Connection Methods",
  157: "Contact Addresses for XMPP Services",
  160: "Best Practices for Handling Offline Messages",
  163: "Personal Eventing Protocol",
  170: "Recommended Order of Stream Feature Negotiation",
  172: "User Nickname",
  184: "Message Delivery Receipts",
  191: "Blocking Command",
  198: "Stream Management",
  199: "XMPP Ping",
  202: "Entity Time",
  203: "Delayed Delivery",
  215: "External Service Discovery",
  223: "Persistent Storage of Private Data via PubSub",
  237: "Roster Versioning",
  249: "Direct MUC Invitations",
  280: "Message Carbons",
  292: "vCard4 Over XMPP",
  297: "Stanza Forwarding",
  300: "Use of Cryptographic Hash Functions in XMPP",
  307: "Unique Room Names for Multi-User Chat",
  313: "Message Archive Management",
  333: "Displayed Markers",
  334: "Message Processing Hints",
  352: "Client State Indication",
  357: "Push Notifications",
  359: "Unique and Stable Stanza IDs",
  363: "HTTP File Upload",
  368: "SRV records for XMPP over TLS",
  384: "OMEMO Encryption",
  386: "Bind 2",
  388: "Extensible SASL Profile",
  390: "Entity Capabilities 2.0",
  398: "User Avatar to vCard-Based Avatars Conversion",
  402: "PEP Native Bookmarks",
  410: "MUC Self-Ping (Schrödinger's Chat)",
  421: "Occupant identifiers for semi-anonymous MUCs",
  424: "Message Retraction",
  425: "Moderated Message Retraction",
  431: "Full Text Search in MAM",
  440: "SASL Channel-Binding Type Capability",
  441: "Message Archive Management Preferences",
  484: "Fast Authentication Streamlining Tokens",
  486: "MUC Avatars",
};

const warning = "<!-- Made by scripts/docs-modules.ts from what the modules declare: do not edit. -->";

/** docs/modules.md as it should be. */
export function modulesDocument(modules: readonly AnyModule[] = catalogue): string {
  const sorted = [...modules].sort((a, b) => (a.name < b.name ? -1 : 1));
  const rows = sorted.map(
    (module) =>
      `| [\`${module.name}\`](#${module.name}) | ${cell(module.summary)} | ${(module.xeps ?? []).map(xepLink).join(", ")} |`,
  );
  return [
    warning,
    "",
    "# Modules",
    "",
    "A module is a feature of a host. It runs where the configuration names it: a section `[modules.NAME]`, which may be",
    "empty, for all hosts, or `[host_config.modules.NAME]` for one. Options that are not given have the default below.",
    "Values are written as [configuration.md](configuration.md) says.",
    "",
    "| module | what it does | XEPs |",
    "| --- | --- | --- |",
    ...rows,
    "",
    ...sorted.map(moduleSection),
  ].join("\n");
}

function moduleSection(module: AnyModule): string {
  const lines = [`## ${module.name}`, "", module.summary, ""];
  const standards = [...(module.rfcs ?? []), ...(module.xeps ?? []).map(xepSentence)];
  if (standards.length > 0) lines.push(...standards.map((standard) => `- ${standard}`), "");
  if (module.requires !== undefined && module.requires.length > 0) {
    const needed = module.requires.map((name) => `[\`${name}\`](#${name})`).join(", ");
    lines.push(`Needs ${needed} on the same host.`, "");
  }
  const table = optionTable(module.options, ["modules", module.name], 3);
  lines.push(table === "" ? "It has no options.\n" : table);
  return lines.join("\n");
}

function xepSentence(xep: XepSupport): string {
  const note = xep.note === undefined ? "" : `: ${xep.note}`;
  return `${xepLink(xep)} ${titleOf(xep)}, version ${xep.version}${note}`;
}

/** docs/xeps.md as it should be. */
export function xepsDocument(modules: readonly AnyModule[] = catalogue): string {
  const all = [
    ...coreXeps.map((xep) => ({ xep: xep as XepSupport, by: "always" })),
    ...modules.flatMap((module) =>
      (module.xeps ?? []).map((xep) => ({ xep, by: `[\`${module.name}\`](modules.md#${module.name})` })),
    ),
  ].sort((a, b) => a.xep.number - b.xep.number);
  const rows = all.map(
    ({ xep, by }) => `| ${xepLink(xep)} | ${titleOf(xep)} | ${xep.version} | ${by} | ${cell(xep.note ?? "")} |`,
  );
  const rfcs = coreRfcs.map(
    ([number, title]) => `| [RFC ${number}](https://www.rfc-editor.org/rfc/rfc${number}) | ${title} |`,
  );
  return [
    warning,
    "",
    "# Standards",
    "",
    "What Meerkat implements, with the versions it was written by. A XEP is there when its module is configured.",
    "",
    "| XEP | title | version | by | left out, limits |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
    "| RFC | title |",
    "| --- | --- |",
    ...rfcs,
    "",
  ].join("\n");
}

function xepLink({ number }: XepSupport): string {
  const digits = String(number).padStart(4, "0");
  return `[XEP-${digits}](https://xmpp.org/extensions/xep-${digits}.html)`;
}

/** @throws Error for a XEP whose title is not in the list above. */
function titleOf({ number }: XepSupport): string {
  const title = xepTitles[number];
  if (title === undefined) throw new Error(`scripts/docs-modules.ts does not know the title of XEP ${number}`);
  return title;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** Where the documents are, and what they should be. */
export const documents: readonly { readonly path: string; text(): string }[] = [
  { path: fileURLToPath(new URL("../docs/modules.md", import.meta.url)), text: modulesDocument },
  { path: fileURLToPath(new URL("../docs/xeps.md", import.meta.url)), text: xepsDocument },
];

if (import.meta.main) for (const { path, text } of documents) writeFileSync(path, text());
