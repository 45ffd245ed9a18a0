/** Files in a bucket of S3, which clients reach themselves by URLs that we sign (AWS Signature Version 4). */
import { AwsV4Signer } from "aws4fetch";
import { percentEncoded } from "../../util/percent-encoding.ts";
import type { UploadOptions } from "./options.ts";

export type S3Options = NonNullable<UploadOptions["s3"]>;

const requestMs = 10_000;
/** A URL for one request of our own; clocks may differ a little. */
const ownSeconds = 300;

export interface S3File {
  readonly token: string;
  readonly name: string;
}

export class S3Storage {
  readonly #options: S3Options;
  readonly #base: string;
  readonly #now: () => number;

  constructor(options: S3Options, now: () => number) {
    this.#options = options;
    this.#base = options.bucketUrl.replace(/\/+$/, "");
    this.#now = now;
  }

  get origin(): string {
    return new URL(this.#base).origin;
  }

  /** For files that everybody may read. */
  publicUrl({ token, name }: S3File): string {
    return `${this.#base}/${token}/${percentEncoded(name)}`;
  }

  /**
   * The client must send exactly this length and type, for they are signed; the bucket refuses anything else. XEP-0363 section 5 has no
   * way to tell a client of further headers, so the access control list is in the query.
   */
  putUrl(file: S3File, size: number, contentType: string | undefined, seconds: number): Promise<string> {
    const headers: Record<string, string> = { "content-length": String(size) };
    if (contentType !== undefined) headers["content-type"] = contentType;
    const query: Record<string, string> = this.#options.addAcl ? { "x-amz-acl": "public-read" } : {};
    return this.#sign("PUT", file, seconds, headers, query);
  }

  readUrl(file: S3File, seconds: number): Promise<string> {
    return this.#sign("GET", file, seconds);
  }

  /** Whether the bucket has it. Throws when the bucket does not answer as it should. */
  async exists(file: S3File): Promise<boolean> {
    const { status } = await this.#request("HEAD", file);
    if (status === 404) return false;
    if (status !== 200) throw new Error(`the bucket answered HEAD with ${status}`);
    return true;
  }

  /** S3 answers 204 whether it was there or not. */
  async remove(file: S3File): Promise<void> {
    const { status } = await this.#request("DELETE", file);
    if (status !== 204 && status !== 200 && status !== 404)
      throw new Error(`the bucket answered DELETE with ${status}`);
  }

  async #request(method: string, file: S3File): Promise<Response> {
    const url = await this.#sign(method, file, ownSeconds);
    const response = await fetch(url, { method, signal: AbortSignal.timeout(requestMs), redirect: "error" });
    await response.body?.cancel();
    return response;
  }

  #sign(
    method: string,
    file: S3File,
    seconds: number,
    headers: Record<string, string> = {},
    query: Record<string, string> = {},
  ): Promise<string> {
    const url = new URL(this.publicUrl(file));
    for (const name in query) url.searchParams.set(name, query[name]!);
    return signedUrl(this.#options, method, url, headers, seconds, this.#now());
  }
}

/** A URL with which somebody else may do this, with exactly these headers, for so many seconds from `now` (milliseconds) on. */
export async function signedUrl(
  { region, accessKeyId, secretAccessKey }: Pick<S3Options, "region" | "accessKeyId" | "secretAccessKey">,
  method: string,
  url: URL,
  headers: Record<string, string>,
  seconds: number,
  now: number,
): Promise<string> {
  const asked = new URL(url);
  asked.searchParams.set("X-Amz-Expires", String(Math.max(1, Math.floor(seconds))));
  const signer = new AwsV4Signer({
    ...{ method, url: asked.href, headers, region, accessKeyId, secretAccessKey },
    service: "s3",
    signQuery: true,
    allHeaders: true,
    datetime: new Date(now).toISOString().replace(/[:-]|\.\d{3}/g, ""),
  });
  return (await signer.sign()).url.href;
}
