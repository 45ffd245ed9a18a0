/** XEP-0153 vCard-Based Avatars 1.1.1: the hash of a vCard's picture, and its place in presence as XEP-0398 wants it. */
import type { VcardPhoto } from "../../hooks/services.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";

/** The vCard with another picture, or none. */
export function withPhoto(vcard: Element, photo: VcardPhoto | undefined): Element {
  const others = vcard.children.filter((child) => typeof child === "string" || child.name !== "PHOTO");
  const changed = new Element(vcard.name, vcard.ns, Object.fromEntries(vcard.attributes), others);
  if (photo === undefined) return changed;
  const type = new Element("TYPE", vcard.ns, {}, [photo.type]);
  const data = new Element("BINVAL", vcard.ns, {}, [photo.base64]);
  return changed.append(new Element("PHOTO", vcard.ns, {}, [type, data]));
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
