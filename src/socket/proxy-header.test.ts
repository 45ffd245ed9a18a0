/** PROXY headers of both versions: as the specification shows them, cut anywhere, and malformed. */
import { describe, expect, test } from "bun:test";
import { type ProxyHeader, parseProxyHeader } from "./proxy-header.ts";

const line = (text: string) => Buffer.from(text, "latin1");
const signature = "0d0a0d0a000d0a515549540a";
const binary = (hex: string) => Buffer.from(signature + hex.replaceAll(" ", ""), "hex");
const source = (address: string, port: number) => ({ address, port });

const headers: [string, Buffer, ProxyHeader["source"]][] = [
  ["version 1, IPv4", line("PROXY TCP4 255.255.255.255 192.0.2.1 65535 5222\r\n"), source("255.255.255.255", 65_535)],
  ["version 1, IPv6", line("PROXY TCP6 2001:DB8:0:0::7 2001:db8::1 0 5222\r\n"), source("2001:db8::7", 0)],
  ["version 1, IPv4 in IPv6", line("PROXY TCP6 ::ffff:192.0.2.7 ::1 5 5222\r\n"), source("192.0.2.7", 5)],
  ["version 1, unknown", line("PROXY UNKNOWN\r\n"), undefined],
  ["version 1, unknown and the longest line", line(`PROXY UNKNOWN ${"f".repeat(107 - 16)}\r\n`), undefined],
  ["version 2, IPv4", binary("21 11 000c c0000207 c0000201 c350 1466"), source("192.0.2.7", 50_000)],
  [
    "version 2, IPv6",
    binary(`21 21 0024 20010db8000000000000000000000007 ${"00".repeat(16)} c350 1466`),
    source("2001:db8::7", 50_000),
  ],
  [
    "version 2, IPv4 in IPv6",
    binary(`21 21 0024 00000000000000000000ffffc0000207 ${"00".repeat(16)} c350 1466`),
    source("192.0.2.7", 50_000),
  ],
  [
    "version 2 with fields of its own behind the addresses",
    binary("21 11 0013 c0000207 c0000201 c350 1466 04 0004 00000000"),
    source("192.0.2.7", 50_000),
  ],
  ["version 2, the balancer itself", binary("20 00 0000"), undefined],
  ["version 2, the balancer itself, with addresses", binary("20 11 000c c0000207 c0000201 c350 1466"), undefined],
  ["version 2, a Unix socket", binary(`21 31 00d8 ${"00".repeat(216)}`), undefined],
];

describe("a right header", () => {
  test.each(headers)("%s", (_name, bytes, expected) => {
    expect(parseProxyHeader(Buffer.concat([bytes, line("<stream")]))).toEqual({
      length: bytes.length,
      source: expected,
    });
  });

  test.each(headers)("%s, cut anywhere", (_name, bytes) => {
    for (let length = 0; length < bytes.length; length++)
      expect(parseProxyHeader(bytes.subarray(0, length))).toBeUndefined();
  });
});

const malformed: [string, Buffer, string][] = [
  ["a stream header", line("<?xml version='1.0'?>"), "it does not begin with a PROXY header"],
  ["TLS", Buffer.from("16030100", "hex"), "it does not begin with a PROXY header"],
  ["something like it", line("PROXX"), "it does not begin with a PROXY header"],
  ["a line without end", line(`PROXY TCP4 ${"1".repeat(200)}`), "its PROXY line does not end"],
  ["an address that is none", line("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), "its PROXY line is malformed"],
  ["an address of the other family", line("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), "its PROXY line is malformed"],
  ["an address with a zone", line("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), "its PROXY line is malformed"],
  ["another transport", line("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), "its PROXY line is malformed"],
  ["too large a port", line("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"), "its PROXY line is malformed"],
  ["a port that is none", line("PROXY TCP4 1.2.3.4 1.2.3.4 1e3 2\r\n"), "its PROXY line is malformed"],
  ["too few fields", line("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), "its PROXY line is malformed"],
  ["too many fields", line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"), "its PROXY line is malformed"],
  ["version 3", binary("31 11 000c"), "its PROXY header has version 3"],
  ["an unknown command", binary("22 11 000c"), "its PROXY header has command 2"],
  ["a length beyond reason", binary("21 11 ffff"), "its PROXY header is too long"],
  ["addresses cut short", binary("21 11 000b c0000207 c0000201 c350 14"), "its PROXY header ends within an address"],
];
test.each(malformed)("%s is refused", (_name, bytes, reason) => {
  expect(() => parseProxyHeader(bytes)).toThrow(reason);
});
