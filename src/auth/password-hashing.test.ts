/** Derivation against RFC 5802's keys, bounds on parallel work, and imports. */
import { describe, expect, test } from "bun:test";
import { countingRandomness } from "../../test/support/sasl.ts";
import { type Credentials, scramHashes } from "./credentials.ts";
import { deriveScramKeys, HashingOverload, hashMany, makeCredentials, PasswordHasher } from "./password-hashing.ts";

const options = () => ({ hashes: ["sha256"] as const, iterations: 5, randomness: countingRandomness() });
const request = (password: string) => ({ password, hashes: ["sha256"] as const });
const salt = Buffer.from("QSXCR+Q6sek8bf92", "base64");

describe("password hashing", () => {
  test("the keys behind RFC 5802's exchange", async () => {
    const keys = await deriveScramKeys("pencil", salt, 4096, "sha1");
    expect(Buffer.from(keys.storedKey).toString("hex")).toBe("e9d94660c39d65c38fbad91c358f14da0eef2bd6");
    expect(Buffer.from(keys.serverKey).toString("hex")).toBe("0fe09258b3ac852ba502cc62ba903eaacdbf7d31");
  });

  test("each hash has a salt of its own, of 16 bytes", async () => {
    const made = (await makeCredentials("pencil", { ...options(), hashes: scramHashes })) as Credentials;
    const salts = scramHashes.map((hash) => Buffer.from(made[hash]?.salt ?? []).toString("hex"));
    expect(new Set(salts).size).toBe(5);
    expect(salts.every((text) => text.length === 32)).toBe(true);
  });

  test("what is no password is told, not hashed", async () => {
    expect(await makeCredentials("", options())).toBeUndefined();
    expect(await makeCredentials("bell\u0007", options())).toBeUndefined();
  });

  test("no more run at once than allowed, and those beyond the queue are refused", async () => {
    const hasher = new PasswordHasher({ parallel: 2, waitingMax: 3 });
    const all = Array.from({ length: 6 }, () => hasher.derive("pencil", salt, 5, "sha1"));
    expect(hasher.queued).toBe(3);
    const results = await Promise.allSettled(all);
    expect(results.map((result) => result.status)).toEqual([...Array(5).fill("fulfilled"), "rejected"]);
    expect((results[5] as PromiseRejectedResult).reason).toBeInstanceOf(HashingOverload);
    expect(hasher.queued).toBe(0);
    await hasher.derive("pencil", salt, 5, "sha1");
  });

  test("a failing derivation gives its place back", async () => {
    const hasher = new PasswordHasher({ parallel: 1, waitingMax: 1 });
    await expect(hasher.derive("pencil", salt, 0, "sha1")).rejects.toThrow();
    await hasher.derive("pencil", salt, 5, "sha1");
  });

  test("an import keeps the order, and marks what is no password", async () => {
    const passwords = Array.from({ length: 50 }, (_, index) => request(index === 20 ? "" : `password${index}`));
    let index = 0;
    for await (const made of hashMany(passwords, { ...options(), parallel: 3 })) {
      if (index === 20) expect(made).toBeUndefined();
      else {
        const keys = made?.sha256 as NonNullable<Credentials["sha256"]>;
        const again = await deriveScramKeys(`password${index}`, keys.salt, 5, "sha256");
        expect(Buffer.from(keys.storedKey)).toEqual(Buffer.from(again.storedKey));
      }
      index++;
    }
    expect(index).toBe(50);
  });

  test("an import reads its source only a little ahead", async () => {
    let read = 0;
    function* endless() {
      for (;;) yield request(`password${read++}`);
    }
    let seen = 0;
    for await (const _made of hashMany(endless(), { ...options(), parallel: 2 })) if (++seen === 10) break;
    expect(read).toBeLessThanOrEqual(10 + 2 * 4);
  });
});
