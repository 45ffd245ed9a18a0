/** Loopback, customers and ranges. */
import { describe, expect, test } from "bun:test";
import { IpRange, isLoopbackAddress, peerOf, plainAddress } from "./ip-address.ts";

test("loopback", () => {
  for (const address of ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"])
    expect(isLoopbackAddress(address)).toBe(true);
  for (const address of ["128.0.0.1", "::2", "127.evil.example", "", "::ffff:10.0.0.1"])
    expect(isLoopbackAddress(address)).toBe(false);
  expect(plainAddress("::FFFF:192.0.2.1")).toBe("192.0.2.1");
});

test("a peer is an IPv4 address or the /64 of an IPv6 one", () => {
  for (const [address, peer] of [
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["1::", "1:0:0:0::/64"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["", ""],
  ] as const) {
    expect(peerOf(address)).toBe(peer);
  }
});

describe("ranges", () => {
  for (const [range, address, expected] of [
    ["10.0.0.0/8", "10.255.1.2", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.7", "192.0.2.8", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "2001:db8::1", true],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["fe80::/10", "fe80::1%eth0", true],
    ["10.0.0.0/8", "not an address", false],
  ] as const) {
    test(`${address} in ${range}`, () => expect(IpRange.parse(range)!.includes(address)).toBe(expected));
  }

  test("what is none", () => {
    for (const text of [
      "",
      "10.0.0.0/33",
      "::/129",
      "10.0.0/8",
      "10.0.0.0/8/8",
      "10.0.0.0/",
      "a",
      "10.0.0.0/-1",
      "10.0.0.0/1e1",
    ])
      expect(IpRange.parse(text)).toBeUndefined();
  });
});
