/** Rooms as operators handle them: whoever they act for, no privilege is asked after. */
import { type Effect, type Outcome, route } from "../../hooks/effect.ts";
import type { RoomAffiliation, RoomDetails, RoomSettings, RoomsService, RoomUser } from "../../hooks/services.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { message, presence, type Stanza } from "../../stanza/stanza.ts";
import { xml } from "../../xml/xml.ts";
import { changeAffiliations, changeRoles } from "./affiliations.ts";
import { putOut } from "./entering.ts";
import { invitation } from "./invitations.ts";
import { publish, takeMessage } from "./messages.ts";
import { configure, destroy } from "./ownership.ts";
import type { Room } from "./room.ts";
import { type OccupantRole, occupantRoles, type PrivateMessagePolicy, type RoomConfig } from "./room-config.ts";
import { details } from "./room-lists.ts";
import type { RoomService } from "./room-service.ts";

const nobody: { owners: undefined; admins: undefined } = { owners: undefined, admins: undefined };

export class RoomAdministration implements RoomsService {
  readonly #service: RoomService;

  constructor(service: RoomService) {
    this.#service = service;
  }

  get domain(): string {
    return this.#service.domain;
  }

  async list(limit: number, index: number) {
    return this.#service.lists.all(limit, index);
  }

  nodeOf(address: Jid): number | undefined {
    return this.#service.nodeOf(address);
  }

  async create(address: Jid, owner: Jid, nick: string): Promise<RoomDetails> {
    this.#service.requireHere(address);
    if ((await this.#service.find(address)) !== undefined) {
      throw new StanzaError("conflict", { text: "There is such a room" });
    }
    await this.#run(
      this.#service.take(
        presence({ from: owner, to: address.withResource(nick), payload: xml`<x xmlns='${ns.muc}'/>` }),
        undefined,
      ),
    );
    const room = await this.#room(address);
    await this.#run(room.inOrder(() => configure(room, owner, { config: room.state.config, ...nobody })));
    return details(room);
  }

  async settings(address: Jid): Promise<RoomSettings> {
    return settings((await this.#room(address)).state.config);
  }

  async configure(address: Jid, change: Partial<RoomSettings>): Promise<RoomSettings> {
    const room = await this.#room(address);
    const owner = this.#service.owner;
    await this.#run(
      room.inOrder(() => configure(room, owner, { config: changed(room.state.config, change), ...nobody }, true)),
    );
    return settings(room.state.config);
  }

  async remove(address: Jid, reason: string | undefined): Promise<void> {
    await this.#run(destroy(await this.#room(address), { reason }));
  }

  async users(address: Jid): Promise<readonly RoomUser[]> {
    const room = await this.#room(address);
    return [...room.state.occupants.values()].map(({ nick, role, main }) => ({ nick, role, jid: main.jid.full }));
  }

  async affiliations(address: Jid): Promise<readonly RoomAffiliation[]> {
    const room = await this.#room(address);
    return room.state.affiliationRows().map(({ jid, affiliation }) => ({ jid, affiliation }));
  }

  async setAffiliation(
    address: Jid,
    account: Jid,
    affiliation: RoomAffiliation["affiliation"] | "none",
  ): Promise<void> {
    await this.#run(changeAffiliations(await this.#room(address), undefined, [{ jid: account.toBare(), affiliation }]));
  }

  async setRole(address: Jid, nick: string, role: OccupantRole): Promise<void> {
    const room = await this.#room(address);
    occupant(room, nick);
    await this.#run(changeRoles(room, undefined, [{ nick, role }]));
  }

  async kick(address: Jid, nick: string, reason: string | undefined): Promise<void> {
    const room = await this.#room(address);
    await this.#run(putOut(room, occupant(room, nick), { codes: [307], reason }));
  }

  async invite(address: Jid, from: Jid, to: Jid, reason: string | undefined): Promise<void> {
    const room = await this.#room(address);
    await this.#run(route(message({ from: room.jid, to, payload: invitation(room, from, reason) })));
  }

  async send(address: Jid, from: Jid, body: string): Promise<void> {
    const room = await this.#room(address);
    const stanza = message({ from, to: room.jid, type: "groupchat", payload: xml`<body>${body}</body>` });
    if (room.state.occupantAt(from) !== undefined) return this.#run(takeMessage(room, stanza));
    // Who is not in the room speaks as the room itself.
    const announcement = stanza.withAddresses(room.jid, undefined);
    const occupantId = room.state.occupantId(from.toBare());
    await this.#run(publish(room, announcement, { sender: from, occupantId, remembered: true, subject: undefined }));
  }

  async sendPrivately(address: Jid, from: Jid, nick: string, body: string): Promise<void> {
    const room = await this.#room(address);
    const to = occupant(room, nick).address;
    await this.#run(takeMessage(room, message({ from, to, type: "chat", payload: xml`<body>${body}</body>` })));
  }

  async enter(address: Jid, user: Jid, nick: string, password: string | undefined): Promise<void> {
    const room = await this.#room(address);
    const key = password === undefined ? undefined : xml`<password>${password}</password>`;
    await this.#through(room, user, nick, presence({ payload: xml`<x xmlns='${ns.muc}'>${key}</x>` }));
  }

  async exit(address: Jid, user: Jid, nick: string): Promise<void> {
    await this.#through(await this.#room(address), user, nick, presence({ type: "unavailable" }));
  }

  async #through(room: Room, user: Jid, nick: string, stanza: Stanza): Promise<void> {
    await this.#run(room.take(stanza.withAddresses(user, room.jid.withResource(nick))));
  }

  async #room(address: Jid): Promise<Room> {
    this.#service.requireHere(address);
    const room = await this.#service.find(address);
    if (room === undefined) throw new StanzaError("item-not-found", { text: `There is no room ${address.bare}` });
    return room;
  }

  async #run(outcome: Outcome | Promise<Outcome>): Promise<void> {
    const settled = await outcome;
    if (settled === undefined) return;
    const effects: readonly Effect[] = "length" in settled ? settled : [settled];
    const refused = effects.find((effect) => effect.do === "route" && effect.stanza.type === "error");
    if (refused?.do === "route") {
      const error = refused.stanza.child("error")!;
      throw new StanzaError("not-acceptable", {
        text: error.childText("text", ns.stanzaErrors) ?? error.elements()[0]!.name,
      });
    }
    await this.#service.context.run(effects.filter((effect) => effect.do !== "reply" && effect.do !== "handled"));
  }
}

function occupant(room: Room, nick: string) {
  const found = room.state.occupants.get(nick);
  if (found === undefined) throw new StanzaError("item-not-found", { text: `Nobody in the room is called ${nick}` });
  return found;
}

function settings(config: RoomConfig): RoomSettings {
  return {
    title: config.title,
    description: config.description,
    allowChangeSubject: config.allowChangeSubject,
    allowQueryUsers: config.allowQueryUsers,
    allowPrivateMessages: config.allowPrivateMessages !== "none",
    allowVisitorStatus: config.allowVisitorStatus,
    allowVisitorNickchange: config.allowVisitorNickchange,
    public: config.public,
    publicList: config.publicList,
    persistent: config.persistent,
    moderated: config.moderated,
    membersByDefault: config.membersByDefault,
    membersOnly: config.membersOnly,
    allowUserInvites: config.allowUserInvites,
    allowMultipleSession: config.allowMultipleSessions,
    passwordProtected: config.passwordProtected,
    password: config.password,
    anonymous: config.anonymous,
    logging: config.logging,
    mayGetMemberList: config.mayGetMemberList.map((role) => role.toUpperCase()),
    maxUsers: config.maxUsers,
  };
}

function changed(config: RoomConfig, change: Partial<RoomSettings>): RoomConfig {
  const { allowPrivateMessages, allowMultipleSession, mayGetMemberList, ...same } = change;
  const privately: PrivateMessagePolicy | undefined =
    allowPrivateMessages === undefined ? undefined : allowPrivateMessages ? "anyone" : "none";
  const roles = mayGetMemberList?.map((role) => role.toLowerCase());
  return {
    ...config,
    ...same,
    ...(privately === undefined ? {} : { allowPrivateMessages: privately }),
    ...(allowMultipleSession === undefined ? {} : { allowMultipleSessions: allowMultipleSession }),
    ...(roles === undefined ? {} : { mayGetMemberList: occupantRoles.filter((role) => roles.includes(role)) }),
  };
}
