/** Conversations with the upload service, and the HTTP application that serves what comes of them. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHttpApp, type HttpApp } from "../../src/http/app.ts";
import { disco } from "../../src/modules/disco.ts";
import { httpUpload } from "../../src/modules/http-upload/http-upload.ts";
import { findUpload } from "../../src/server/uploads.ts";
import { ns } from "../../src/stanza/ns.ts";
import { attributes, xml } from "../../src/xml/xml.ts";
import { Conversation, type ConversationOptions, type Person } from "./conversation.ts";

const base = "http://localhost:5280/upload";

export interface SlotUrls {
  readonly put: string;
  readonly get: string;
}

export class UploadTalk {
  readonly talk: Conversation;
  readonly app: HttpApp;
  readonly folder: string;

  private constructor(talk: Conversation, folder: string) {
    this.talk = talk;
    this.folder = folder;
    const nothing = () => {};
    const log = { ...{ fatal: nothing, error: nothing, warn: nothing, info: nothing, debug: nothing, trace: nothing } };
    this.app = createHttpApp({
      handlers: { upload: [{ host: "_", path: "/upload" }], health: [{ host: "_", path: "/health" }] },
      secure: false,
      domains: () => ["localhost"],
      registrationAllowed: () => false,
      groupsOffered: () => false,
      uploadOrigins: () => [],
      findUpload: (token) => findUpload(talk.router.hosts, token),
      metrics: { contentType: "text/plain", text: async () => "" },
      ready: () => ({ ready: true, reasons: [] }),
      live: () => true,
      log: { ...log, child: () => ({ ...log, child: () => log as never }) },
    });
  }

  static async start(
    options: Readonly<Record<string, unknown>> = {},
    more: Partial<ConversationOptions> = {},
  ): Promise<UploadTalk> {
    const folder = mkdtempSync(join(tmpdir(), "meerkat-upload-"));
    const talk = await Conversation.start({
      modules: [httpUpload, disco],
      options: { mod_http_upload: options },
      access: { all: "allow" },
      dataDir: folder,
      uploadsUrl: base,
      ...more,
    });
    return new UploadTalk(talk, folder);
  }

  /** What the service says to a request for a slot. */
  async asks(person: Person, name: string, size: number | string, type?: string, inside = ""): Promise<string> {
    const request = xml`<request xmlns='${ns.httpUpload}'${attributes({ filename: name, size: String(size), "content-type": type })}>`;
    await person.sends(`<iq type='get' id='slot' to='upload.localhost'>${request.text}${inside}</request></iq>`);
    const [answer] = await person.takes();
    return answer!.toXml();
  }

  /** A slot's URLs, as paths of the application. */
  async slot(person: Person, name: string, size: number, type?: string): Promise<SlotUrls> {
    const answer = await this.asks(person, name, size, type);
    const [, put] = /<put url=['"]([^'"]*)/.exec(answer) ?? [];
    const [, get] = /<get url=['"]([^'"]*)/.exec(answer) ?? [];
    if (put === undefined || get === undefined) throw new Error(answer);
    return { put: put.replaceAll("&amp;", "&"), get: get.replaceAll("&amp;", "&") };
  }

  put(
    url: string,
    body: string | Uint8Array<ArrayBuffer> | ReadableStream,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const length =
      typeof body === "string" ? Buffer.byteLength(body) : body instanceof Uint8Array ? body.length : undefined;
    const known: Record<string, string> = length === undefined ? {} : { "content-length": String(length) };
    const init = { method: "PUT", body, headers: { ...known, ...headers }, duplex: "half" };
    return Promise.resolve(this.app.request(url, init as RequestInit));
  }

  get(url: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
    return Promise.resolve(this.app.request(url, { method, headers }));
  }

  /** Uploads a text, and returns where it is. */
  async uploads(person: Person, name: string, text: string, type?: string): Promise<string> {
    const slot = await this.slot(person, name, Buffer.byteLength(text), type);
    const response = await this.put(slot.put, text, type === undefined ? {} : { "content-type": type });
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    return slot.get;
  }

  async stop(): Promise<void> {
    await this.talk.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** All files in a folder, however deep. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
