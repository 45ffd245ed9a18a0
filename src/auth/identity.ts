/** Who a SASL message says it is (RFC 6120 section 6.3.8), and the made-up keys of those who do not exist. */
import { createHmac } from "node:crypto";
import { parseJid } from "../stanza/jid.ts";
import { prepareLocal } from "../stanza/precis.ts";
import { keyBytes, type ScramHash, type ScramKeys } from "./credentials.ts";
import type { Decoys } from "./exchange.ts";
import { saltBytes } from "./password-hashing.ts";

/** What can be no name is kept so far, for the log and the throttle; a name has at most 1,023 bytes. */
const strangeNameUnitsMax = 64;

/** Whether this authorization identity is absent or names the very account that logs in, as `local@domain`. */
export function authzidFits(authzid: string, username: string, domain: string): boolean {
  return authzid === "" || parseJid(authzid)?.full === `${username}@${domain}`;
}

/**
 * The localpart of an authentication identity. A text that can be none still goes the whole way of an unknown account: `known` is
 * false and nothing is looked up.
 */
export function localOf(text: string): { username: string; known: boolean } {
  const username = prepareLocal(text);
  return username === undefined
    ? { username: text.slice(0, strangeNameUnitsMax), known: false }
    : { username, known: true };
}

/** Keys no password fits, the same for the same name every time. */
export function decoyKeys(username: string, domain: string, hash: ScramHash, decoys: Decoys): ScramKeys {
  const material = (purpose: string) =>
    createHmac("sha512", decoys.secret).update(`${purpose}\0${hash}\0${username}\0${domain}`).digest();
  // The count is the account's, not the hash's, as with real accounts, and as frequent: a rare one would tell.
  const place = createHmac("sha512", decoys.secret)
    .update(`iterations\0${username}\0${domain}`)
    .digest()
    .readUInt32BE(0);
  const share = decoys.iterations.find(({ upTo }) => place < upTo * 2 ** 32) ?? decoys.iterations.at(-1)!;
  return {
    salt: material("salt").subarray(0, saltBytes),
    iterations: share.iterations,
    storedKey: material("stored").subarray(0, keyBytes[hash]),
    serverKey: material("server").subarray(0, keyBytes[hash]),
  };
}
