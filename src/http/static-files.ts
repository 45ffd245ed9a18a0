/** A closed list of files served over HTTP: a name is looked up, never joined to a path. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { acceptsGzip, matchesTag } from "./content-coding.ts";

const compress = promisify(gzip);
const expand = promisify(gunzip);

const types: Readonly<Record<string, { readonly type: string; readonly text: boolean }>> = {
  ".css": { type: "text/css; charset=utf-8", text: true },
  ".js": { type: "text/javascript; charset=utf-8", text: true },
  ".json": { type: "application/json; charset=utf-8", text: true },
  ".svg": { type: "image/svg+xml", text: true },
  ".ico": { type: "image/x-icon", text: false },
  ".png": { type: "image/png", text: false },
  ".mp3": { type: "audio/mpeg", text: false },
  ".ogg": { type: "audio/ogg", text: false },
  ".ttf": { type: "font/ttf", text: true },
};

/** Files of these names can be served, because their type is known. */
export function isServable(name: string): boolean {
  return types[extname(name)] !== undefined;
}

interface Body {
  /** Gzip where that makes it smaller; the only copy in memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly packed: boolean;
  readonly hash: string;
}

interface Entry {
  readonly file: string;
  readonly type: string;
  readonly text: boolean;
  readonly cacheControl: string;
  body?: Promise<Body>;
}

/**
 * Files are read when first asked for, then kept (packed) for the life of the process: what is sent and its entity tag
 * always belong together, even when somebody upgrades the files underneath. The list bounds the memory; the whole of
 * Converse with all its languages is 2 MB.
 */
export class StaticFiles {
  private readonly entries = new Map<string, Entry>();

  /** `file` is served as `name`; `cacheControl` goes out as it is. Throws when the type of file is unknown. */
  add(name: string, file: string, cacheControl: string): void {
    const kind = types[extname(name)];
    if (kind === undefined) throw new Error(`${name}: no media type is known for '${extname(name)}'`);
    this.entries.set(name, { file, cacheControl, ...kind });
  }

  get names(): IterableIterator<string> {
    return this.entries.keys();
  }

  /** The response to GET, or undefined when no file has this name. Rejects when the file cannot be read. */
  async respond(name: string, headers: Headers): Promise<Response | undefined> {
    const entry = this.entries.get(name);
    if (entry === undefined) return undefined;
    const body = await this.bodyOf(entry);
    const packed = body.packed && acceptsGzip(headers.get("accept-encoding"));
    const tag = `"${body.hash}${packed ? "-gzip" : ""}"`;
    const fields: Record<string, string> = { "cache-control": entry.cacheControl, etag: tag };
    if (body.packed) fields.vary = "accept-encoding";
    if (matchesTag(headers.get("if-none-match"), tag)) {
      return new Response(null, { status: 304, headers: fields });
    }
    const bytes = body.packed && !packed ? new Uint8Array(await expand(body.bytes)) : body.bytes;
    fields["content-type"] = entry.type;
    fields["content-length"] = String(bytes.length);
    if (packed) fields["content-encoding"] = "gzip";
    return new Response(bytes, { headers: fields });
  }

  /** Requests that arrive while a file is read share the reading; after a failure the next one tries again. */
  private bodyOf(entry: Entry): Promise<Body> {
    entry.body ??= readBody(entry).catch((cause: unknown) => {
      entry.body = undefined;
      throw cause;
    });
    return entry.body;
  }
}

async function readBody(entry: Entry): Promise<Body> {
  const plain = await readFile(entry.file);
  const hash = createHash("sha256").update(plain).digest("base64url").slice(0, 22);
  const packed = entry.text ? await compress(plain) : undefined;
  return packed !== undefined && packed.length < plain.length
    ? { bytes: new Uint8Array(packed), packed: true, hash }
    : { bytes: new Uint8Array(plain), packed: false, hash };
}
