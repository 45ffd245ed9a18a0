/** `muc`: rooms, handled without asking after privileges. */
import type { RoomAffiliation, RoomSettings, RoomsService, RoomUser } from "../hooks/services.ts";
import type { Host } from "../router/host.ts";
import type { Jid } from "../stanza/jid.ts";
import { pageArguments, roomMessages } from "./archived.ts";
import { type AdminContext, AdminError, type Arguments, argument, type Command, userOf } from "./command.ts";

const category = "muc";
const listMost = 500;

/** The rooms on this domain, and the host they belong to. */
function serving(context: AdminContext, domain: string): { rooms: RoomsService; host: Host } {
  for (const host of context.router.hosts.values()) {
    const rooms = host.registry.service("rooms");
    if (rooms?.domain === domain) return { rooms, host };
  }
  throw new AdminError("muc_domain_not_found", `There are no rooms on ${domain}`);
}

const of = (context: AdminContext, room: Jid): RoomsService => serving(context, room.domain).rooms;

/** The node that has the room, or is to make it. */
const node = (context: AdminContext, args: Arguments): number | undefined =>
  of(context, args.jid("room")).nodeOf(args.jid("room"));

const room = argument.required("jid", "the room: den@conference.example.org");
const nick = argument.required("text", "the nickname of an occupant");
const reason = argument.optional("text", "told to those concerned");

/** What `--config` may hold, with the kind of each value. */
const settingKinds: { readonly [Key in keyof RoomSettings]: "text" | "boolean" | "integer" | "roles" } = {
  title: "text",
  description: "text",
  allowChangeSubject: "boolean",
  allowQueryUsers: "boolean",
  allowPrivateMessages: "boolean",
  allowVisitorStatus: "boolean",
  allowVisitorNickchange: "boolean",
  public: "boolean",
  publicList: "boolean",
  persistent: "boolean",
  moderated: "boolean",
  membersByDefault: "boolean",
  membersOnly: "boolean",
  allowUserInvites: "boolean",
  allowMultipleSession: "boolean",
  passwordProtected: "boolean",
  password: "text",
  anonymous: "boolean",
  logging: "boolean",
  mayGetMemberList: "roles",
  maxUsers: "integer",
};
const roles = ["MODERATOR", "PARTICIPANT", "VISITOR"];

function readSettings(text: string): Partial<RoomSettings> {
  const given = parseObject(text);
  for (const [name, value] of Object.entries(given)) {
    const kind = settingKinds[name as keyof RoomSettings];
    if (kind === undefined) {
      throw new AdminError(
        "bad_argument",
        `--config knows no ${name}; it takes ${Object.keys(settingKinds).join(", ")}`,
      );
    }
    const right =
      kind === "text"
        ? typeof value === "string"
        : kind === "boolean"
          ? typeof value === "boolean"
          : kind === "integer"
            ? Number.isSafeInteger(value) && (value as number) > 0
            : Array.isArray(value) && value.every((role) => roles.includes(role as string));
    if (!right) throw new AdminError("bad_argument", `--config: ${name} must be ${kindWords[kind]}`);
  }
  return given as Partial<RoomSettings>;
}

const kindWords = {
  text: "a text",
  boolean: "true or false",
  integer: "a whole number above 0",
  roles: `a list of ${roles.join(", ")}`,
} as const;

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new AdminError(
    "bad_argument",
    `--config must be a JSON object, such as '{"title": "Den", "persistent": true}'`,
  );
}

export const mucCommands: readonly Command[] = [
  {
    category,
    name: "listRooms",
    doc: "Lists rooms: persistent ones, then those that exist while somebody is in them.",
    example: "meerkat ctl muc listRooms --mucDomain conference.localhost --limit 20 --index 0",
    arguments: {
      mucDomain: argument.required("domain", "the domain of the rooms"),
      limit: argument.optional("integer", `most rooms; ${listMost} by default`),
      index: argument.optional("integer", "how many to leave out"),
    },
    async run(context, args) {
      const index = args.optionalInteger("index") ?? 0;
      const limit = Math.min(args.optionalInteger("limit") ?? listMost, 10_000);
      const { rooms, count } = await serving(context, args.text("mucDomain")).rooms.list(limit, index);
      return { rooms, count, index, first: rooms[0]?.jid ?? null, last: rooms.at(-1)?.jid ?? null };
    },
  },
  {
    category,
    name: "createInstantRoom",
    doc: "Makes a room with the configuration of new ones, in which its owner is.",
    example:
      "meerkat ctl muc createInstantRoom --room den@conference.localhost --owner alice@localhost/phone --nick Alice",
    node,
    arguments: { room, owner: argument.required("jid", "its owner"), nick },
    async run(context, args) {
      await userOf(context, args.jid("owner"));
      return of(context, args.jid("room")).create(args.jid("room"), args.jid("owner"), args.text("nick"));
    },
  },
  {
    category,
    name: "getRoomConfig",
    doc: "Shows the configuration of a room.",
    example: "meerkat ctl muc getRoomConfig --room den@conference.localhost",
    node,
    arguments: { room },
    run: (context, args) => of(context, args.jid("room")).settings(args.jid("room")),
  },
  {
    category,
    name: "changeRoomConfiguration",
    doc: "Changes the configuration of a room; what is not named stays.",
    example: `meerkat ctl muc changeRoomConfiguration --room den@conference.localhost --config '{"persistent": true}'`,
    node,
    arguments: { room, config: argument.required("text", "what to change, as a JSON object") },
    run: (context, args) =>
      of(context, args.jid("room")).configure(args.jid("room"), readSettings(args.text("config"))),
  },
  {
    category,
    name: "listRoomUsers",
    doc: "Lists who is in a room.",
    example: "meerkat ctl muc listRoomUsers --room den@conference.localhost",
    node,
    arguments: { room },
    async run(context, args) {
      const users = await of(context, args.jid("room")).users(args.jid("room"));
      return users.map((user) => ({ jid: user.jid, nick: user.nick, role: user.role.toUpperCase() }));
    },
  },
  {
    category,
    name: "listRoomAffiliations",
    doc: "Lists who is affiliated to a room, the banned included.",
    example: "meerkat ctl muc listRoomAffiliations --room den@conference.localhost --affiliation MEMBER",
    node,
    arguments: {
      room,
      affiliation: argument.optional("text", "only these", ["OWNER", "ADMIN", "MEMBER", "OUTCAST"]),
    },
    async run(context, args) {
      const only = args.optionalText("affiliation");
      const all = await of(context, args.jid("room")).affiliations(args.jid("room"));
      return all
        .map(({ jid, affiliation }) => ({ jid, affiliation: affiliation.toUpperCase() }))
        .filter(({ affiliation }) => only === undefined || affiliation === only);
    },
  },
  {
    category,
    name: "setUserAffiliation",
    doc: "Changes the affiliation of an account to a room.",
    example:
      "meerkat ctl muc setUserAffiliation --room den@conference.localhost --user bob@localhost --affiliation ADMIN",
    node,
    arguments: {
      room,
      user: argument.required("jid", "the account"),
      affiliation: argument.required("text", "the new one", ["OWNER", "ADMIN", "MEMBER", "OUTCAST", "NONE"]),
    },
    async run(context, args) {
      const affiliation = args.text("affiliation").toLowerCase() as RoomAffiliation["affiliation"] | "none";
      await of(context, args.jid("room")).setAffiliation(args.jid("room"), args.jid("user"), affiliation);
      return "Affiliation changed successfully";
    },
  },
  {
    category,
    name: "setUserRole",
    doc: "Changes the role of an occupant.",
    example: "meerkat ctl muc setUserRole --room den@conference.localhost --nick Bob --role VISITOR",
    node,
    arguments: { room, nick, role: argument.required("text", "the new one", roles) },
    async run(context, args) {
      const role = args.text("role").toLowerCase() as RoomUser["role"];
      await of(context, args.jid("room")).setRole(args.jid("room"), args.text("nick"), role);
      return "Role changed successfully";
    },
  },
  {
    category,
    name: "kickUser",
    doc: "Puts an occupant out of a room.",
    example: "meerkat ctl muc kickUser --room den@conference.localhost --nick Bob --reason rude",
    node,
    arguments: { room, nick, reason },
    async run(context, args) {
      await of(context, args.jid("room")).kick(args.jid("room"), args.text("nick"), args.optionalText("reason"));
      return "User kicked successfully";
    },
  },
  {
    category,
    name: "inviteUser",
    doc: "Invites somebody into a room.",
    example:
      "meerkat ctl muc inviteUser --room den@conference.localhost --sender alice@localhost --recipient bob@localhost",
    node,
    arguments: {
      room,
      sender: argument.required("jid", "who invites"),
      recipient: argument.required("jid", "who is invited"),
      reason,
    },
    async run(context, args) {
      const {
        room: address,
        sender,
        recipient,
      } = { room: args.jid("room"), sender: args.jid("sender"), recipient: args.jid("recipient") };
      await of(context, address).invite(address, sender, recipient, args.optionalText("reason"));
      return "Invitation successfully sent";
    },
  },
  {
    category,
    name: "sendMessageToRoom",
    doc: "Says something in a room; who is not in it speaks as the room itself.",
    example:
      "meerkat ctl muc sendMessageToRoom --room den@conference.localhost --from alice@localhost/phone --body hello",
    node,
    arguments: { room, from: argument.required("jid", "who says it"), body: argument.required("text", "what is said") },
    async run(context, args) {
      await of(context, args.jid("room")).send(args.jid("room"), args.jid("from"), args.text("body"));
      return "Message successfully sent";
    },
  },
  {
    category,
    name: "sendPrivateMessage",
    doc: "Writes to one occupant in the name of another.",
    example:
      "meerkat ctl muc sendPrivateMessage --room den@conference.localhost --from alice@localhost/phone --toNick Bob --body hello",
    node,
    arguments: {
      room,
      from: argument.required("jid", "the device of an occupant"),
      toNick: argument.required("text", "the nickname of the other"),
      body: argument.required("text", "what is said"),
    },
    async run(context, args) {
      const rooms = of(context, args.jid("room"));
      await rooms.sendPrivately(args.jid("room"), args.jid("from"), args.text("toNick"), args.text("body"));
      return "Message successfully sent";
    },
  },
  {
    category,
    name: "enterRoom",
    doc: "Takes a connected device into a room.",
    example: "meerkat ctl muc enterRoom --room den@conference.localhost --user bob@localhost/pc --nick Bob",
    node,
    arguments: {
      room,
      user: argument.required("jid", "the device: account with resource"),
      nick,
      password: argument.optional("secret", "the room's password"),
    },
    async run(context, args) {
      const rooms = of(context, args.jid("room"));
      await rooms.enter(args.jid("room"), args.jid("user"), args.text("nick"), args.optionalText("password"));
      return "Entered the room successfully";
    },
  },
  {
    category,
    name: "exitRoom",
    doc: "Takes a device out of a room, as if it had left.",
    example: "meerkat ctl muc exitRoom --room den@conference.localhost --user bob@localhost/pc --nick Bob",
    node,
    arguments: { room, user: argument.required("jid", "the device: account with resource"), nick },
    async run(context, args) {
      await of(context, args.jid("room")).exit(args.jid("room"), args.jid("user"), args.text("nick"));
      return "Exited the room successfully";
    },
  },
  {
    category,
    name: "getRoomMessages",
    doc: "Shows the newest messages of a room's archive, oldest first.",
    example: "meerkat ctl muc getRoomMessages --room den@conference.localhost --pageSize 20",
    arguments: { room, ...pageArguments },
    run(context, args) {
      const address = args.jid("room").toBare();
      return roomMessages(serving(context, address.domain).host, address, args);
    },
  },
  {
    category,
    name: "deleteRoom",
    doc: "Puts everybody out and removes the room with all that was said in it.",
    example: "meerkat ctl muc deleteRoom --room den@conference.localhost --reason 'no longer needed'",
    node,
    arguments: { room, reason },
    async run(context, args) {
      await of(context, args.jid("room")).remove(args.jid("room"), args.optionalText("reason"));
      return "Room deleted successfully";
    },
  },
];
