/** XEP-0054 vcard-temp 1.3.0, with the avatar hashes of XEP-0153 1.1.1 in presence by the server (XEP-0398 1.0.0). */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import { type Effect, type MaybePromise, replaceWith, reply } from "../../hooks/effect.ts";
import { type Session, SessionSlot } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { photoOf } from "../../stanza/vcard-photo.ts";
import { then } from "../../util/maybe-promise.ts";
import { Element, parseElement } from "../../xml/element.ts";
import { raw, xml } from "../../xml/xml.ts";
import { withAvatarHash, withPhoto } from "./avatar.ts";
import { VcardStore, vcardMigrations } from "./vcard-store.ts";

/** The hash that a session's presence carries; unknown until its first presence. */
const avatarOf = new SessionSlot<string>("vcard avatar");

export const vcard = defineModule({
  name: "mod_vcard",
  summary: "Profiles of accounts, with a picture that contacts see.",
  xeps: [
    { number: 54, version: "1.3.0" },
    { number: 153, version: "1.1.1" },
    { number: 398, version: "1.0.0", note: "with mod_pubsub" },
  ],
  options: {
    backend: option.choice({
      doc: "Where vCards are kept.",
      values: ["rdbms"],
      default: "rdbms",
      unsupported: {
        mnesia: "vCards are kept in the SQL database",
        ldap: "vCards are kept in the SQL database",
      },
    }),
    search: option.boolean({
      doc: "Whether users can search the vCards of others (XEP-0055), which this version does not offer.",
      default: false,
      only: false,
    }),
    max_size: option.integer({
      doc: "Most bytes of a vCard, picture included; `max_stanza_size` of the listener limits it too.",
      default: 262_144,
      min: 1_024,
      unit: "bytes",
    }),
  },
  features: { server: [ns.vcard], account: [ns.vcard] },
  migrations: vcardMigrations,

  setup(on, context) {
    const { maxSize } = context.options;
    const store = new VcardStore(context.store);

    // The next presence of each resource asks again.
    const tell = context.notices("avatar", (key) => {
      const account = key === undefined ? undefined : parseJid(key);
      const sessions = account === undefined ? context.allSessions() : context.sessionsOf(account);
      for (const session of sessions) avatarOf.set(session, undefined);
    });

    const change = async (account: Jid, card: Element) => {
      const text = card.toXml();
      if (Buffer.byteLength(text) > maxSize) {
        throw new StanzaError("policy-violation", { text: `A vCard may have ${maxSize} bytes` });
      }
      const avatar = photoOf(card)?.hash ?? "";
      await store.set(account, text, avatar);
      // Section 4 of XEP-0398: the next presence of each resource tells.
      for (const session of context.sessionsOf(account)) avatarOf.set(session, avatar);
      tell(account.bare);
    };

    /** A vCard as its owner changes it. What follows from another picture is returned. */
    const replace = async (account: Jid, card: Element): Promise<readonly Effect[]> => {
      const before = await store.avatar(account);
      await change(account, card);
      const photo = photoOf(card);
      if ((photo?.hash ?? "") === before) return [];
      return (await context.ask("vcardPhotoChanged", account, before, photo)) ?? [];
    };

    on.iq("get", "account", ns.vcard, "vCard", async (_request, { target }) => {
      const card = await store.get(target);
      if (card === undefined) throw new StanzaError("item-not-found", { text: "You have no vCard" });
      return reply(raw(card));
    });
    on.iq("get", "user", ns.vcard, "vCard", async (_request, { target }) => {
      const card = await store.get(target);
      // Section 3.3: the same error whether the vCard or the account is missing.
      if (card === undefined) throw new StanzaError("service-unavailable");
      return reply(raw(card));
    });
    on.iq("set", "account", ns.vcard, "vCard", async (_request, { target, payload }) => {
      return replace(target, payload);
    });
    on.iq("set", "user", ns.vcard, "vCard", () => {
      throw new StanzaError("forbidden", { type: "cancel", text: "A vCard is changed by its owner alone" });
    });
    on.iq("get", "server", ns.vcard, "vCard", () =>
      reply(xml`<vCard xmlns='${ns.vcard}'><FN>Meerkat</FN><DESC>XMPP server of ${context.domain}</DESC></vCard>`),
    );

    /** Asks the database once a session. */
    const learnAvatar = (session: Session): MaybePromise<string> =>
      then(store.avatar(session.account), (avatar) => {
        // A vCard that was set meanwhile is newer than what was read.
        const known = avatarOf.get(session);
        if (known !== undefined) return known;
        avatarOf.set(session, avatar);
        return avatar;
      });

    on.stage("outgoing", "presence", (stanza, session) => {
      if (stanza.type !== undefined) return undefined;
      const known = avatarOf.get(session);
      if (known !== undefined) return replaceWith(withAvatarHash(stanza, known));
      const outcome = then(learnAvatar(session), (avatar) => replaceWith(withAvatarHash(stanza, avatar)));
      if (!(outcome instanceof Promise)) return outcome;
      return outcome.catch((error: unknown) => {
        // Without the database there is no picture, but presence all the same; the next one asks again.
        context.log.warn({ err: error, jid: session.jid.full }, "the hash of an avatar could not be read");
        return undefined;
      });
    });

    on.answer("avatarHash", (account) => {
      for (const session of context.sessionsOf(account)) {
        const known = avatarOf.get(session);
        if (known !== undefined) return known;
      }
      return store.avatar(account);
    });
    on.account("removed", (account) => store.remove(account));
    on.answer("personalData", (account) => [store.personalData(account)]);

    const check = async (account: Jid) => {
      if (!(await context.accountExists(account))) {
        throw new StanzaError("item-not-found", { text: "There is no such account" });
      }
    };
    on.provide("vcard", {
      async get(account) {
        await check(account);
        const card = await store.get(account);
        return card === undefined ? undefined : parseElement(card, "");
      },
      async set(account, card) {
        await check(account);
        if (!card.is("vCard", ns.vcard)) throw new StanzaError("bad-request", { text: "That is no vCard" });
        await context.run(await replace(account, card));
      },
      async setPhoto(account, photo) {
        const card = await store.get(account);
        if (card === undefined && photo === undefined) return;
        const before = card === undefined ? new Element("vCard", ns.vcard) : parseElement(card, "");
        if (photoOf(before)?.hash === photo?.hash) return;
        await change(account, withPhoto(before, photo));
      },
    });
    return undefined;
  },
});
