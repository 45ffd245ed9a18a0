/** Reading ZIP files whose content is not compressed, by their directory (APPNOTE section 4.3). */

const endMark = 0x06054b50;
const entryMark = 0x02014b50;

/** The texts of the files in it, by name. */
export function readZip(bytes: Buffer): Map<string, string> {
  let end = bytes.length - 22;
  while (end >= 0 && bytes.readUInt32LE(end) !== endMark) end--;
  if (end < 0) throw new Error("that is no ZIP file");
  const count = bytes.readUInt16LE(end + 10);
  let at = bytes.readUInt32LE(end + 16);
  const files = new Map<string, string>();
  for (let number = 0; number < count; number++) {
    if (bytes.readUInt32LE(at) !== entryMark) throw new Error("the directory is broken");
    if (bytes.readUInt16LE(at + 10) !== 0) throw new Error("only stored files are read");
    const size = bytes.readUInt32LE(at + 24);
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
    ];
    const local = bytes.readUInt32LE(at + 42);
    const name = bytes.toString("utf8", at + 46, at + 46 + nameLength);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    files.set(name, bytes.toString("utf8", start, start + size));
    at += 46 + nameLength + extra + comment;
  }
  return files;
}
