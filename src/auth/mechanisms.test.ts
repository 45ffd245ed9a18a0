/** What is offered under which conditions. */
import { describe, expect, test } from "bun:test";
import { bytes, context } from "../../test/support/sasl.ts";
import { availableBindings } from "./channel-bindings.ts";
import { scramHashes } from "./credentials.ts";
import { createExchange, defaultMechanisms, offeredMechanisms, offersPlus } from "./mechanisms.ts";

const { channelBindings } = context({ bindings: { "tls-server-end-point": bytes("x"), "tls-exporter": bytes("y") } });
const full = { configured: defaultMechanisms, tls: true, loopback: false, channelBindings, hashes: scramHashes };

describe("offered mechanisms", () => {
  test("everything, strongest first, -PLUS before its plain form", () => {
    expect(offeredMechanisms(full)).toEqual([
      "SCRAM-SHA-512-PLUS",
      "SCRAM-SHA-512",
      "SCRAM-SHA-384-PLUS",
      "SCRAM-SHA-384",
      "SCRAM-SHA-256-PLUS",
      "SCRAM-SHA-256",
      "SCRAM-SHA-224-PLUS",
      "SCRAM-SHA-224",
      "SCRAM-SHA-1-PLUS",
      "SCRAM-SHA-1",
      "PLAIN",
    ]);
    expect(availableBindings(channelBindings)).toEqual(["tls-exporter", "tls-server-end-point"]);
  });

  test("PLAIN needs TLS or loopback", () => {
    const bare = { ...full, tls: false, channelBindings: undefined };
    expect(offeredMechanisms(bare)).not.toContain("PLAIN");
    expect(offeredMechanisms({ ...bare, loopback: true })).toContain("PLAIN");
  });

  test("-PLUS needs TLS and a binding", () => {
    for (const conditions of [
      { ...full, tls: false },
      { ...full, channelBindings: undefined },
      { ...full, channelBindings: context({ bindings: {} }).channelBindings },
    ]) {
      const offered = offeredMechanisms(conditions);
      expect(offersPlus(offered)).toBe(false);
      expect(offered).toContain("SCRAM-SHA-256");
    }
    expect(offersPlus(offeredMechanisms(full))).toBe(true);
  });

  test("only hashes that every account has", () => {
    expect(offeredMechanisms({ ...full, hashes: ["sha256"] })).toEqual([
      "SCRAM-SHA-256-PLUS",
      "SCRAM-SHA-256",
      "PLAIN",
    ]);
    expect(offeredMechanisms({ ...full, hashes: [] })).toEqual(["PLAIN"]);
  });

  test("the operator's list decides what and in which order; what we do not have is left out", () => {
    const configured = ["PLAIN", "X-OAUTH", "SCRAM-SHA-1", "EXTERNAL", "HT-SHA-256-NONE"];
    expect(offeredMechanisms({ ...full, configured })).toEqual(["PLAIN", "SCRAM-SHA-1"]);
  });

  test("there is an exchange behind each, and none behind other names", () => {
    for (const name of defaultMechanisms) expect(createExchange(name, context({}))).toBeDefined();
    for (const name of ["", "plain", "SCRAM-MD5", "EXTERNAL", "constructor"])
      expect(createExchange(name, context({}))).toBeUndefined();
  });
});
