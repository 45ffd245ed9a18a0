/** The client's side of SASL PLAIN and SCRAM. Salted passwords are kept, so that repeated logins cost the load little. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

export const mechanisms = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] as const;
export type Mechanism = (typeof mechanisms)[number];

/** One account's part in logins; used again and again. */
export class Credentials {
  readonly user: string;
  readonly password: string;
  #salted: { key: string; password: Buffer } | undefined;

  constructor(user: string, password: string) {
    this.user = user;
    this.password = password;
  }

  salted(hash: string, salt: string, iterations: number): Buffer {
    const key = `${hash} ${salt} ${iterations}`;
    if (this.#salted?.key !== key) {
      const length = hash === "sha1" ? 20 : 32;
      const password = pbkdf2Sync(this.password, Buffer.from(salt, "base64"), iterations, length, hash);
      this.#salted = { key, password };
    }
    return this.#salted.password;
  }
}

/** RFC 5802, without channel binding. */
export class ScramLogin {
  readonly #hash: string;
  readonly #credentials: Credentials;
  readonly #firstBare: string;
  readonly #nonce: string;
  #serverSignature = "";

  constructor(mechanism: Mechanism, credentials: Credentials) {
    this.#hash = mechanism === "SCRAM-SHA-1" ? "sha1" : "sha256";
    this.#credentials = credentials;
    this.#nonce = randomBytes(18).toString("base64");
    this.#firstBare = `n=${credentials.user},r=${this.#nonce}`;
  }

  first(): string {
    return `n,,${this.#firstBare}`;
  }

  /** The answer to the server's first message. Throws if that is not one. */
  final(serverFirst: string): string {
    const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? [];
    if (nonce === undefined || !nonce.startsWith(this.#nonce)) throw new Error(`bad SCRAM challenge: ${serverFirst}`);
    const salted = this.#credentials.salted(this.#hash, salt!, Number(iterations));
    const clientKey = this.#hmac(salted, "Client Key");
    const storedKey = createHash(this.#hash).update(clientKey).digest();
    const withoutProof = `c=biws,r=${nonce}`;
    const authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const proof = this.#hmac(storedKey, authMessage);
    for (let at = 0; at < proof.length; at++) proof[at]! ^= clientKey[at]!;
    this.#serverSignature = this.#hmac(this.#hmac(salted, "Server Key"), authMessage).toString("base64");
    return `${withoutProof},p=${proof.toString("base64")}`;
  }

  /** Whether the server has shown that it knows the password too. */
  accepts(serverFinal: string): boolean {
    return serverFinal === `v=${this.#serverSignature}` && this.#serverSignature !== "";
  }

  #hmac(key: Buffer, data: string): Buffer {
    return createHmac(this.#hash, key).update(data).digest();
  }
}
