/** What is said of certificates that cannot be used: which option names them, which file, and why. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { loadConfig } from "../config/load.ts";
import { moduleRegistry } from "../config/option.ts";
import { catalogue } from "../modules/catalogue.ts";
import { createLog } from "../observe/log.ts";
import { selfSigned } from "../runtime/bun/certificate.ts";
import { certificateProblems, loadCertificates } from "./certificates.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-certificates-"));
const path = (name: string): string => join(folder, name);
const log = createLog("info", { pretty: false, destination: { write: () => undefined } });

beforeAll(async () => {
  const [own, other] = await Promise.all([selfSigned(["example.org"], Date.now()), selfSigned(["b"], Date.now())]);
  writeFileSync(path("own.crt"), own.certificate);
  writeFileSync(path("own.key"), own.key);
  writeFileSync(path("both.pem"), own.certificate + own.key);
  writeFileSync(path("other.key"), other.key);
  writeFileSync(path("empty.pem"), "");
});
afterAll(() => rmSync(folder, { recursive: true }));

function settingsWith(certfile: string, keyfile?: string) {
  const key = keyfile === undefined ? "" : `keyfile = "${keyfile}"`;
  const toml = `
[general]
hosts = ["example.org"]
[[general.domain_certfile]]
domain = "example.org"
certfile = "${certfile}"
${key}
[[listen.c2s]]
port = 5222
[listen.c2s.tls]
`;
  return loadConfig(toml, { file: path("meerkat.toml"), modules: moduleRegistry(catalogue) }).settings;
}

test.each<[what: string, certfile: string, keyfile: string | undefined, problem: string]>([
  ["no file", "none.crt", "own.key", "certfile: FOLDER/none.crt cannot be read: no such file or directory"],
  ["no key file", "own.crt", "none.key", "keyfile: FOLDER/none.key cannot be read: no such file or directory"],
  ["an empty file", "empty.pem", "own.key", "certfile: FOLDER/empty.pem holds no certificate (PEM)"],
  ["no key in it", "own.crt", undefined, "keyfile: FOLDER/own.crt holds no private key (PEM)"],
  [
    "another's key",
    "own.crt",
    "other.key",
    "keyfile: FOLDER/other.key does not fit: the private key belongs to another certificate",
  ],
])("%s: the check and the start name it alike", async (_, certfile, keyfile, problem) => {
  const settings = settingsWith(certfile, keyfile);
  const told = `general.domain_certfile[0].${problem.replace("FOLDER", folder)}`;
  expect(certificateProblems(settings)).toEqual([told]);
  const certificates = await loadCertificates(settings, folder, new ManualClock(), log);
  expect(() => certificates.of(settings.listen.c2s[0]!.tls!)).toThrow(told);
  certificates.stop();
});

test("certificates that can be used are no problem", () => {
  expect(certificateProblems(settingsWith("own.crt", "own.key"))).toEqual([]);
  expect(certificateProblems(settingsWith("both.pem"))).toEqual([]);
});
