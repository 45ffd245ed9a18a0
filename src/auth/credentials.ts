/** What is stored of a password: SCRAM keys per hash (RFC 5802 section 3), and their text form, which MongooseIM reads and writes too. */

/** The hash of a SCRAM mechanism, under the name node:crypto gives it. */
export type ScramHash = "sha1" | "sha224" | "sha256" | "sha384" | "sha512";

/** Every hash there is a mechanism for, weakest first: the order of the text form. */
export const scramHashes: readonly ScramHash[] = ["sha1", "sha224", "sha256", "sha384", "sha512"];

/** The length of a key, in bytes. */
export const keyBytes: Readonly<Record<ScramHash, number>> = {
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** What a login is checked against. The password cannot be had from it, and neither key lets its reader log in. */
export interface ScramKeys {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** The keys of one account, by hash. An account may lack some hashes (imported, or stored by an older configuration). */
export type Credentials = Readonly<Partial<Record<ScramHash, ScramKeys>>>;

/** More iterations than this in a stored record are an error or an attack on our processor. */
export const iterationsMax = 10_000_000;

const multiPrefix = "==MULTI_SCRAM==,";
const singlePrefix = "==SCRAM==,";
const label: Readonly<Record<ScramHash, string>> = {
  sha1: "===SHA1===",
  sha224: "==SHA224==",
  sha256: "==SHA256==",
  sha384: "==SHA384==",
  sha512: "==SHA512==",
};

/**
 * The text form `==MULTI_SCRAM==,iterations,===SHA1===salt|stored|server,…`.
 * @throws RangeError when there are no keys, or the hashes differ in their iterations: the form has one count for all.
 */
export function formatCredentials(credentials: Credentials): string {
  let iterations: number | undefined;
  let text = "";
  for (const hash of scramHashes) {
    const keys = credentials[hash];
    if (keys === undefined) continue;
    iterations ??= keys.iterations;
    if (iterations !== keys.iterations) throw new RangeError("the hashes of an account have one iteration count");
    text += `,${label[hash]}${base64(keys.salt)}|${base64(keys.storedKey)}|${base64(keys.serverKey)}`;
  }
  if (iterations === undefined) throw new RangeError("credentials without any key");
  return `${multiPrefix}${iterations}${text}`;
}

/**
 * Reads the text form, and the older `==SCRAM==,stored,server,salt,iterations` of SHA-1 alone. Undefined when it is neither. With `only`
 * keys of other hashes are left out unread.
 */
export function parseCredentials(text: string, only?: ScramHash): Credentials | undefined {
  if (text.startsWith(multiPrefix)) return parseMulti(text.slice(multiPrefix.length).split(","), only);
  if (!text.startsWith(singlePrefix)) return undefined;
  const [stored, server, salt, count, ...rest] = text.slice(singlePrefix.length).split(",");
  if (stored === undefined || server === undefined || salt === undefined || rest.length > 0) return undefined;
  const keys = makeKeys("sha1", salt, stored, server, parseCount(count));
  return keys && { sha1: keys };
}

/** The iteration count of stored credentials; undefined when they are unreadable. */
export function iterationsOf(text: string): number | undefined {
  const credentials = parseCredentials(text);
  return credentials && Object.values(credentials)[0]?.iterations;
}

function parseMulti(fields: string[], only: ScramHash | undefined): Credentials | undefined {
  const iterations = parseCount(fields[0]);
  if (fields.length < 2) return undefined;
  const credentials: Partial<Record<ScramHash, ScramKeys>> = {};
  for (let index = 1; index < fields.length; index++) {
    const field = fields[index] as string;
    const hash = scramHashes.find((candidate) => field.startsWith(label[candidate]));
    if (hash === undefined || credentials[hash] !== undefined) return undefined;
    if (only !== undefined && hash !== only) continue;
    const [salt, stored, server, ...rest] = field.slice(label[hash].length).split("|");
    if (salt === undefined || stored === undefined || server === undefined || rest.length > 0) return undefined;
    const keys = makeKeys(hash, salt, stored, server, iterations);
    if (keys === undefined) return undefined;
    credentials[hash] = keys;
  }
  return credentials;
}

function makeKeys(
  hash: ScramHash,
  saltText: string,
  storedText: string,
  serverText: string,
  iterations: number | undefined,
): ScramKeys | undefined {
  const salt = decodeBase64(saltText);
  const storedKey = decodeBase64(storedText);
  const serverKey = decodeBase64(serverText);
  if (iterations === undefined || salt === undefined || salt.length === 0) return undefined;
  if (storedKey?.length !== keyBytes[hash] || serverKey?.length !== keyBytes[hash]) return undefined;
  return { salt, iterations, storedKey, serverKey };
}

function parseCount(text: string | undefined): number | undefined {
  if (text === undefined || !/^[1-9][0-9]{0,8}$/.test(text)) return undefined;
  const count = Number(text);
  return count <= iterationsMax ? count : undefined;
}

/** Base64 with padding, RFC 4648 section 4. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** Strict base64: undefined for anything that its own encoding would not give back. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}
