/** XEP-0313 Message Archive Management 1.1.3: what was said stays readable, on every device and in every room. */
import { defineModule } from "../../hooks/define-module.ts";
import { reply } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { TimeIds } from "../../util/time-ids.ts";
import { ArchiveCleanup } from "./archive-cleanup.ts";
import { ArchiveStore } from "./archive-store.ts";
import { archiveMigrations } from "./archive-tables.ts";
import { mamOptions, roomOptions, userOptions } from "./options.ts";
import { PreferenceBook, preferencesElement, readPreferences } from "./preferences.ts";
import { archiveFeatures, RoomArchives } from "./room-archives.ts";
import { mine, UserArchives } from "./user-archives.ts";

export const mam = defineModule({
  name: "mod_mam",
  summary: "Archives: every device of a user, and everybody in a room, can read what was said before.",
  xeps: [
    { number: 313, version: "1.1.3" },
    { number: 59, version: "1.0" },
    { number: 334, version: "1.0.0", note: "of archives: no-store, no-permanent-store and store" },
    { number: 359, version: "0.7.0" },
    {
      number: 424,
      version: "0.4.2",
      note: "tombstones; retractions name messages by their id, in rooms by their stanza id",
    },
    { number: 425, version: "0.3.0", note: "tombstones; the room's own module carries moderation out" },
    { number: 431, version: "0.2.0" },
    { number: 441, version: "0.2.0" },
  ],
  options: mamOptions,
  migrations: archiveMigrations,

  setup(on, context) {
    const { options } = context;
    const ids = new TimeIds(() => context.clusterNow(), context.random, context.nodeNumber);
    const pm = userOptions(options);
    const muc = roomOptions(options);

    if (pm !== undefined) {
      const preferences = options.userPrefsStore === undefined ? undefined : new PreferenceBook(context);
      const archives = new UserArchives(context, pm, ids, preferences);
      on.stage("outgoing", "message", (stanza, session) => archives.sent(stanza, session));
      on.stage("incoming", "message", (stanza, account) => archives.received(stanza, account));

      on.iq("get", "user", ns.mam, "query", (_request, iq) => reply(archives.form(iq)));
      on.iq("set", "user", ns.mam, "query", (request, iq) => archives.query(request, iq));
      on.iq("get", "user", ns.mam, "metadata", async (_request, iq) => reply(await archives.metadata(iq)));
      on.iq("get", "user", ns.mam, "prefs", async (_request, iq) => {
        const account = mine(iq);
        if (preferences === undefined) throw noPreferences();
        return reply(preferencesElement(await preferences.get(account)));
      });
      on.iq("set", "user", ns.mam, "prefs", async (_request, iq) => {
        const account = mine(iq);
        if (preferences === undefined) throw noPreferences();
        const wanted = readPreferences(iq.payload);
        await preferences.set(account, wanted);
        return reply(preferencesElement(wanted));
      });

      const features = [...archiveFeatures(pm), `${ns.mam}#groupchat-field`, ns.stanzaIds];
      if (pm.archiveGroupchats) features.push(`${ns.mam}#groupchat-available`);
      on.answer("accountFeatures", () => features);
      on.answer("keepsArchive", () => true);
      on.answer("sentArchiveId", (stanza) => archives.sentId(stanza));
      on.answer("readFromArchive", (session, id) => archives.readBy(session, id));
      on.answer("readsArchive", (session) => archives.reads(session));
      on.answer("personalData", (account) => archives.personalData(account));
      on.bound((session) => archives.bound(session));
      on.account("removed", (account) => archives.removeAccount(account));
      on.provide("archive", archives);
    }

    if (muc !== undefined) {
      const rooms = new RoomArchives(context, muc, ids);
      for (const question of ["personalData", "guestData"] as const) {
        on.answer(question, (account) => [rooms.personalData(account)]);
      }
      on.account("removed", (account) => rooms.removeAccount(account));
      on.account("guestRemoved", (account) => rooms.removeAccount(account));
      on.provide("roomArchive", rooms);
    }

    const limited = [pm, muc].some(
      (part) => part !== undefined && (Number.isFinite(part.maxAgeMs) || Number.isFinite(part.maxMessages)),
    );
    if (!limited) return undefined;
    const store = new ArchiveStore(context.store);
    const cleanup = new ArchiveCleanup(context, store, options.cleanupIntervalMs, (owner) => {
      const domain = owner.slice(owner.indexOf("@") + 1);
      if (domain === context.domain) return pm;
      // Rooms may be on any domain, also one that has nothing of the host's name.
      for (const served of context.servedDomains()) if (served === domain) return muc;
      return undefined;
    });
    cleanup.start();
    return () => cleanup.stop();
  },
});

/** XEP-0441 section 2.1. */
function noPreferences(): StanzaError {
  return new StanzaError("feature-not-implemented", { text: "This server archives everything" });
}
