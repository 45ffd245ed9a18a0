/** A response whose whole text is known, so that HEAD tells its length as GET does (RFC 9110 section 8.6). */
import { Buffer } from "node:buffer";

/** `type` is the media type, `headers` go out beside it. */
export function send(status: number, type: string, body: string, headers: Record<string, string> = {}): Response {
  const length = String(Buffer.byteLength(body));
  return new Response(body, { status, headers: { "content-type": type, "content-length": length, ...headers } });
}
