/** XEP-0153 vCard-Based Avatars 1.1.1: the picture in a vCard, and the hash by which it is known. */
import { createHash } from "node:crypto";
import type { Element } from "../xml/element.ts";

/** The picture in a vCard; undefined when it has none, or none that can be decoded. `hash` is SHA-1 in hex. */
export function photoOf(vcard: Element): { type: string; base64: string; hash: string } | undefined {
  for (const photo of vcard.childrenNamed("PHOTO")) {
    // Section 4.5: white space, which line-wrapped base64 has, is ignored.
    const base64 = (photo.childText("BINVAL") ?? "").replace(/\s+/g, "");
    if (base64 === "" || !isBase64(base64)) continue;
    const hash = createHash("sha1").update(Buffer.from(base64, "base64")).digest("hex");
    return { type: photo.childText("TYPE")?.trim() || "image/png", base64, hash };
  }
  return undefined;
}

function isBase64(text: string): boolean {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*$/.test(text.slice(0, text.length - padding));
}
