/** Addresses of peers: what counts as loopback, as one customer, or as part of a range written in CIDR. */
import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";

/** An IPv4 address that a dual-stack socket shows as IPv6 (`::ffff:192.0.2.1`) as what it is; others unchanged. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address);
  return mapped === null ? address : mapped[1]!;
}

/** Whether the peer is on this machine. */
export function isLoopbackAddress(address: string): boolean {
  const plain = plainAddress(address);
  return plain === "::1" || (isIPv4(plain) && plain.startsWith("127."));
}

/** What one customer of a provider holds: an IPv4 address, or the /64 of an IPv6 one. For counting by peer. */
export function peerOf(address: string): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = plain.split("%")[0]!.toLowerCase().split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  // An address in dotted notation at the end counts two groups.
  const groups = before.length + after.length + (plain.includes(".") ? 1 : 0);
  const all = tail === undefined ? before : [...before, ...new Array<string>(8 - groups).fill("0"), ...after];
  const network = all.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ""));
  return `${network.join(":")}::/64`;
}

/** Addresses from one to another, written `192.0.2.0/24`, `2001:db8::/32` or as a single address. */
export class IpRange {
  readonly #list = new BlockList();

  private constructor() {}

  /** Undefined when the text is no range. */
  static parse(text: string): IpRange | undefined {
    const [address = "", prefix, ...rest] = text.split("/");
    const version = isIP(address);
    if (version === 0 || rest.length > 0 || address.includes("%")) return undefined;
    const bitsMax = version === 4 ? 32 : 128;
    const bits = prefix === undefined ? bitsMax : Number(prefix);
    if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || bits > bitsMax)) return undefined;
    const range = new IpRange();
    range.#list.addSubnet(address, bits, version === 4 ? "ipv4" : "ipv6");
    return range;
  }

  includes(address: string): boolean {
    const plain = plainAddress(address).split("%")[0]!;
    const version = isIP(plain);
    return version !== 0 && this.#list.check(plain, version === 4 ? "ipv4" : "ipv6");
  }
}
