/**
 * XEP-0398: a picture published as XEP-0084 says becomes that of the vCard, and the other way round. Only pictures that
 * everybody may see (section 7): vCards are public.
 */
import { createHash } from "node:crypto";
import type { Effect } from "../../hooks/effect.ts";
import type { VcardPhoto } from "../../hooks/services.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { Element, parseElement } from "../../xml/element.ts";
import type { Core, PubSubNode, PubSubService } from "./core.ts";
import type { Publishing } from "./publishing.ts";

const open = new Map<string, readonly string[]>([["pubsub#access_model", ["open"]]]);

export class Avatars {
  readonly #core: Core;
  readonly #publishing: Publishing;

  constructor(core: Core, publishing: Publishing) {
    this.#core = core;
    this.#publishing = publishing;
  }

  /** Metadata has been published (section 3.1): the vCard's picture follows. */
  async published(service: PubSubService, owner: Jid, metadata: Element): Promise<void> {
    const vcard = this.#core.house.service("vcard");
    const data = await this.#core.nodes.find(service, ns.avatarData);
    if (vcard === undefined || data?.config.access_model !== "open") return;
    const infos = metadata.childrenNamed("info");
    const info = infos.find((one) => one.attr("url") === undefined);
    // A picture that is only elsewhere is none we could put into a vCard; no info at all says that there is no picture.
    if (info === undefined && infos.length > 0) return;
    const photo = info === undefined ? undefined : await this.#photo(data, info);
    if (info !== undefined && photo === undefined) return;
    try {
      await vcard.setPhoto(owner, photo);
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error;
      this.#core.house.log.info({ err: error, jid: owner.bare }, "a published avatar does not fit the vCard");
    }
  }

  async #photo(data: PubSubNode, info: Element): Promise<VcardPhoto | undefined> {
    const id = info.attr("id") ?? "";
    const item = await this.#core.store.item(data.id, id);
    if (item === undefined || item.payload === "") return undefined;
    const base64 = parseElement(item.payload, "").text().replace(/\s+/g, "");
    const hash = createHash("sha1").update(Buffer.from(base64, "base64")).digest("hex");
    if (hash !== id.toLowerCase()) return undefined;
    return { type: info.attr("type") ?? "image/png", base64, hash };
  }

  /** The picture of the vCard has been changed (section 3.2), or taken away. */
  async fromVcard(
    service: PubSubService,
    owner: Jid,
    before: string,
    photo: VcardPhoto | undefined,
  ): Promise<readonly Effect[]> {
    const current = await this.#current(service);
    if (photo === undefined) {
      // Only what came from the vCard goes with it.
      if (before === "" || current !== before) return [];
      return this.#publish(service, owner, ns.avatarMetadata, undefined, new Element("metadata", ns.avatarMetadata));
    }
    if (current === photo.hash) return [];
    const effects = await this.#publish(
      service,
      owner,
      ns.avatarData,
      photo.hash,
      new Element("data", ns.avatarData, {}, [photo.base64]),
    );
    const bytes = Buffer.byteLength(photo.base64, "base64");
    const info = new Element("info", ns.avatarMetadata, { id: photo.hash, type: photo.type, bytes });
    const metadata = new Element("metadata", ns.avatarMetadata, {}, [info]);
    return [...effects, ...(await this.#publish(service, owner, ns.avatarMetadata, photo.hash, metadata))];
  }

  /** The hash in the newest metadata. */
  async #current(service: PubSubService): Promise<string | undefined> {
    const node = await this.#core.nodes.find(service, ns.avatarMetadata);
    const [item] = node === undefined ? [] : await this.#core.store.newest(node.id, 1);
    if (item === undefined || item.payload === "") return undefined;
    return parseElement(item.payload, "").child("info")?.attr("id");
  }

  async #publish(
    service: PubSubService,
    owner: Jid,
    name: string,
    id: string | undefined,
    payload: Element,
  ): Promise<Effect[]> {
    const node =
      (await this.#core.nodes.find(service, name)) ?? (await this.#publishing.make(service, name, owner, open));
    return this.#publishing.publishOn(service, node, owner, [this.#publishing.given(id, [payload])]);
  }
}
