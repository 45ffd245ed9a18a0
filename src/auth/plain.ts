/** RFC 4616: PLAIN, checked against SCRAM keys. */
import { timingSafeEqual } from "node:crypto";
import type { Credentials, ScramHash } from "./credentials.ts";
import { decodeMessage, failure, malformed, type SaslContext, type SaslExchange, type SaslStep } from "./exchange.ts";
import { authzidFits, decoyKeys, localOf } from "./identity.ts";
import { HashingOverload } from "./password-hashing.ts";
import { saslprep } from "./saslprep.ts";

/** The cheapest to check first: any one key proves the password. */
const checkOrder: readonly ScramHash[] = ["sha256", "sha1", "sha224", "sha384", "sha512"];

export class PlainExchange implements SaslExchange {
  private readonly context: SaslContext;
  private answered = false;

  constructor(context: SaslContext) {
    this.context = context;
  }

  start(initial: Uint8Array | undefined): SaslStep | Promise<SaslStep> {
    return initial === undefined ? { challenge: new Uint8Array(0) } : this.next(initial);
  }

  next(response: Uint8Array): SaslStep | Promise<SaslStep> {
    if (this.answered) return malformed("nothing was asked");
    this.answered = true;
    const text = decodeMessage(response);
    if (text === undefined) return malformed("not UTF-8, or too long");
    const parts = text.split("\0");
    const [authzid, authcid, password] = parts;
    if (parts.length !== 3 || authzid === undefined || !authcid || !password) {
      return malformed("PLAIN is authzid NUL authcid NUL password");
    }
    return this.check(authzid, authcid, password);
  }

  private async check(authzid: string, authcid: string, passwordText: string): Promise<SaslStep> {
    const { accounts, domain, decoys, hasher } = this.context;
    const { username, known } = localOf(authcid);
    if (!authzidFits(authzid, username, domain)) return failure("invalid-authzid", undefined, username);
    const password = saslprep(passwordText);
    if ((await this.context.heard?.(username)) === false) return failure("aborted");
    if (password === undefined) return failure("not-authorized", undefined, username);

    const credentials: Credentials = (known ? await accounts.credentials(username, domain) : undefined) ?? {};
    const own = checkOrder.find((candidate) => credentials[candidate] !== undefined);
    // Nobody there: the same work all the same, or the time would tell.
    const hash = own ?? checkOrder.find((candidate) => decoys.hashes.includes(candidate)) ?? "sha256";
    const keys = (own && credentials[own]) ?? decoyKeys(username, domain, hash, decoys);
    try {
      const derived = await hasher.derive(password, keys.salt, keys.iterations, hash);
      if (!timingSafeEqual(derived.storedKey, keys.storedKey) || own === undefined) {
        return failure("not-authorized", undefined, username);
      }
    } catch (error) {
      if (error instanceof HashingOverload) return failure("temporary-auth-failure", error.message, username);
      throw error;
    }
    accounts.passwordVerified?.(username, domain, password, credentials);
    return { success: { username, mechanism: "PLAIN" } };
  }
}
