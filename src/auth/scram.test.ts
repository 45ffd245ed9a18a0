/** SCRAM against the vectors of RFC 5802 and RFC 7677, each channel-binding rule, and bad input. */
import { describe, expect, test } from "bun:test";
import { bytes, challengeOf, conditionOf, context, scramLogin, type World } from "../../test/support/sasl.ts";
import type { Credentials, ScramHash } from "./credentials.ts";
import { scramHashes } from "./credentials.ts";
import type { SaslExchange, SaslStep } from "./exchange.ts";
import { createExchange } from "./mechanisms.ts";
import { deriveScramKeys, makeCredentials } from "./password-hashing.ts";
import { scramName } from "./scram.ts";

async function keysOf(password: string, hash: ScramHash, salt: string, iterations: number): Promise<Credentials> {
  return { [hash]: await deriveScramKeys(password, Buffer.from(salt, "base64"), iterations, hash) };
}

function exchange(name: string, world: World): SaslExchange {
  return createExchange(name, context(world)) as SaslExchange;
}

const pencil = (await makeCredentials("pencil", {
  hashes: scramHashes,
  iterations: 64,
  randomness: context({}).randomness,
})) as Credentials;
const exporter = bytes("thirty-two bytes of TLS exporter");

describe("published vectors", () => {
  test("RFC 5802 section 5: SCRAM-SHA-1", async () => {
    const user = await keysOf("pencil", "sha1", "QSXCR+Q6sek8bf92", 4096);
    const server = exchange("SCRAM-SHA-1", { accounts: { user }, nonce: "3rfcNHYJY1ZVvWVs7j" });
    expect(challengeOf(await server.start(bytes("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")))).toBe(
      "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    );
    const end = await server.next(
      bytes("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="),
    );
    expect(end).toEqual({
      success: {
        username: "user",
        mechanism: "SCRAM-SHA-1",
        additionalData: Buffer.from("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="),
      },
    });
  });

  test("RFC 7677 section 3: SCRAM-SHA-256", async () => {
    const user = await keysOf("pencil", "sha256", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
    const server = exchange("SCRAM-SHA-256", { accounts: { user }, nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" });
    expect(challengeOf(await server.start(bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")))).toBe(
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    );
    const end = await server.next(
      bytes(
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
      ),
    );
    expect(end).toMatchObject({
      success: { additionalData: Buffer.from("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") },
    });
  });
});

describe.each(scramHashes.map((hash) => [hash] as const))("%s", (hash) => {
  test("logs in and proves the server to the client", async () => {
    const { step, signature } = await scramLogin(exchange(scramName[hash], { accounts: { user: pencil } }), { hash });
    expect(step).toEqual({
      success: { username: "user", mechanism: scramName[hash], additionalData: Buffer.from(signature) },
    });
  });

  test("a wrong password is not authorized", async () => {
    const { step } = await scramLogin(exchange(scramName[hash], { accounts: { user: pencil } }), {
      hash,
      password: "pen",
    });
    expect(conditionOf(step)).toBe("not-authorized");
  });

  test("-PLUS with each binding", async () => {
    for (const type of ["tls-exporter", "tls-server-end-point"] as const) {
      const world = { accounts: { user: pencil }, bindings: { [type]: exporter }, plusAdvertised: true };
      const login = { hash, gs2: `p=${type},,`, binding: exporter };
      const { step } = await scramLogin(exchange(`${scramName[hash]}-PLUS`, world), login);
      expect(step).toMatchObject({ success: { mechanism: `${scramName[hash]}-PLUS` } });
    }
  });
});

describe("channel binding", () => {
  const bound = { accounts: { user: pencil }, bindings: { "tls-exporter": exporter }, plusAdvertised: true };
  const cases: [
    why: string,
    mechanism: string,
    world: World,
    gs2: string,
    binding: Uint8Array | undefined,
    expected: string,
  ][] = [
    [
      "another connection's data",
      "SCRAM-SHA-256-PLUS",
      bound,
      "p=tls-exporter,,",
      bytes("the data of another connection!!"),
      "not-authorized",
    ],
    ["no data", "SCRAM-SHA-256-PLUS", bound, "p=tls-exporter,,", undefined, "not-authorized"],
    [
      "a type this connection lacks",
      "SCRAM-SHA-256-PLUS",
      bound,
      "p=tls-server-end-point,,",
      exporter,
      "not-authorized",
    ],
    ["tls-unique", "SCRAM-SHA-256-PLUS", bound, "p=tls-unique,,", exporter, "not-authorized"],
    [
      "-PLUS without TLS",
      "SCRAM-SHA-256-PLUS",
      { accounts: { user: pencil } },
      "p=tls-exporter,,",
      exporter,
      "not-authorized",
    ],
    ["-PLUS without binding", "SCRAM-SHA-256-PLUS", bound, "n,,", undefined, "malformed-request"],
    ["-PLUS with y", "SCRAM-SHA-256-PLUS", bound, "y,,", undefined, "malformed-request"],
    ["binding without -PLUS", "SCRAM-SHA-256", bound, "p=tls-exporter,,", exporter, "malformed-request"],
    ["downgrade: y where -PLUS was offered", "SCRAM-SHA-256", bound, "y,,", undefined, "not-authorized"],
  ];
  test.each(cases)("%s", async (_why, mechanism, world, gs2, binding, expected) => {
    const { step } = await scramLogin(exchange(mechanism, world), { hash: "sha256", gs2, binding });
    expect(conditionOf(step)).toBe(expected);
  });

  test("y is right where -PLUS was not offered, n everywhere", async () => {
    for (const [gs2, plusAdvertised] of [
      ["y,,", false],
      ["n,,", true],
      ["n,,", false],
    ] as const) {
      const world = { accounts: { user: pencil }, plusAdvertised };
      const { step } = await scramLogin(exchange("SCRAM-SHA-256", world), { hash: "sha256", gs2 });
      expect(step).toHaveProperty("success");
    }
  });

  test("the header of the last message must be that of the first", async () => {
    const tamper = (final: string) => final.replace("c=biws", `c=${Buffer.from("y,,").toString("base64")}`);
    const { step } = await scramLogin(exchange("SCRAM-SHA-256", { accounts: { user: pencil } }), {
      hash: "sha256",
      tamper,
    });
    expect(conditionOf(step)).toBe("not-authorized");
  });
});

describe("who", () => {
  test.each([
    ["n,a=user@example.com,", "success"],
    ["n,a=USER@example.com,", "success"],
    ["n,a=other@example.com,", "invalid-authzid"],
    ["n,a=user@example.com/phone,", "invalid-authzid"],
    ["n,a=user@example.org,", "invalid-authzid"],
    ["n,a=user,", "invalid-authzid"],
  ])("authorization identity %s", async (gs2, expected) => {
    const { step } = await scramLogin(exchange("SCRAM-SHA-256", { accounts: { user: pencil } }), {
      hash: "sha256",
      gs2,
    });
    expect("success" in step ? "success" : conditionOf(step)).toBe(expected);
  });

  test("the name is prepared, and escapes are undone", async () => {
    const accounts = { user: pencil, "a=b,c": pencil };
    for (const [username, prepared] of [
      ["USER", "user"],
      ["ｕｓｅｒ", "user"],
      ["a=3Db=2Cc", "a=b,c"],
    ]) {
      const { step } = await scramLogin(exchange("SCRAM-SHA-256", { accounts }), { hash: "sha256", username });
      expect(step).toMatchObject({ success: { username: prepared } });
    }
  });

  test("an asynchronous account store", async () => {
    const { step } = await scramLogin(exchange("SCRAM-SHA-256", { accounts: { user: pencil }, later: true }), {
      hash: "sha256",
    });
    expect(step).toHaveProperty("success");
  });

  test("a failing account store rejects", async () => {
    const broken = context({});
    broken.accounts = { credentials: () => Promise.reject(new Error("database away")) };
    const server = createExchange("SCRAM-SHA-256", broken) as SaslExchange;
    await expect(Promise.resolve(server.start(bytes("n,,n=user,r=abc")))).rejects.toThrow("database away");
  });

  test("nobody can tell an unknown account: the same salt each time, another for another name, and the same refusal", async () => {
    const ask = async (name: string) =>
      challengeOf(await exchange("SCRAM-SHA-256", { nonce: "N" }).start(bytes(`n,,n=${name},r=abc`)));
    expect(await ask("nobody")).toBe(await ask("nobody"));
    expect(await ask("nobody")).not.toBe(await ask("somebody"));
    expect(await ask("nobody")).toMatch(/^r=abcN,s=[A-Za-z0-9+/]{22}==,i=4096$/);
    const { step } = await scramLogin(exchange("SCRAM-SHA-256", {}), { hash: "sha256", username: "nobody" });
    const wrong = await scramLogin(exchange("SCRAM-SHA-256", { accounts: { nobody: pencil } }), {
      hash: "sha256",
      username: "nobody",
      password: "x",
    });
    expect(step).toEqual(wrong.step);
  });

  test("a name that can be no localpart is treated as unknown", async () => {
    const { step } = await scramLogin(exchange("SCRAM-SHA-256", { accounts: { "a b": pencil } }), {
      hash: "sha256",
      username: "a b",
    });
    expect(conditionOf(step)).toBe("not-authorized");
  });

  test("an account without keys for this hash is treated as unknown", async () => {
    const { step } = await scramLogin(exchange("SCRAM-SHA-512", { accounts: { user: { sha256: pencil.sha256 } } }), {
      hash: "sha512",
    });
    expect(conditionOf(step)).toBe("not-authorized");
  });
});

describe("bad input", () => {
  test.each([
    [""],
    ["n"],
    ["n,,"],
    ["n,,n=user"],
    ["n,,r=abc,n=user"],
    ["n,,n=,r=abc"],
    ["n,,n=user,r="],
    ["n,,n=us=er,r=abc"],
    ["n,,n=us=2cer,r=abc"],
    ["n,,n=us\0er,r=abc"],
    ["n,,n=user,r=a b"],
    ["n,,n=user,r=ä"],
    ["n,,m=ext,n=user,r=abc"],
    ["n,,n=user,r=abc,"],
    ["n,,n=user,r=abc,nonsense"],
    ["x,,n=user,r=abc"],
    ["p=,,n=user,r=abc"],
    ["n,b=user,n=user,r=abc"],
    ["n,a=,n=user,r=abc"],
  ])("first message %j", async (message) => {
    expect(conditionOf(await exchange("SCRAM-SHA-256", { accounts: { user: pencil } }).start(bytes(message)))).toBe(
      "malformed-request",
    );
  });

  test("a first message over the bound", async () => {
    const server = exchange("SCRAM-SHA-256", { accounts: { user: pencil } });
    expect(conditionOf(await server.start(bytes(`n,,n=user,r=${"a".repeat(8200)}`)))).toBe("malformed-request");
  });

  test("bytes that are no UTF-8", async () => {
    const message = Buffer.concat([bytes("n,,n=us"), Buffer.from([0xff]), bytes("er,r=abc")]);
    expect(conditionOf(await exchange("SCRAM-SHA-256", {}).start(message))).toBe("malformed-request");
  });

  test.each<[string, (final: string) => string, string]>([
    ["empty", () => "", "malformed-request"],
    ["no proof", (final) => final.slice(0, final.indexOf(",p=")), "malformed-request"],
    ["a proof of no base64", (final) => final.replace(/p=.*/, "p=ab"), "malformed-request"],
    ["a proof of wrong length", (final) => final.replace(/p=.*/, "p=YWJj"), "malformed-request"],
    ["something behind the proof", (final) => `${final},x=y`, "malformed-request"],
    ["a mandatory extension first", (final) => `m=1,${final}`, "malformed-request"],
    ["another nonce", (final) => final.replace("r=clientnonce", "r=clientnoncX"), "not-authorized"],
    ["only the client's nonce", (final) => final.replace(/r=clientnonce[^,]*/, "r=clientnonce"), "not-authorized"],
    [
      "a flipped bit",
      (final) => final.replace(/p=(.)/, (_all, char: string) => `p=${char === "A" ? "B" : "A"}`),
      "not-authorized",
    ],
    ["an extension nobody signed", (final) => final.replace(",p=", ",x=y,p="), "not-authorized"],
  ])("last message: %s", async (_why, tamper, expected) => {
    const { step } = await scramLogin(exchange("SCRAM-SHA-256", { accounts: { user: pencil } }), {
      hash: "sha256",
      tamper,
    });
    expect(conditionOf(step)).toBe(expected);
  });

  test("no initial response: an empty challenge asks for it", async () => {
    const server = exchange("SCRAM-SHA-256", { accounts: { user: pencil } });
    expect(challengeOf(await server.start(undefined))).toBe("");
    expect(challengeOf(await server.next(bytes("n,,n=user,r=abc")))).toStartWith("r=abc");
  });

  test("a replayed last message meets another nonce, and nothing follows an end", async () => {
    let sent = "";
    const tamper = (final: string) => {
      sent = final;
      return final;
    };
    const world = { accounts: { user: pencil } };
    const first = exchange("SCRAM-SHA-256", world);
    await scramLogin(first, { hash: "sha256", tamper });
    expect(conditionOf((await first.next(bytes(sent))) as SaslStep)).toBe("malformed-request");
    const second = exchange("SCRAM-SHA-256", { ...world, nonce: "another" });
    await second.start(bytes("n,,n=user,r=clientnonce"));
    expect(conditionOf(await second.next(bytes(sent)))).toBe("not-authorized");
  });

  test("an answer before the account is looked up is refused", async () => {
    const server = exchange("SCRAM-SHA-256", { accounts: { user: pencil }, later: true });
    const first = server.start(bytes("n,,n=user,r=abc"));
    expect(conditionOf(await server.next(bytes("c=biws,r=abc,p=YWJj")))).toBe("malformed-request");
    await first;
  });
});
