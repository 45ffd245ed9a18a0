/** Completing the keys of imported accounts: in which order, in whose interest, and when it lets go. */
import { expect, test } from "bun:test";
import { countingRandomness } from "../../test/support/sasl.ts";
import { formatCredentials, parseCredentials, type ScramHash, scramHashes } from "../auth/credentials.ts";
import { makeCredentials } from "../auth/password-hashing.ts";
import { silentLog } from "../observe/log.ts";
import { SimClock } from "../runtime/sim/clock.ts";
import type { CredentialsChange } from "../store/accounts.ts";
import { type IncompleteAccount, KeyCompletion } from "./complete-keys.ts";

const randomness = countingRandomness();

async function imported(username: string, domain = "localhost"): Promise<IncompleteAccount> {
  const password = `secret of ${username}`;
  const keys = await makeCredentials(password, { hashes: ["sha256"], iterations: 5, randomness });
  return { domain, username, password, passDetails: formatCredentials(keys!) };
}

/** Rows as in the database, and how often all mechanisms were looked at again. */
class House {
  readonly rows = new Map<string, string>();
  readonly clock = new SimClock();
  completed = 0;
  hashes: readonly ScramHash[] = scramHashes;
  fails = false;
  readonly completion = new KeyCompletion({
    accounts: {
      replaceCredentials: (changes: readonly CredentialsChange[]) => {
        if (this.fails) return Promise.reject(new Error("the database is away"));
        return Promise.resolve(
          changes.map(({ domain, username, from, to }) => {
            const id = `${username}@${domain}`;
            if (this.rows.get(id) !== from) return false;
            this.rows.set(id, to);
            return true;
          }),
        );
      },
    },
    clock: this.clock,
    random: randomness,
    log: silentLog,
    hashesOf: (domain) => (domain === "localhost" ? this.hashes : ["sha256", "sha1"]),
    completed: () => {
      this.completed++;
      return Promise.resolve();
    },
  });

  add(...accounts: IncompleteAccount[]): void {
    for (const account of accounts) {
      this.rows.set(`${account.username}@${account.domain}`, account.passDetails);
      this.completion.add(account);
    }
  }

  hashesIn(id: string): string[] {
    return Object.keys(parseCredentials(this.rows.get(id)!)!).sort();
  }

  /** Lets every rest pass until nothing is left to do. */
  async finish(): Promise<void> {
    let idle = false;
    void this.completion.idle().then(() => {
      idle = true;
    });
    while (!idle) {
      await new Promise((resolve) => setImmediate(resolve));
      this.clock.advance(1_000);
    }
  }
}

test("each account gets the hashes of its host, with the password it was imported with", async () => {
  const house = new House();
  const alice = await imported("alice");
  house.add(alice, await imported("alice", "other.example"));
  house.completion.start();
  await house.finish();
  expect(house.hashesIn("alice@localhost")).toEqual([...scramHashes].sort());
  expect(house.hashesIn("alice@other.example")).toEqual(["sha1", "sha256"]);
  const keys = parseCredentials(house.rows.get("alice@localhost")!)!;
  expect(keys.sha256).toEqual(parseCredentials(alice.passDetails)!.sha256);
  const salt = keys.sha1!.salt;
  const again = await makeCredentials(alice.password, {
    hashes: ["sha1"],
    iterations: 5,
    randomness: { ...randomness, bytes: () => new Uint8Array(salt) },
  });
  expect(Buffer.from(again!.sha1!.storedKey)).toEqual(Buffer.from(keys.sha1!.storedKey));
  // After SHA-1, and after each of the others.
  expect(house.completed).toBe(4);
});

test("who has changed the password meanwhile keeps it", async () => {
  const house = new House();
  house.add(await imported("alice"), await imported("bob"));
  house.rows.set("alice@localhost", "changed");
  house.completion.start();
  await house.finish();
  expect(house.rows.get("alice@localhost")).toBe("changed");
  expect(house.hashesIn("bob@localhost")).toEqual([...scramHashes].sort());
});

test("a host with one hash has nothing to complete", async () => {
  const house = new House();
  house.hashes = ["sha256"];
  house.add(await imported("alice"));
  house.completion.start();
  await house.finish();
  expect(house.completed).toBe(0);
});

test("stopping ends it, at rest too", async () => {
  const house = new House();
  house.add(await imported("alice"));
  house.completion.start();
  await house.completion.stop();
  expect(house.completed).toBe(0);
  await house.completion.idle();
});

test("a database that is away ends it, and a later import begins anew", async () => {
  const house = new House();
  house.fails = true;
  house.add(await imported("alice"));
  house.completion.start();
  await house.finish();
  house.fails = false;
  house.add(await imported("bob"));
  house.completion.start();
  await house.finish();
  expect(house.hashesIn("alice@localhost")).toEqual(["sha256"]);
  expect(house.hashesIn("bob@localhost")).toEqual([...scramHashes].sort());
});
