/** PLAIN: right and wrong passwords, preparation, identities, overload, bad input. */
import { describe, expect, test } from "bun:test";
import { bytes, challengeOf, conditionOf, context, type World } from "../../test/support/sasl.ts";
import { type Credentials, type ScramHash, scramHashes } from "./credentials.ts";
import type { SaslStep } from "./exchange.ts";
import { makeCredentials, PasswordHasher } from "./password-hashing.ts";
import { PlainExchange } from "./plain.ts";

async function stored(password: string, hashes: readonly ScramHash[] = ["sha256"]): Promise<Credentials> {
  return (await makeCredentials(password, {
    hashes,
    iterations: 16,
    randomness: context({}).randomness,
  })) as Credentials;
}

const accounts = { user: await stored("pencil") };

async function answer(message: string | Uint8Array, world: World = { accounts }): Promise<SaslStep> {
  return new PlainExchange(context(world)).start(typeof message === "string" ? bytes(message) : message);
}

describe("PLAIN", () => {
  test.each([
    ["\0user\0pencil", "success"],
    ["user@example.com\0user\0pencil", "success"],
    ["\0USER\0pencil", "success"],
    ["\0user\0wrong", "not-authorized"],
    ["\0nobody\0pencil", "not-authorized"],
    ["\0a b\0pencil", "not-authorized"],
    ["\0user\0pen\u0007cil", "not-authorized"],
    ["\0user@example.com\0pencil", "not-authorized"],
    ["other@example.com\0user\0pencil", "invalid-authzid"],
    ["user@example.com/phone\0user\0pencil", "invalid-authzid"],
    ["", "malformed-request"],
    ["user", "malformed-request"],
    ["user\0pencil", "malformed-request"],
    ["\0user\0", "malformed-request"],
    ["\0\0pencil", "malformed-request"],
    ["\0user\0pencil\0more", "malformed-request"],
  ])("%j: %s", async (message, expected) => {
    const step = await answer(message);
    expect("success" in step ? "success" : conditionOf(step)).toBe(expected);
  });

  test("a message over the bound, or no UTF-8, is malformed", async () => {
    expect(conditionOf(await answer(`\0user\0${"x".repeat(9000)}`))).toBe("malformed-request");
    expect(conditionOf(await answer(Buffer.from([0, 0x75, 0, 0xc3])))).toBe("malformed-request");
  });

  test("the password is prepared on both sides", async () => {
    const world = { accounts: { user: await stored("pass\u00a0wo\u00adrd \u{1f600}") } };
    expect(await answer("\0user\0pass word \u{1f600}", world)).toHaveProperty("success");
  });

  test.each(scramHashes.map((hash) => [hash] as const))("an account with nothing but %s", async (hash) => {
    const world = { accounts: { user: await stored("pencil", [hash]) } };
    expect(await answer("\0user\0pencil", world)).toEqual({ success: { username: "user", mechanism: "PLAIN" } });
    expect(conditionOf(await answer("\0user\0pencils", world))).toBe("not-authorized");
  });

  test("tells the account store the right password, and only that", async () => {
    const right = context({ accounts });
    await new PlainExchange(right).start(bytes("\0user\0pencil"));
    expect(right.verified).toEqual(["user:pencil"]);
    const wrong = context({ accounts });
    await new PlainExchange(wrong).start(bytes("\0user\0wrong"));
    expect(wrong.verified).toEqual([]);
  });

  test("an unknown account costs a derivation too, with the iterations of the others", async () => {
    const asked: number[] = [];
    const world = context({});
    const derive = world.hasher.derive.bind(world.hasher);
    world.hasher.derive = (password, salt, iterations, hash) => {
      asked.push(iterations);
      return derive(password, salt, 1, hash);
    };
    expect(conditionOf(await new PlainExchange(world).start(bytes("\0nobody\0pencil")))).toBe("not-authorized");
    expect(asked).toEqual([4096]);
  });

  test("too many at once: a temporary failure", async () => {
    const world = context({ accounts });
    world.hasher = new PasswordHasher({ parallel: 1, waitingMax: 1 });
    const steps = await Promise.all([1, 2, 3].map(() => new PlainExchange(world).start(bytes("\0user\0pencil"))));
    expect(steps.map((step) => ("success" in step ? "success" : conditionOf(step)))).toEqual([
      "success",
      "success",
      "temporary-auth-failure",
    ]);
  });

  test("without an initial response an empty challenge asks for it; nothing follows an end", async () => {
    const exchange = new PlainExchange(context({ accounts }));
    expect(challengeOf(await exchange.start(undefined))).toBe("");
    expect(await exchange.next(bytes("\0user\0pencil"))).toHaveProperty("success");
    expect(conditionOf(await exchange.next(bytes("\0user\0pencil")))).toBe("malformed-request");
  });
});
