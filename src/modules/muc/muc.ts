/** XEP-0045 Multi-User Chat 1.35.5: rooms on a domain of their own. */
import { defineModule } from "../../hooks/define-module.ts";
import { parseJid } from "../../stanza/jid.ts";
import { RoomAdministration } from "./administration.ts";
import { mucOptions } from "./options.ts";
import { RoomService } from "./room-service.ts";
import { roomMigrations } from "./room-store.ts";

export const muc = defineModule({
  name: "mod_muc",
  summary: "Rooms in which many people talk with each other, on a domain of their own.",
  xeps: [
    {
      number: 45,
      version: "1.35.5",
      note: "admins see the lists of owners and admins, too; an invitation does not tell who has no account",
    },
    { number: 153, version: "1.1.1" },
    { number: 249, version: "1.2" },
    { number: 307, version: "0.1" },
    { number: 410, version: "1.1.0" },
    { number: 421, version: "1.0.1" },
    { number: 425, version: "0.3.0" },
    { number: 486, version: "0.1.0" },
  ],
  options: mucOptions,
  migrations: roomMigrations,

  setup(on, context) {
    const domain = parseJid(context.options.host.replaceAll("@HOST@", context.domain))?.domain;
    if (domain === undefined) throw new Error(`mod_muc: ${context.options.host} is no domain`);
    const service = new RoomService(domain, context);
    on.serve(domain, (stanza, origin) => service.take(stanza, origin));
    on.account("removed", (account) => service.removeAccount(account));
    on.account("guestRemoved", (account) => service.removeAccount(account));
    // Every node is told, and looks after the rooms it has itself.
    on.cluster("lost", ({ jid }) => service.occupantGone(jid));
    on.stopping(() => service.shutDown());
    on.answer("personalData", (account) => service.store.personalData(account));
    on.answer("guestData", (account) => service.store.personalData(account));
    on.answer("roomKind", (served) => (served === domain ? "muc" : undefined));
    on.answer("roomViewer", (room, account) => service.viewers.of(room, account));
    on.provide("rooms", new RoomAdministration(service));
    return service.start();
  },
});
