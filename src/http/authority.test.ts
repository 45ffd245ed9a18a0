/** Host headers, good and forged. */
import { describe, expect, test } from "bun:test";
import { authorityOf, isLoopback, namesDomain, parseAuthority } from "./authority.ts";

describe("the Host header", () => {
  const good: [string, string, string][] = [
    ["localhost", "localhost", "localhost"],
    ["Chat.Example.ORG:5280", "chat.example.org", "chat.example.org:5280"],
    ["example.org.", "example.org", "example.org."],
    ["10.0.0.7:80", "10.0.0.7", "10.0.0.7:80"],
    ["[2001:db8::1]:5443", "[2001:db8::1]", "[2001:db8::1]:5443"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["a", "a", "a"],
  ];
  test.each(good)("%s is taken", (header, host, text) => {
    expect(parseAuthority(header)).toEqual({ host, text });
  });

  const bad = [
    "",
    "a..b",
    ".example.org",
    "-a.example",
    "user@example.org",
    "example.org/path",
    "example.org;script-src *",
    "example.org:",
    "example.org:65536",
    "example.org:123456",
    "a b",
    "bücher.example",
    "[::1",
    "<script>",
    `${"a".repeat(271)}`,
  ];
  test.each(bad)("'%s' is refused", (header) => {
    expect(parseAuthority(header)).toBeUndefined();
  });

  test.each(["256.256.256.256", "1.2.3.4.5", "xn--a", "[:::]", "a b", "localhost:99999", "", "[::1"])(
    "a request to '%s' is for nobody",
    (host) => {
      // What the runtime makes of such a request.
      const request = { url: `http://${host}/ws-xmpp`, headers: new Headers({ host }) } as Request;
      expect(authorityOf(request)).toBeUndefined();
    },
  );

  test("a request without a URL, of HTTP/1.0 without a Host header, is for nobody", () => {
    expect(authorityOf({ url: "/", headers: new Headers() } as Request)).toBeUndefined();
  });

  test("a domain is named by its A-label", () => {
    expect(namesDomain("xn--bcher-kva.example", "bücher.example")).toBe(true);
    expect(namesDomain("example.org", "example.org")).toBe(true);
    expect(namesDomain("example.org", "example.com")).toBe(false);
  });

  test("only names that never leave the machine are loopback", () => {
    for (const host of ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
      expect(isLoopback(host)).toBe(true);
    for (const host of ["127.0.0.1.example", "localhost.example", "10.0.0.1", "[::2]"])
      expect(isLoopback(host)).toBe(false);
  });
});
