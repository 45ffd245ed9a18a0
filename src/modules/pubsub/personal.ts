/** Nodes of accounts whose content the server itself understands: bookmarks and avatars, which have older forms elsewhere. */
import type { Outcome } from "../../hooks/effect.ts";
import type { Registrar } from "../../hooks/points.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { Avatars } from "./avatars.ts";
import { Bookmarks } from "./bookmarks.ts";
import type { Core, PubSubService } from "./core.ts";
import type { Desk } from "./desk.ts";

export class Personal {
  readonly #core: Core;
  readonly #desk: Desk;
  readonly #bookmarks: Bookmarks;
  readonly #avatars: Avatars;

  constructor(core: Core, desk: Desk, on: Registrar, serviceOf: (account: Jid) => PubSubService) {
    this.#core = core;
    this.#desk = desk;
    const bookmarks = new Bookmarks(core, desk.publishing);
    const avatars = new Avatars(core, desk.publishing);
    this.#bookmarks = bookmarks;
    this.#avatars = avatars;
    on.answer("privateData", (account, name, namespace, stored) =>
      isOldBookmarks(name, namespace) ? bookmarks.asStorage(serviceOf(account), stored) : undefined,
    );
    on.answer("privateDataStored", (account, element) =>
      isOldBookmarks(element.name, element.ns) ? bookmarks.stored(serviceOf(account), account, element) : undefined,
    );
    on.answer("vcardPhotoChanged", (account, before, photo) =>
      avatars.fromVcard(serviceOf(account), account, before, photo),
    );
  }

  /** What is said of every account, as far as the modules of the older forms are there. */
  get features(): readonly string[] {
    const features: string[] = [];
    if (this.#core.house.service("privateStorage") !== undefined) features.push(`${ns.bookmarks}#compat`);
    if (this.#core.house.service("vcard") !== undefined) features.push(ns.avatarConversion);
    return features;
  }

  /** A request to an account, with what the older forms need before and after. */
  async answer(request: Stanza, service: PubSubService, pubsub: Element): Promise<Outcome> {
    const owner = request.from!.toBare();
    const own = service.account?.bare === owner.bare;
    if (own && pubsub.elements().some((element) => element.attr("node") === ns.bookmarks)) {
      await this.#bookmarks.prepare(service, owner);
    }
    const outcome = await this.#desk.answer(request, service, pubsub, false);
    const published = own ? pubsub.child("publish") : undefined;
    if (published?.attr("node") === ns.avatarMetadata) {
      const metadata = published.child("item")?.child("metadata", ns.avatarMetadata);
      if (metadata !== undefined) await this.#avatars.published(service, owner, metadata);
    }
    return outcome;
  }
}

function isOldBookmarks(name: string, namespace: string): boolean {
  return name === "storage" && namespace === ns.bookmarkStorage;
}
