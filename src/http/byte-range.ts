/** One byte range of a request (RFC 9110 section 14). */

/** `to` is the last byte. `unsatisfiable`: the range is well formed and outside. */
export type ByteRange = { readonly from: number; readonly to: number } | "unsatisfiable";

/**
 * The range that a `Range` header asks for in `size` bytes. Undefined when the whole is to be sent: there is no header, it makes no sense, its
 * unit is another, or it asks for several ranges, which a server need not serve (section 14.2).
 */
export function byteRange(header: string | null, size: number): ByteRange | undefined {
  const match = header === null ? null : /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header);
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "") {
    if (last === "") return undefined;
    const count = Math.min(Number(last), size);
    return count === 0 ? "unsatisfiable" : { from: size - count, to: size - 1 };
  }
  const from = Number(first);
  const to = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < from) return undefined;
  return from >= size ? "unsatisfiable" : { from, to };
}
