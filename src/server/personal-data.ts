/** Everything that is kept of an account as a ZIP file of CSV tables, written row by row: the size of an archive does not matter. */
import { open, rm } from "node:fs/promises";
import { makeZip } from "client-zip";
import { AdminError, type ExportReport } from "../admin/command.ts";
import type { PersonalData } from "../hooks/points.ts";
import type { Host } from "../router/host.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Accounts } from "../store/accounts.ts";
import type { Clock } from "../util/clock.ts";
import { systemReason } from "../util/system-reason.ts";

export interface ExportParts {
  readonly hosts: ReadonlyMap<string, Host>;
  readonly accounts: Accounts;
  /** Resolves when what any node took in before is in the database. */
  readonly written: () => Promise<unknown>;
  readonly clock: Clock;
}

/** Characters of a table that are put together before they are written. */
const chunkChars = 32 * 1024;

/** Throws `AdminError` when the file is there already or cannot be written; then no file is left. */
export async function exportPersonalData(
  parts: ExportParts,
  account: Jid,
  filename: string,
  progress: (rows: number) => void,
): Promise<ExportReport> {
  // What was sent a moment ago is part of it.
  await parts.written();
  const tables = await tablesOf(parts, account);
  const rows: Record<string, number> = {};
  let total = 0;
  async function* csvOf(table: PersonalData): AsyncGenerator<Uint8Array> {
    const encoder = new TextEncoder();
    let text = csvLine(table.columns);
    for await (const row of table.rows()) {
      text += csvLine(row);
      rows[table.name]!++;
      total++;
      if (text.length < chunkChars) continue;
      yield encoder.encode(text);
      progress(total);
      text = "";
    }
    yield encoder.encode(text);
  }
  async function* files() {
    const lastModified = new Date(parts.clock.now());
    for (const table of tables) {
      rows[table.name] = 0;
      yield { name: `${table.name}.csv`, lastModified, input: csvOf(table) };
      progress(total);
    }
  }
  await writeNew(filename, makeZip(files()));
  return { rows };
}

/** By name: what the account is, what its host's modules keep, and what services of other hosts do. */
async function tablesOf({ hosts, accounts }: ExportParts, account: Jid): Promise<PersonalData[]> {
  const tables: PersonalData[] = [accountTable(accounts, account)];
  const own = (await hosts.get(account.domain)!.registry.askAll("personalData", account)).flat();
  tables.push(...own);
  /** Tables that tell of all hosts are needed once. */
  const told = new Set(own.filter(({ everyHost }) => everyHost).map(({ name }) => name));
  for (const host of hosts.values()) {
    if (host.domain === account.domain) continue;
    const guests = (await host.registry.askAll("guestData", account)).flat().filter(({ name }) => !told.has(name));
    for (const { everyHost, name } of guests) if (everyHost) told.add(name);
    tables.push(
      ...guests.map((table) => ({ ...table, name: `${table.name} (${host.domain})`, rows: () => table.rows() })),
    );
  }
  const names = new Set(tables.map(({ name }) => name));
  if (names.size !== tables.length) throw new Error("two modules have a table of personal data of one name");
  return tables.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Keys and passwords stay where they are. */
function accountTable(accounts: Accounts, account: Jid): PersonalData {
  return {
    name: "account",
    columns: ["username", "domain", "created_at"],
    async *rows() {
      const createdAt = await accounts.createdAt(account.domain, account.local);
      if (createdAt !== undefined) yield [account.local, account.domain, new Date(createdAt).toISOString()];
    },
  };
}

/** RFC 4180. Every text is quoted, so that an empty one is not nothing. */
function csvLine(values: readonly (string | number | null)[]): string {
  let line = "";
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (at > 0) line += ",";
    if (typeof value === "string") line += `"${value.replaceAll('"', '""')}"`;
    else if (value !== null) line += String(value);
  }
  return `${line}\r\n`;
}

async function writeNew(filename: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const failed = (error: unknown): AdminError =>
    new AdminError("file_error", `${filename} cannot be written: ${systemReason(error)}`);
  // Only its owner may read it, and nothing that is there is overwritten.
  const file = await open(filename, "wx", 0o600).catch((error: unknown) => {
    throw failed(error);
  });
  let whole = false;
  try {
    for await (const chunk of content) {
      for (let at = 0; at < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, at).catch((error: unknown) => {
          throw failed(error);
        });
        at += bytesWritten;
      }
    }
    whole = true;
  } finally {
    await file.close();
    if (!whole) await rm(filename, { force: true });
  }
}
