/**
 * The HTTP half of XEP-0363: files are sent with PUT and read with GET. What people upload is nobody's business to trust: it
 * never becomes a page or a script here, whatever it says it is.
 */
import type { Upload, UploadOutcome, UploadService } from "../hooks/services.ts";
import { essenceOf, isMediaType } from "../util/media-type.ts";
import { percentDecoded, percentEncoded } from "../util/percent-encoding.ts";
import { byteRange } from "./byte-range.ts";
import { matchesTag } from "./content-coding.ts";
import { send } from "./send.ts";

/** Finds a file whichever host it is of. */
export type FindUpload = (token: string) => Promise<FoundUpload | undefined>;

export interface FoundUpload {
  readonly upload: Upload;
  readonly service: UploadService;
}

/** Any page may send and read files whose URLs it knows (section 8 of the XEP); nothing here depends on cookies. */
const open: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "content-length, content-range, etag",
  "cross-origin-resource-policy": "cross-origin",
};

const methods = "GET, HEAD, OPTIONS, PUT";

/** Should a file be opened as a page all the same, it can show itself, and nothing more. */
const filePolicy =
  "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/** Longest time a reader may keep a file without asking again, seconds. */
const maxAgeSeconds = 86_400;

/** Answers a request for `TOKEN/NAME` below the path of the handler; `rest` is that part of the URL, still encoded. */
export async function answerUpload(request: Request, rest: string, find: FindUpload): Promise<Response> {
  if (request.method === "OPTIONS") return preflight();
  if (request.method !== "GET" && request.method !== "HEAD" && request.method !== "PUT") {
    return plain(405, `Only ${methods}.`, { allow: methods });
  }
  const found = await findByPath(rest, find);
  if (found === undefined) return plain(404, "There is no such file.");
  return request.method === "PUT" ? receive(request, found) : serve(request, found);
}

function preflight(): Response {
  return new Response(null, {
    status: 204,
    headers: {
      ...open,
      "access-control-allow-methods": methods,
      "access-control-allow-headers": "authorization, content-type, range",
      "access-control-max-age": "7200",
    },
  });
}

/** Each file has one URL: its token, and its name as it was given. */
async function findByPath(rest: string, find: FindUpload): Promise<FoundUpload | undefined> {
  const match = /^([A-Za-z0-9_-]{4,100})\/([^/]{1,800})$/.exec(rest);
  if (match === null) return undefined;
  const name = percentDecoded(match[2]!);
  const found = name === undefined ? undefined : await find(match[1]!);
  return found?.upload.name === name ? found : undefined;
}

async function receive(request: Request, { upload, service }: FoundUpload): Promise<Response> {
  const length = request.headers.get("content-length");
  if (length === null || !/^\d+$/.test(length) || request.body === null) {
    return plain(411, "The length of the file must be said.");
  }
  // Section 6: MUST reject. What follows is counted as well.
  if (Number(length) !== upload.size) {
    return plain(Number(length) > upload.size ? 413 : 400, `The slot is for a file of ${upload.size} bytes.`);
  }
  const type = request.headers.get("content-type")?.trim() || undefined;
  if (type !== undefined && !isMediaType(type)) return plain(400, "That is no content type.");
  if (type !== undefined && upload.contentType !== undefined && essenceOf(type) !== essenceOf(upload.contentType)) {
    return plain(415, `The slot is for a file of the type ${essenceOf(upload.contentType)}.`);
  }
  const secret = new URL(request.url).searchParams.get("slot") ?? "";
  const outcome = await service.receive(upload, secret, type, request.body);
  const { status, text } = outcomes[outcome];
  return plain(status, text, status === 503 ? { "retry-after": "10" } : {});
}

const outcomes: Readonly<Record<UploadOutcome, { readonly status: number; readonly text: string }>> = {
  stored: { status: 201, text: "Stored." },
  forbidden: { status: 403, text: "That is not the URL of the slot." },
  closed: { status: 409, text: "The slot is used, or its time is over." },
  short: { status: 400, text: "The file was not as long as it was said to be." },
  busy: { status: 503, text: "Too many files are being uploaded." },
  "no space": { status: 507, text: "There is no space left." },
};

async function serve(request: Request, { upload, service }: FoundUpload): Promise<Response> {
  const content = await service.content(upload);
  if (typeof content === "string") {
    return new Response(null, { status: 302, headers: { ...open, location: content, "cache-control": "no-store" } });
  }
  const { size, storedAt } = upload;
  if (content === undefined || storedAt === undefined) return plain(404, "There is no such file.");
  const { headers } = request;
  const tag = `"${storedAt.toString(36)}-${size.toString(36)}"`;
  const modified = new Date(Math.floor(storedAt / 1000) * 1000);
  const fields: Record<string, string> = {
    ...open,
    "accept-ranges": "bytes",
    "cache-control": cacheControl(upload),
    "content-security-policy": filePolicy,
    etag: tag,
    "last-modified": modified.toUTCString(),
  };
  if (isUnchanged(headers, tag, modified)) return new Response(null, { status: 304, headers: fields });
  fields["content-type"] = servedType(upload.contentType);
  fields["content-disposition"] = disposition(upload);
  const range = rangeHolds(headers, tag, modified) ? byteRange(headers.get("range"), size) : undefined;
  if (range === "unsatisfiable") {
    return plain(416, "The file has no such bytes.", { "content-range": `bytes */${size}` });
  }
  if (range === undefined) {
    return new Response(content, { headers: { ...fields, "content-length": String(size) } });
  }
  const { from, to } = range;
  fields["content-range"] = `bytes ${from}-${to}/${size}`;
  fields["content-length"] = String(to - from + 1);
  return new Response(content.slice(from, to + 1), { status: 206, headers: fields });
}

/** RFC 9110 section 13.2.2: the tag decides where there is one. */
function isUnchanged(headers: Headers, tag: string, modified: Date): boolean {
  const tags = headers.get("if-none-match");
  if (tags !== null) return matchesTag(tags, tag);
  const since = Date.parse(headers.get("if-modified-since") ?? "");
  return since >= modified.getTime();
}

/** RFC 9110 section 13.1.5: a range of what the reader has the rest of, or everything. */
function rangeHolds(headers: Headers, tag: string, modified: Date): boolean {
  const condition = headers.get("if-range");
  if (condition === null) return true;
  return condition.startsWith('"') ? condition === tag : Date.parse(condition) === modified.getTime();
}

function cacheControl({ expiresAt, storedAt }: Upload): string {
  const kept = expiresAt === undefined ? maxAgeSeconds : Math.floor((expiresAt - storedAt!) / 1000);
  return `private, max-age=${Math.max(0, Math.min(maxAgeSeconds, kept))}`;
}

/** Formats that a browser shows and that contain nothing to run. */
const pictures = new Set(
  ["png", "jpeg", "gif", "webp", "avif", "bmp", "heic", "heif", "jxl"].map((type) => `image/${type}`),
);

const isPassive = (type: string): boolean => pictures.has(type) || /^(audio|video)\/[a-z0-9.+-]+$/.test(type);

/** Types whose name is no danger; scripts, styles, pages, and all of XML are not among them. */
const harmless =
  /^(text\/plain|application\/(pdf|zip|gzip|x-7z-compressed|x-tar|vnd\.[a-z0-9.-]+|msword|pgp-encrypted))$/;

/** The type a file is sent with; "nosniff" makes browsers believe it. */
export function servedType(contentType: string | undefined): string {
  if (contentType === undefined) return octets;
  const type = essenceOf(contentType);
  if (type === "text/plain") return "text/plain; charset=utf-8";
  return isPassive(type) || harmless.test(type) ? type : octets;
}

const octets = "application/octet-stream";

/** RFC 6266: the name in ASCII for old clients, then as it is. */
export function disposition({ name, contentType }: Pick<Upload, "name" | "contentType">): string {
  const kind = contentType !== undefined && isPassive(essenceOf(contentType)) ? "inline" : "attachment";
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  return `${kind}; filename="${ascii}"; filename*=UTF-8''${percentEncoded(name)}`;
}

function plain(status: number, body: string, headers: Record<string, string> = {}): Response {
  return send(status, "text/plain; charset=utf-8", `${body}\n`, { ...open, ...headers });
}
