/** Which hashes a host offers by: those that all its accounts have keys for, on every node. */
import { expect, test } from "bun:test";
import { countingRandomness, StillClock } from "../../test/support/sasl.ts";
import { PasswordHasher } from "../auth/password-hashing.ts";
import { silentLog } from "../observe/log.ts";
import type { Host } from "../router/host.ts";
import type { AccountDirectory } from "./account-directory.ts";
import { Authentication, type AuthenticationParts, iterationShares } from "./authentication.ts";

const host = { domain: "localhost" } as Host;
const secure = { secure: true, loopback: false, bindings: undefined };

/** Nodes that share accounts, and hear of each other. */
function nodes(count: number, lacking: Set<string>): Authentication[] {
  const heard: (() => void)[] = [];
  return Array.from({ length: count }, () => {
    const parts: AuthenticationParts = {
      accounts: {} as AccountDirectory,
      rows: {
        someCredentials: () => Promise.resolve([]),
        anyWithout: (_domain: string, marker: string) => Promise.resolve(lacking.has(marker)),
      } as unknown as AuthenticationParts["rows"],
      hasher: new PasswordHasher(),
      clock: new StillClock(),
      random: countingRandomness(),
      decoySecret: new Uint8Array(32),
      plans: [
        {
          domain: "localhost",
          hashes: ["sha1", "sha256"],
          iterations: 4096,
          mechanisms: ["SCRAM-SHA-256", "SCRAM-SHA-1"],
        },
      ],
      log: silentLog,
      notices: (_topic, hear) => {
        heard.push(hear);
        return () => {
          for (const other of heard) if (other !== hear) other();
        };
      },
    };
    return new Authentication(parts);
  });
}

test("made-up accounts have the iterations that real ones have, and as often", () => {
  const of = (iterations: number) => `==MULTI_SCRAM==,${iterations},==SHA256==YQ==|${key}|${key}`;
  const key = Buffer.alloc(32).toString("base64");
  expect(iterationShares([], 10_000)).toEqual([{ iterations: 10_000, upTo: 1 }]);
  expect(iterationShares([of(10_000), of(10_000), "unreadable"], 4096)).toEqual([{ iterations: 10_000, upTo: 1 }]);
  expect(iterationShares([of(10_000), of(4096), of(10_000), of(10_000)], 10_000)).toEqual([
    { iterations: 4096, upTo: 0.25 },
    { iterations: 10_000, upTo: 1 },
  ]);
});

test("after an import every node offers what all accounts have keys for, and again when they are complete", async () => {
  const lacking = new Set<string>();
  const all = nodes(3, lacking);
  for (const node of all) await node.refresh();
  const offered = () => all.map((node) => node.mechanisms.offered(host, secure));
  const both = ["SCRAM-SHA-256", "SCRAM-SHA-1"];
  expect(offered()).toEqual([both, both, both]);

  lacking.add("===SHA1===");
  await all[1]!.accountsChanged();
  await new Promise((resolve) => setImmediate(resolve));
  expect(offered()).toEqual([["SCRAM-SHA-256"], ["SCRAM-SHA-256"], ["SCRAM-SHA-256"]]);

  lacking.clear();
  await all[1]!.accountsChanged();
  await new Promise((resolve) => setImmediate(resolve));
  expect(offered()).toEqual([both, both, both]);
});
