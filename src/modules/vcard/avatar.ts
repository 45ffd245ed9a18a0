/** XEP-0153 vCard-Based Avatars 1.1.1: the hash of a vCard's picture, and its place in presence as XEP-0398 wants it. */
import { createHash } from "node:crypto";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";

/** SHA-1 in hex of the picture in a vCard; "" when it has none, or none that can be decoded. */
export function avatarHashOf(vcard: Element): string {
  for (const photo of vcard.childrenNamed("PHOTO")) {
    // Section 4.5: white space, which line-wrapped base64 has, is ignored.
    const base64 = (photo.childText("BINVAL") ?? "").replace(/\s+/g, "");
    if (base64 === "" || !isBase64(base64)) continue;
    return createHash("sha1").update(Buffer.from(base64, "base64")).digest("hex");
  }
  return "";
}

function isBase64(text: string): boolean {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*$/.test(text.slice(0, text.length - padding));
}

/**
 * XEP-0398 section 4: an available presence with the hash of its sender's avatar. One that says there is no picture to
 * show (an empty `<photo/>`) stays as it is; an `<x/>` without photo is filled in; a hash that is not that of the vCard
 * is corrected where there is a picture.
 */
export function withAvatarHash(presence: Stanza, hash: string): Stanza {
  const update = presence.child("x", ns.vcardUpdate);
  if (update !== undefined) {
    const photo = update.child("photo");
    if (photo !== undefined) {
      const claimed = photo.text().trim();
      if (claimed === "" || claimed.toLowerCase() === hash || hash === "") return presence;
    }
  }
  const others = presence.withoutChildren((name, namespace) => name === "x" && namespace === ns.vcardUpdate);
  return others.withChild("x", ns.vcardUpdate, xml`<x xmlns='${ns.vcardUpdate}'><photo>${hash}</photo></x>`);
}
