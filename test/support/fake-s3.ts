/**
 * A bucket with the protocol of S3, in memory, that checks each signature from scratch: the canonical request is built here out of the
 * bytes of the request line and headers, with node:crypto (AWS Signature Version 4, query parameters).
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export const bucketKeys = { region: "eu-test-1", accessKeyId: "TESTKEY", secretAccessKey: "testsecret/+=" };

export interface StoredObject {
  readonly content: Buffer;
  readonly type: string | undefined;
  readonly publicRead: boolean;
}

export class FakeS3 {
  /** By path, as it was sent. */
  readonly objects = new Map<string, StoredObject>();
  /** Method and path of each request. */
  readonly requests: string[] = [];
  /** Answers everything with 503. */
  broken = false;
  readonly #server: Server;
  readonly #now: () => number;

  private constructor(now: () => number) {
    this.#now = now;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(now: () => number): Promise<FakeS3> {
    const bucket = new FakeS3(now);
    await new Promise<void>((resolve) => bucket.#server.listen(0, "127.0.0.1", resolve));
    return bucket;
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address!.port : 0}/bucket`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "", query = ""] = request.url!.split("?", 2);
    this.requests.push(`${request.method} ${path}`);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const say = (status: number, body: Buffer | string = "", headers: Record<string, string> = {}) =>
      response.writeHead(status, headers).end(request.method === "HEAD" ? undefined : body);
    if (this.broken) return void say(503);
    const parameters = new Map(query.split("&").map((pair) => pair.split("=", 2) as [string, string]));
    const object = this.objects.get(path);
    if (parameters.has("X-Amz-Signature")) {
      const wrong = this.#wrongSignature(request, path, parameters);
      if (wrong !== undefined) return void say(403, wrong);
    } else if (request.method !== "GET" || object?.publicRead !== true) return void say(403, "not public");
    switch (request.method) {
      case "PUT": {
        const publicRead = parameters.get("x-amz-acl") === "public-read";
        this.objects.set(path, { content: Buffer.concat(chunks), type: request.headers["content-type"], publicRead });
        return void say(200);
      }
      case "DELETE":
        this.objects.delete(path);
        return void say(204);
      case "GET":
      case "HEAD":
        return object === undefined
          ? void say(404)
          : void say(200, object.content, { "content-type": object.type ?? "" });
      default:
        return void say(405);
    }
  }

  #wrongSignature(request: IncomingMessage, path: string, parameters: Map<string, string>): string | undefined {
    const text = (name: string) => decodeURIComponent(parameters.get(name) ?? "");
    const [key, day, region, service, end] = text("X-Amz-Credential").split("/");
    const scope = [day, region, service, end].join("/");
    if (key !== bucketKeys.accessKeyId || scope !== `${day}/${bucketKeys.region}/s3/aws4_request`) return "scope";
    if (text("X-Amz-Algorithm") !== "AWS4-HMAC-SHA256") return "algorithm";
    const date = text("X-Amz-Date");
    const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
    const now = this.#now();
    if (!(at <= now + 1_000) || now > at + Number(text("X-Amz-Expires")) * 1000) return "expired";
    if (Number(text("X-Amz-Expires")) > 604_800) return "too long";
    const names = text("X-Amz-SignedHeaders").split(";");
    if (!names.includes("host")) return "host is not signed";
    const headers = names.map((name) => `${name}:${String(request.headers[name] ?? "").trim()}\n`).join("");
    const query = [...parameters]
      .filter(([name]) => name !== "X-Amz-Signature")
      .map(([name, value]) => `${name}=${value}`)
      .sort()
      .join("&");
    const canonical = [request.method, path, query, headers, names.join(";"), "UNSIGNED-PAYLOAD"].join("\n");
    const toSign = ["AWS4-HMAC-SHA256", date, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
    let secret: Buffer = Buffer.from(`AWS4${bucketKeys.secretAccessKey}`);
    for (const part of [day!, region!, "s3", "aws4_request", toSign])
      secret = createHmac("sha256", secret).update(part).digest();
    const given = Buffer.from(text("X-Amz-Signature"), "hex");
    return given.length === secret.length && timingSafeEqual(given, secret) ? undefined : "signature";
  }
}
