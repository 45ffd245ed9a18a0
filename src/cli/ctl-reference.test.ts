/** The documentation names every command there is. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { cliDocument, withCtlReference } from "../../scripts/docs-cli.ts";
import { ctlReference } from "./ctl-reference.ts";

test("docs/cli.md is up to date (else run: ./bin/run-bun scripts/docs-cli.ts)", () => {
  const document = readFileSync(cliDocument, "utf8");
  expect(document).toBe(withCtlReference(document));
});

test("a command is a row, with what it needs and what it may have", () => {
  const reference = ctlReference();
  expect(reference).toContain("| `registerUser` | `--domain` [`--username`] `--password` | Makes an account. |");
  expect(reference).toContain("meerkat ctl account importUsers --filename users.csv");
});
