/** The stored form: written, read, and refused when broken. */
import { describe, expect, test } from "bun:test";
import { countingRandomness } from "../../test/support/sasl.ts";
import { type Credentials, formatCredentials, parseCredentials, scramHashes } from "./credentials.ts";
import { deriveScramKeys, makeCredentials } from "./password-hashing.ts";

const options = { hashes: scramHashes, iterations: 10, randomness: countingRandomness() };
const all = (await makeCredentials("pencil", options)) as Credentials;

describe("stored credentials", () => {
  test("all hashes survive writing and reading", () => {
    const text = formatCredentials(all);
    expect(text).toMatch(
      /^==MULTI_SCRAM==,10,===SHA1===[^,]+,==SHA224==[^,]+,==SHA256==[^,]+,==SHA384==[^,]+,==SHA512==[^,]+$/,
    );
    const read = parseCredentials(text) as Credentials;
    expect(formatCredentials(read)).toBe(text);
    for (const hash of scramHashes)
      expect(Buffer.from(read[hash]?.storedKey ?? [])).toEqual(Buffer.from(all[hash]?.storedKey ?? [1]));
  });

  test("one hash alone", () => {
    const text = formatCredentials({ sha256: all.sha256 });
    expect(Object.keys(parseCredentials(text) ?? {})).toEqual(["sha256"]);
  });

  test("a record as MongooseIM writes it, of the exchange in RFC 5802", () => {
    const read = parseCredentials(
      "==MULTI_SCRAM==,4096,===SHA1===QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE=",
    );
    expect(read?.sha1?.iterations).toBe(4096);
    expect(Buffer.from(read?.sha1?.storedKey ?? []).toString("hex")).toBe("e9d94660c39d65c38fbad91c358f14da0eef2bd6");
  });

  test("the older form of SHA-1 alone", () => {
    const read = parseCredentials(
      "==SCRAM==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,QSXCR+Q6sek8bf92,4096",
    );
    expect(formatCredentials(read as Credentials)).toStartWith("==MULTI_SCRAM==,4096,===SHA1===QSXCR+Q6sek8bf92|");
  });

  // Made by these servers themselves, and brought into the form of a line for importUsers as docs/install.md does it.
  test.each([
    [
      "ejabberd 23.01",
      "hemligt",
      "==SCRAM==,iGU4twzepESAoIgy+stRiWVL/Js=,SaLBjJ7QmX+Yejsa7NsJzhS+b/o=,rNHvah817DeC90Aykz0WBQ==,4096",
    ],
    [
      "Prosody 0.12",
      "geheim",
      "==SCRAM==,XKv8F3ZOgset+hivVqDwzdOGyPw=,BG7IHCTTmJ6H/Fznvb0pP0mQsfQ=,ZGRhOTBjMWUtNDIyMC00MjBhLThmNzUtNzJkZDAxOGMwMzJh,10000",
    ],
  ])("keys that %s made are those of the password", async (_, password, text) => {
    const { salt, iterations, storedKey, serverKey } = parseCredentials(text)!.sha1!;
    const derived = await deriveScramKeys(password, salt, iterations, "sha1");
    expect(Buffer.from(derived.storedKey)).toEqual(Buffer.from(storedKey));
    expect(Buffer.from(derived.serverKey)).toEqual(Buffer.from(serverKey));
  });

  test.each([
    [""],
    ["pencil"],
    ["==MULTI_SCRAM==,"],
    ["==MULTI_SCRAM==,4096"],
    ["==MULTI_SCRAM==,4096,"],
    ["==MULTI_SCRAM==,0,===SHA1===QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE="],
    ["==MULTI_SCRAM==,999999999,===SHA1===QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE="],
    ["==MULTI_SCRAM==,4096,===SHA1===QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y="],
    ["==MULTI_SCRAM==,4096,===SHA1===QSXCR+Q6sek8bf92|short|D+CSWLOshSulAsxiupA+qs2/fTE="],
    ["==MULTI_SCRAM==,4096,===SHA1===|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE="],
    ["==MULTI_SCRAM==,4096,==SHA256==QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE="],
    ["==MULTI_SCRAM==,4096,==MD5==QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE="],
    ["==SCRAM==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,QSXCR+Q6sek8bf92"],
    ["==SCRAM==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,QSXCR+Q6sek8bf92,-1"],
  ])("is no record: %s", (text) => {
    expect(parseCredentials(text)).toBeUndefined();
  });

  test("nothing, and mixed iterations, cannot be written", async () => {
    const other = (await makeCredentials("pencil", { ...options, iterations: 11 })) as Credentials;
    expect(() => formatCredentials({})).toThrow(RangeError);
    expect(() => formatCredentials({ sha1: all.sha1, sha256: other.sha256 })).toThrow(RangeError);
  });
});
