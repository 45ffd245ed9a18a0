/** Encrypted connections to database servers, with a certificate made for the test and servers started for it. */

import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { StoreUnavailable } from "../../../src/store/errors.ts";
import type { StoreTlsSettings } from "../../../src/store/settings.ts";
import { eachDatabase, openTestStore, type ServerPem } from "../../support/databases.ts";

const openssl = spawnSync("openssl", ["version"]);

await eachDatabase(describe, (database) => {
  if (database.dialect === "sqlite") return;

  test.skipIf(openssl.status !== 0 || !database.startable)(
    "is checked against the trusted authority and name, and refused otherwise",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "meerkat-tls-"));
      try {
        const settings = await database.startWithTls(makeCertificates(folder, "db.example"));
        const caFile = join(folder, "ca.pem");

        const encrypted = async (tls: StoreTlsSettings): Promise<boolean> => {
          const store = await openTestStore({ ...settings, tls });
          try {
            return await isEncrypted(store.db);
          } finally {
            await store.close();
          }
        };
        const refused = async (tls: StoreTlsSettings): Promise<string> => {
          const error = await encrypted(tls).catch((thrown: unknown) => thrown);
          expect(error).toBeInstanceOf(StoreUnavailable);
          return (error as Error).message;
        };
        expect(await encrypted({ required: true, verify: "none" })).toBe(true);
        expect(await encrypted({ required: false, verify: "none" })).toBe(true);
        expect(await encrypted({ required: true, verify: "peer", caFile, serverName: "db.example" })).toBe(true);
        expect(await refused({ required: true, verify: "peer", caFile, serverName: "other.example" })).toContain(
          "altnames",
        );
        expect(await refused({ required: true, verify: "peer", caFile })).toContain("altnames"); // 127.0.0.1
        expect(await refused({ required: true, verify: "peer", serverName: "db.example" })).toContain("certificate");
        expect(await refused({ required: true, verify: "none", caFile: join(folder, "none.pem") })).toContain(
          "none.pem",
        );
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    60_000,
  );

  test("falls back to clear text only where the settings allow it", async () => {
    const fresh = await database.fresh();
    try {
      const store = await openTestStore({
        ...fresh.settings,
        tls: { required: false, verify: "none" },
      } as typeof fresh.settings);
      const spoken = await isEncrypted(store.db);
      await store.close();
      const strict = { ...fresh.settings, tls: { required: true, verify: "none" } } as typeof fresh.settings;
      if (spoken) {
        await (await openTestStore(strict)).close();
      } else {
        expect(await openTestStore(strict).catch((error: unknown) => error)).toBeInstanceOf(StoreUnavailable);
      }
    } finally {
      await fresh.drop();
    }
  });

  async function isEncrypted(db: Awaited<ReturnType<typeof openTestStore>>["db"]): Promise<boolean> {
    if (database.dialect === "postgres") {
      const { rows } = await sql<{ ssl: boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(
        db,
      );
      return rows[0]?.ssl === true;
    }
    const { rows } = await sql<{ Value: string }>`show status like 'Ssl_cipher'`.execute(db);
    return (rows[0]?.Value ?? "") !== "";
  }
});

/** An authority and a certificate it signed for `name`, left in `folder` as ca.pem, cert.pem and key.pem. */
function makeCertificates(folder: string, name: string): ServerPem {
  const run = (...options: string[]) => {
    const { status, stderr } = spawnSync("openssl", options, { cwd: folder });
    if (status !== 0) throw new Error(`openssl ${options[0]}: ${stderr}`);
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  run("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test authority");
  run("req", ...newKey, "-keyout", "key.pem", "-out", "cert.csr", "-subj", `/CN=${name}`);
  writeFileSync(join(folder, "names"), `subjectAltName=DNS:${name}`);
  const signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"];
  run("x509", "-req", "-in", "cert.csr", "-out", "cert.pem", ...signing);
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  return { certificate: read("cert.pem"), key: read("key.pem") };
}
