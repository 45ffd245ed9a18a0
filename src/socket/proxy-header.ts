/** The PROXY protocol, versions 1 and 2 (HAProxy's specification): what a load balancer says of the client before its first byte. */
import { isIPv4, isIPv6 } from "node:net";
import { plainAddress } from "../util/ip-address.ts";

export interface ProxyHeader {
  /** How long the header is; what follows is the client's. */
  readonly length: number;
  /** The client; undefined where the balancer speaks for itself (a health check) or does not know. */
  readonly source: { readonly address: string; readonly port: number } | undefined;
}

/** What came is no such header; the message says why. */
export class ProxyHeaderError extends Error {
  override readonly name = "ProxyHeaderError";
}

/** Section 2.1: the longest line, with its end. */
const lineBytesMax = 107;
const lineStart = Buffer.from("PROXY ", "latin1");
const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const fixedBytes = 16;
/** Addresses and what balancers add of their own (TLS, VPC identifiers); 64 KiB would be possible. */
const restBytesMax = 4_096;

/**
 * Reads the header that these bytes begin with; undefined while it is not complete.
 * @throws ProxyHeaderError
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (begins(bytes, lineStart)) return bytes.length < lineStart.length ? undefined : parseLine(bytes);
  if (begins(bytes, signature)) return bytes.length < fixedBytes ? undefined : parseBinary(bytes);
  throw new ProxyHeaderError("it does not begin with a PROXY header");
}

/** Whether the bytes there are agree with the beginning of a header. */
function begins(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}

/** `PROXY TCP4 192.0.2.7 192.0.2.1 50000 5222\r\n`, or `PROXY UNKNOWN` and anything. */
function parseLine(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, lineBytesMax).indexOf("\r\n");
  if (end < 0) {
    if (bytes.length >= lineBytesMax) throw new ProxyHeaderError("its PROXY line does not end");
    return undefined;
  }
  const length = end + 2;
  const [, family, address = "", , port = "", ...more] = bytes.toString("latin1", 0, end).split(" ");
  if (family === "UNKNOWN") return { length, source: undefined };
  const right = family === "TCP4" ? isIPv4(address) : family === "TCP6" && isIPv6(address) && !address.includes("%");
  if (!right || more.length !== 1 || !isPort(port)) throw new ProxyHeaderError("its PROXY line is malformed");
  return { length, source: { address: canonical(address), port: Number(port) } };
}

function isPort(text: string): boolean {
  return /^(0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535;
}

const versionTwo = 2;
const commandLocal = 0;
const commandProxy = 1;
/** Family in the upper half, stream in the lower. */
const tcp4 = 0x11;
const tcp6 = 0x21;

/** Section 2.2: signature, version and command, family, length, addresses, and further fields that we pass over. */
function parseBinary(bytes: Buffer): ProxyHeader | undefined {
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 0x0f;
  const family = bytes[13]!;
  const rest = bytes.readUInt16BE(14);
  if (version !== versionTwo) throw new ProxyHeaderError(`its PROXY header has version ${version}`);
  if (command !== commandLocal && command !== commandProxy)
    throw new ProxyHeaderError(`its PROXY header has command ${command}`);
  if (rest > restBytesMax) throw new ProxyHeaderError("its PROXY header is too long");
  const length = fixedBytes + rest;
  if (bytes.length < length) return undefined;
  // "The receiver must accept this connection as valid and must use the real connection endpoints", for unknown families too.
  if (command === commandLocal || (family !== tcp4 && family !== tcp6)) return { length, source: undefined };
  const size = family === tcp4 ? 4 : 16;
  if (rest < 2 * size + 4) throw new ProxyHeaderError("its PROXY header ends within an address");
  const address = bytes.subarray(fixedBytes, fixedBytes + size);
  const port = bytes.readUInt16BE(fixedBytes + 2 * size);
  return { length, source: { address: family === tcp4 ? address.join(".") : ipv6Text(address), port } };
}

/** An IPv6 address as RFC 5952 writes it, so that one client has one name; IPv4 in IPv6 as what it is. */
function ipv6Text(address: Buffer): string {
  if (address.subarray(0, 12).equals(mappedPrefix)) return address.subarray(12).join(".");
  return canonical(Array.from({ length: 8 }, (_, at) => address.readUInt16BE(at * 2).toString(16)).join(":"));
}

const mappedPrefix = Buffer.from("00000000000000000000ffff", "hex");

function canonical(address: string): string {
  const plain = plainAddress(address);
  return isIPv4(plain) ? plain : new URL(`http://[${plain}]`).hostname.slice(1, -1);
}
