/** The web chat: the page, its settings, and the files of Converse.js that it may load. Nothing comes from elsewhere. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { escapeAttribute, escapeText } from "../xml/escape.ts";
import type { Authority } from "./authority.ts";
import { namesDomain } from "./authority.ts";
import { send } from "./send.ts";
import { isServable, StaticFiles } from "./static-files.ts";

/** What the page tells its script. */
export interface ChatSettings {
  readonly websocketPath: string;
  readonly assetsPath: string;
  /** The domain of accounts whose address is given without one. */
  readonly domain: string;
  /** It is the only domain, so nobody has to type it. */
  readonly locked: boolean;
  readonly registration: boolean;
  readonly groups: boolean;
  /** Hosts whose pictures, sounds and films are shown: those that keep uploaded files. */
  readonly mediaHosts: readonly string[];
}

/** What decides the settings of one request. */
export interface ChatSource {
  domains(): readonly string[];
  /** Whether strangers may open an account there (XEP-0077). */
  registrationAllowed(domain: string): boolean;
  /** Whether the domain has group chats (XEP-0045); without them the page does not show their list. */
  groupsOffered(domain: string): boolean;
  /** Origins where files are sent to and read from. */
  uploadOrigins(): readonly string[];
}

const forever = "public, max-age=31536000, immutable";
const revalidate = "no-cache";

const webFolder = fileURLToPath(new URL("../../web/chat/", import.meta.url));

/** Files of the page that are ours. */
const ownFiles = ["chat.css", "chat.js", "icon.svg"] as const;

/** Folders and files of Converse's `dist`: what a browser asks for with our settings, and no source maps or OMEMO. */
const converseFolders = ["", "images", "images/custom_emojis", "images/logo", "sounds", "webfonts"] as const;
const converseTop = new Set(["converse.min.css", "converse.min.js", "emoji.json"]);
const converseLanguages = ["chunkjs/locales", "chunkjs/locales/dayjs"] as const;

/** One web chat below one path; throws when the npm package `converse.js` is not installed. */
export class Chat {
  private readonly files = new StaticFiles();
  private readonly template: string;
  private readonly assetsPath: string;
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
    const dist = dirname(fileURLToPath(import.meta.resolve("converse.js")));
    const { version } = JSON.parse(readFileSync(join(dist, "../package.json"), "utf8")) as { version: string };
    // The version is in the path, so that browsers keep the files for ever and still see a new version at once.
    this.assetsPath = `${path}/converse-${version}/`;
    for (const folder of [...converseFolders, ...converseLanguages]) {
      for (const name of filesOf(join(dist, folder))) {
        if (folder === "" && !converseTop.has(name)) continue;
        this.files.add(
          `${this.assetsPath}${folder === "" ? "" : `${folder}/`}${name}`,
          join(dist, folder, name),
          forever,
        );
      }
    }
    for (const name of ownFiles) this.files.add(`${path}/${name}`, join(webFolder, name), revalidate);
    this.template = readFileSync(join(webFolder, "index.html"), "utf8");
  }

  /** The file with this path, or undefined. */
  file(path: string, headers: Headers): Promise<Response | undefined> {
    return this.files.respond(path, headers);
  }

  /** Every path that `file` answers. */
  get paths(): IterableIterator<string> {
    return this.files.names;
  }

  /** The page for whoever reached us under this name. */
  page(asked: Authority, websocketPath: string, source: ChatSource): Response {
    const settings = this.settingsFor(asked, websocketPath, source);
    const values: Record<string, string> = {
      path: escapeAttribute(this.path),
      assets: escapeAttribute(this.assetsPath),
      domain: escapeText(settings.domain),
      settings: escapeAttribute(JSON.stringify(settings)),
    };
    const page = this.template.replace(/\{\{(\w+)\}\}/g, (_, name: string) => values[name] ?? "");
    return send(200, "text/html; charset=utf-8", page, {
      "cache-control": revalidate,
      "content-security-policy": chatPolicy(asked, source.uploadOrigins()),
    });
  }

  private settingsFor(asked: Authority, websocketPath: string, source: ChatSource): ChatSettings {
    const domains = source.domains();
    const domain = domains.find((candidate) => namesDomain(asked.host, candidate)) ?? domains[0] ?? "";
    return {
      websocketPath,
      assetsPath: this.assetsPath,
      domain,
      locked: domains.length === 1,
      registration: source.registrationAllowed(domain),
      groups: source.groupsOffered(domain),
      mediaHosts: source.uploadOrigins().map((origin) => new URL(origin).hostname),
    };
  }
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && isServable(entry.name))
    .map((entry) => entry.name);
}

/**
 * What the page may do. Converse sets `style` attributes, hence 'unsafe-inline' for styles; its avatars are data: and
 * blob: images. The WebSocket is named beside 'self' because older browsers do not count ws: as their own origin.
 */
function chatPolicy(asked: Authority, uploadOrigins: readonly string[]): string {
  const uploads = uploadOrigins.map((origin) => ` ${origin}`).join("");
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    `img-src 'self' data: blob:${uploads}`,
    `media-src 'self' blob:${uploads}`,
    "font-src 'self' data:",
    `connect-src 'self' ws://${asked.text} wss://${asked.text}${uploads}`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");
}
