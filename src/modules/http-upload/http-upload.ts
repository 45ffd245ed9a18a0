/** XEP-0363 HTTP File Upload 1.2.0: clients send a file to a URL that they are given, and send another URL to their friends. */
import { defineModule } from "../../hooks/define-module.ts";
import { handled, type MaybePromise, type Outcome, route } from "../../hooks/effect.ts";
import { type DiscoInfo, discoForm, discoInfoElement, discoItemsElement } from "../../stanza/disco-info.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { UploadCleanup } from "./cleanup.ts";
import { uploadOptions } from "./options.ts";
import { personalUploads } from "./personal-data.ts";
import { readSlotRequest } from "./slot-request.ts";
import { uploadMigrations } from "./upload-store.ts";
import { Uploads, type UploadsHouse } from "./uploads.ts";

export const httpUpload = defineModule({
  name: "mod_http_upload",
  summary: "Lets clients upload files, such as pictures, and send their addresses to others.",
  xeps: [{ number: 363, version: "1.2.0", note: "the purposes profile and permanent are not told apart" }],
  options: uploadOptions,
  migrations: uploadMigrations,

  setup(on, context) {
    const address = parseJid(context.options.host.replaceAll("@HOST@", context.domain));
    if (address === undefined || !address.isDomain) {
      throw new Error(`mod_http_upload: '${context.options.host}' is no domain`);
    }
    const uploads = new Uploads(context);
    const service = new UploadDomain(context, uploads);
    on.serve(address.domain, (stanza) => service.take(stanza));
    on.provide("uploads", uploads);
    on.account("removed", (account) => uploads.forget(account));
    on.answer("personalData", (account) => [personalUploads(uploads, account)]);
    const cleanup = new UploadCleanup(context, uploads);
    cleanup.start();
    return () => cleanup.stop();
  },
});

/** What arrives for the domain of the service. */
class UploadDomain {
  readonly #house: UploadsHouse;
  readonly #uploads: Uploads;

  constructor(house: UploadsHouse, uploads: Uploads) {
    this.#house = house;
    this.#uploads = uploads;
  }

  take(stanza: Stanza): MaybePromise<Outcome> {
    if (stanza.kind === "presence" || stanza.type === "error" || stanza.type === "result") return handled;
    if (stanza.kind === "message" || stanza.to?.isDomain !== true) throw new StanzaError("service-unavailable");
    return this.#iq(stanza);
  }

  async #iq(request: Stanza): Promise<Outcome> {
    const answer = await this.#answer(request, request.firstChild()!);
    return [handled, route(resultOf(request, answer))];
  }

  #answer(request: Stanza, payload: Element): MaybePromise<Xml | undefined> {
    if (request.type === "get") {
      if (payload.is("request", ns.httpUpload)) return this.#slot(request.from!, payload);
      if (payload.is("query", ns.discoInfo)) return this.#info(payload);
      if (payload.is("query", ns.discoItems)) return discoItemsElement([]);
      if (payload.is("ping", ns.ping)) return undefined;
    }
    throw new StanzaError("service-unavailable");
  }

  /** Section 3. */
  #info(query: Element): Xml {
    if ((query.attr("node") ?? "") !== "") throw new StanzaError("item-not-found", { text: "There is no such node" });
    const purposes = ["message", "ephemeral"].map((purpose) => `${ns.httpUploadPurpose}#${purpose}`);
    const limit = { var: "max-file-size", values: [String(this.#uploads.fileBytesMax)] };
    const info: DiscoInfo = {
      identities: [{ category: "store", type: "file", name: "HTTP File Upload" }],
      features: [ns.discoInfo, ns.discoItems, ns.httpUpload, ...purposes, ns.ping],
      forms: [discoForm(ns.httpUpload, [limit])],
    };
    return discoInfoElement(info);
  }

  /** Section 5. */
  async #slot(from: Jid, payload: Element): Promise<Xml> {
    const account = from.toBare();
    if (
      from.domain !== this.#house.domain ||
      account.local === "" ||
      !this.#house.access.allow(this.#house.options.access, account)
    ) {
      throw new StanzaError("forbidden", { text: "You are not allowed to upload files here" });
    }
    if (!(await this.#house.accountExists(account))) throw new StanzaError("forbidden");
    const request = readSlotRequest(payload, this.#uploads.fileBytesMax, this.#house.clock.now());
    const { putUrl, getUrl } = await this.#uploads.slot(account, request);
    return xml`<slot xmlns='${ns.httpUpload}'><put url='${putUrl}'/><get url='${getUrl}'/></slot>`;
  }
}
