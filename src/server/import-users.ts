/** Making many accounts from a CSV file: `username,domain,password` a line, hashed on all cores, written in batches. */
import type { ImportReport } from "../admin/command.ts";
import { formatCredentials, parseCredentials, type ScramHash } from "../auth/credentials.ts";
import { type HashingRequest, hashMany } from "../auth/password-hashing.ts";
import { parseJid } from "../stanza/jid.ts";
import type { Accounts, NewAccount } from "../store/accounts.ts";
import type { Randomness } from "../util/random.ts";
import type { IncompleteAccount } from "./complete-keys.ts";

/**
 * RFC 7677 section 4's minimum; more would take minutes for 100,000. For the same reason the import waits for the keys of
 * one hash only; the others are made afterwards, see `KeyCompletion`.
 */
export const importIterations = 4096;
/** Which one, in this order of preference: all that use it cost the same, and most clients know the first. */
const firstHashes: readonly ScramHash[] = ["sha256", "sha1", "sha512", "sha384", "sha224"];
/** Records named in the report, of each kind. */
const reportedMax = 1000;
const batch = 500;

export interface ImportParts {
  readonly accounts: Accounts;
  readonly random: Randomness;
  readonly parallel: number;
  /** The hashes configured for a host of ours; undefined for a domain that is none. */
  hashesOf(domain: string): readonly ScramHash[] | undefined;
  /** An account was made whose other keys are still to come. */
  incomplete(account: IncompleteAccount): void;
}

interface Candidate {
  readonly domain: string;
  readonly username: string;
  readonly secret: string;
  readonly firstHash: ScramHash;
}

interface Imported extends NewAccount {
  /** Undefined where the record brought its keys along. */
  readonly password: string | undefined;
}

/** Reads, hashes and writes, all at once and in bounded memory. Accounts that exist stay as they are. */
export async function importUsers(
  parts: ImportParts,
  lines: AsyncIterable<string>,
  progress: (done: number) => void,
): Promise<ImportReport> {
  const report = { existing: [], notAllowed: [], invalidJID: [], emptyPassword: [], invalidRecord: [] } as Record<
    "existing" | "notAllowed" | "invalidJID" | "emptyPassword" | "invalidRecord",
    string[]
  >;
  let created = 0;
  let done = 0;
  const note = (kind: keyof typeof report, text: string): void => {
    if (report[kind].length < reportedMax) report[kind].push(text);
  };
  const write = async (accounts: Imported[]): Promise<void> => {
    const existing = new Set(await parts.accounts.importMany(accounts));
    created += accounts.length - existing.size;
    for (const account of accounts) {
      if (existing.has(account)) note("existing", `${account.username}@${account.domain}`);
      else if (account.password !== undefined) parts.incomplete({ ...account, password: account.password });
    }
    done += accounts.length;
    progress(done);
  };

  const queue: Candidate[] = [];
  async function* passwords(): AsyncGenerator<HashingRequest> {
    for await (const line of lines) {
      const candidate = readRecord(line, parts, note);
      if (candidate === undefined) continue;
      queue.push(candidate);
      // A record that brings its keys along needs no hashing, but has to keep its place.
      const ready = parseCredentials(candidate.secret) !== undefined;
      yield ready ? { password: "-", hashes: [] } : { password: candidate.secret, hashes: [candidate.firstHash] };
    }
  }
  let accounts: Imported[] = [];
  const options = {
    iterations: importIterations,
    randomness: parts.random,
    parallel: parts.parallel,
  };
  for await (const credentials of hashMany(passwords(), options)) {
    const { domain, username, secret } = queue.shift()!;
    const brought = parseCredentials(secret);
    const keys = brought ?? credentials;
    if (keys === undefined) {
      note("emptyPassword", `${username}@${domain}`);
      continue;
    }
    const password = brought === undefined ? secret : undefined;
    accounts.push({ domain, username, passDetails: formatCredentials(keys), password });
    if (accounts.length < batch) continue;
    await write(accounts);
    accounts = [];
  }
  if (accounts.length > 0) await write(accounts);
  return { status: "Completed", created, ...report };
}

function readRecord(
  line: string,
  parts: ImportParts,
  note: (kind: "notAllowed" | "invalidJID" | "emptyPassword" | "invalidRecord", text: string) => void,
): Candidate | undefined {
  if (line.trim() === "") return undefined;
  const fields = splitRecord(line);
  if (fields === undefined || fields.length !== 3) {
    note("invalidRecord", line.slice(0, 40).split(",")[0] ?? "");
    return undefined;
  }
  const [username, domain, secret] = fields as [string, string, string];
  const jid = parseJid(`${username}@${domain}`);
  if (jid === undefined || jid.local === "" || jid.resource !== "")
    note("invalidJID", `${username}@${domain}`.slice(0, 200));
  else {
    const hashes = parts.hashesOf(jid.domain);
    const firstHash = firstHashes.find((hash) => hashes?.includes(hash));
    if (firstHash === undefined) note("notAllowed", jid.full);
    else if (secret === "") note("emptyPassword", jid.full);
    else return { domain: jid.domain, username: jid.local, secret, firstHash };
  }
  return undefined;
}

/** One line of RFC 4180 CSV: fields with commas or quotes stand in double quotes, where a quote is doubled. */
export function splitRecord(line: string): string[] | undefined {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === '"') {
      let field = "";
      let from = at + 1;
      for (;;) {
        const quote = line.indexOf('"', from);
        if (quote < 0) return undefined;
        field += line.slice(from, quote);
        at = quote + 1;
        if (line[at] !== '"') break;
        field += '"';
        from = at + 1;
      }
      if (at < line.length && line[at] !== ",") return undefined;
      fields.push(field);
    } else {
      const comma = line.indexOf(",", at);
      // A record of MULTI_SCRAM keys holds commas itself and is the last field.
      const end = comma < 0 || fields.length === 2 ? line.length : comma;
      fields.push(line.slice(at, end));
      at = end;
    }
    if (at >= line.length) return fields;
    at++;
  }
}
