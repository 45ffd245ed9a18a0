/** The client's side of SASL PLAIN and SCRAM. Salted passwords are kept, so that repeated logins cost the load little. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

export const mechanisms = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] as const;
export type Mechanism = (typeof mechanisms)[number];

/** By all that goes into it; accounts that were copied from one share their salt. */
const saltedPasswords = new Map<string, Buffer>();

function saltedPassword(hash: string, password: string, salt: string, iterations: number): Buffer {
  const key = `${hash} ${iterations} ${salt} ${password}`;
  let salted = saltedPasswords.get(key);
  if (salted === undefined) {
    salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), iterations, hash === "sha1" ? 20 : 32, hash);
    saltedPasswords.set(key, salted);
  }
  return salted;
}

/** RFC 5802, without channel binding. */
export class ScramLogin {
  readonly #hash: string;
  readonly #password: string;
  readonly #firstBare: string;
  readonly #nonce: string;
  #serverSignature = "";

  constructor(mechanism: Mechanism, user: string, password: string) {
    this.#hash = mechanism === "SCRAM-SHA-1" ? "sha1" : "sha256";
    this.#password = password;
    this.#nonce = randomBytes(18).toString("base64");
    this.#firstBare = `n=${user},r=${this.#nonce}`;
  }

  first(): string {
    return `n,,${this.#firstBare}`;
  }

  /** The answer to the server's first message. Throws if that is not one. */
  final(serverFirst: string): string {
    const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? [];
    if (nonce === undefined || !nonce.startsWith(this.#nonce)) throw new Error(`bad SCRAM challenge: ${serverFirst}`);
    const salted = saltedPassword(this.#hash, this.#password, salt!, Number(iterations));
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
