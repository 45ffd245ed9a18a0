/** Multi-User Chat Light (urn:xmpp:muclight:0, in the XSF's inbox): groups for phones, without presence. */
import { defineModule } from "../../hooks/define-module.ts";
import { parseJid } from "../../stanza/jid.ts";
import { LightAdministration } from "./administration.ts";
import { LegacyService } from "./legacy-service.ts";
import { LightRooms } from "./light-rooms.ts";
import { LightService } from "./light-service.ts";
import { lightMigrations } from "./light-store.ts";
import { mucLightOptions } from "./options.ts";
import { rosterItems } from "./room-list.ts";

export const mucLight = defineModule({
  name: "mod_muc_light",
  summary: "Groups without presence: whoever is in one gets what is said on all his devices, connected or not.",
  options: mucLightOptions,
  migrations: lightMigrations,

  setup(on, context) {
    const domain = parseJid(context.options.host.replaceAll("@HOST@", context.domain))?.domain;
    if (domain === undefined) throw new Error(`mod_muc_light: ${context.options.host} is no domain`);
    const rooms = new LightRooms(domain, context);
    const service = context.options.legacyMode ? new LegacyService(rooms) : new LightService(rooms);
    on.serve(domain, (stanza) => service.take(stanza));
    on.account("removed", (account) => rooms.removeAccount(account));
    on.account("guestRemoved", (account) => rooms.removeAccount(account));
    on.answer("personalData", (account) => rooms.store.personalData(account));
    on.answer("guestData", (account) => rooms.store.personalData(account));
    on.answer("roomKind", (served) => (served === domain ? "muclight" : undefined));
    on.answer("roomViewer", (room, account) => rooms.viewer(room, account));
    if (context.options.roomsInRosters) on.answer("rosterAdditions", (account) => rosterItems(rooms, account));
    on.provide("lightRooms", new LightAdministration(rooms));
    return undefined;
  },
});
