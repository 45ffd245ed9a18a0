/** XEP-0484's hashed tokens: bindings, expiry, counts, mechanisms, bad input. */
import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { bytes, conditionOf, context, type World } from "../../test/support/sasl.ts";
import type { FastToken } from "./account-lookup.ts";
import type { SaslExchange, SaslStep } from "./exchange.ts";
import { offeredHashedTokens } from "./ht.ts";
import { createExchange } from "./mechanisms.ts";

const exporter = bytes("exporter");
const endPoint = bytes("end point");
const bindings = { "tls-exporter": exporter, "tls-server-end-point": endPoint };

const hmac = (secret: string, text: string, data: Uint8Array) =>
  createHmac("sha256", secret).update(text).update(data).digest();

function token(over: Partial<FastToken> = {}): FastToken {
  return { mechanism: "HT-SHA-256-NONE", secret: "secret-token", expires: 2_000_000, count: -1, ...over };
}

interface Attempt {
  mechanism?: string;
  name?: string;
  secret?: string;
  data?: Uint8Array;
  tokens?: FastToken[];
  count?: number;
  userAgentId?: string;
  world?: World;
}

async function attempt({
  mechanism = "HT-SHA-256-NONE",
  name = "user",
  secret = "secret-token",
  data = bytes(""),
  tokens = [token()],
  count,
  userAgentId,
  world,
}: Attempt): Promise<SaslStep> {
  const exchange = createExchange(
    mechanism,
    context({ bindings, ...world, fast: { tokens, count, userAgentId } }),
  ) as SaslExchange;
  return exchange.start(Buffer.concat([bytes(`${name}\0`), hmac(secret, "Initiator", data)]));
}

describe("hashed tokens", () => {
  test.each([
    ["HT-SHA-256-NONE", bytes("")],
    ["HT-SHA-256-EXPR", exporter],
    ["HT-SHA-256-ENDP", endPoint],
  ])("%s logs in and answers with the responder's hash", async (mechanism, data) => {
    const held = token({ mechanism });
    expect(await attempt({ mechanism, data, tokens: [token({ secret: "older", mechanism }), held] })).toEqual({
      success: { username: "user", mechanism, additionalData: hmac("secret-token", "Responder", data), token: held },
    });
  });

  test.each<[string, Attempt, string]>([
    ["another secret", { secret: "guess" }, "not-authorized"],
    ["another account", { name: "other" }, "not-authorized"],
    ["a name that can be none", { name: "a b" }, "not-authorized"],
    ["another client", { userAgentId: "another" }, "not-authorized"],
    ["no token stored", { tokens: [] }, "not-authorized"],
    ["a token of another mechanism", { mechanism: "HT-SHA-256-EXPR", data: exporter }, "not-authorized"],
    [
      "another connection's binding",
      { mechanism: "HT-SHA-256-EXPR", data: endPoint, tokens: [token({ mechanism: "HT-SHA-256-EXPR" })] },
      "not-authorized",
    ],
    [
      "no such binding here",
      {
        mechanism: "HT-SHA-256-EXPR",
        data: exporter,
        tokens: [token({ mechanism: "HT-SHA-256-EXPR" })],
        world: { bindings: {} },
      },
      "not-authorized",
    ],
    ["expired this moment", { tokens: [token({ expires: 1_000_000 })] }, "credentials-expired"],
    [
      "expired, and wrong: no word about expiry",
      { secret: "guess", tokens: [token({ expires: 1 })] },
      "not-authorized",
    ],
    ["a count used before", { count: 5, tokens: [token({ count: 5 })] }, "not-authorized"],
    ["a count lower than one used", { count: 4, tokens: [token({ count: 5 })] }, "not-authorized"],
    ["no name", { name: "" }, "malformed-request"],
  ])("%s", async (_why, how, expected) => {
    expect(conditionOf(await attempt(how))).toBe(expected);
  });

  test("a higher count, and none, are accepted", async () => {
    expect(await attempt({ count: 6, tokens: [token({ count: 5 })] })).toHaveProperty("success");
    expect(await attempt({ count: 0 })).toHaveProperty("success");
    expect(await attempt({ tokens: [token({ count: 5 })] })).toHaveProperty("success");
  });

  test.each([
    ["", 0],
    ["user", 0],
    ["user\0", 0],
    ["user\0", 31],
    ["user\0", 33],
  ])("malformed: %j and %d bytes", async (text, count) => {
    const exchange = createExchange("HT-SHA-256-NONE", context({ fast: { tokens: [token()] } })) as SaslExchange;
    expect(conditionOf(await exchange.start(Buffer.concat([bytes(text), new Uint8Array(count)])))).toBe(
      "malformed-request",
    );
  });

  test("are offered as the connection can bind, and exist only with FAST", () => {
    expect(offeredHashedTokens(undefined)).toEqual(["HT-SHA-256-NONE"]);
    expect(offeredHashedTokens(context({ bindings }).channelBindings)).toEqual([
      "HT-SHA-256-EXPR",
      "HT-SHA-256-ENDP",
      "HT-SHA-256-NONE",
    ]);
    expect(createExchange("HT-SHA-256-NONE", context({}))).toBeUndefined();
  });
});
