/** `muc_light`: groups without presence (mod_muc_light). */
import type { LightBlocked, LightRoomDetails, LightRoomsService } from "../hooks/services.ts";
import type { Host } from "../router/host.ts";
import { type Jid, parseJid } from "../stanza/jid.ts";
import { pageArguments, roomMessages } from "./archived.ts";
import { type AdminContext, AdminError, type Arguments, argument, type Command, userOf } from "./command.ts";

const category = "muc_light";
const listMost = 50;
const pageMost = 500;

/** The rooms on this domain, and the host they belong to. */
function serving(context: AdminContext, domain: string): { rooms: LightRoomsService; host: Host } {
  for (const host of context.router.hosts.values()) {
    const rooms = host.registry.service("lightRooms");
    if (rooms?.domain === domain) return { rooms, host };
  }
  throw new AdminError("muc_domain_not_found", `There are no MUC Light rooms on ${domain}`);
}

const of = (context: AdminContext, room: Jid): LightRoomsService => serving(context, room.domain).rooms;

/** The rooms of the host a user belongs to. */
function ofUser(context: AdminContext, user: Jid): LightRoomsService {
  const rooms = context.router.hosts.get(user.domain)?.registry.service("lightRooms");
  if (rooms === undefined) throw new AdminError("deps_not_loaded", `${user.domain} has no mod_muc_light`);
  return rooms;
}

const room = argument.required("jid", "the room: den@muclight.example.org");
const user = argument.required("jid", "the user");
const name = argument.optional("text", "its name, for people (the field roomname)");
const subject = argument.optional("text", "what is spoken of (the field subject)");
const options = argument.optional("text", `other fields, as a JSON list: '[{"key": "display-lines", "value": "30"}]'`);

/** A JSON list of objects that all have these texts. */
function parseObjects(argumentName: string, text: string, keys: readonly string[]): Record<string, string>[] {
  try {
    const list: unknown = JSON.parse(text);
    const isRight = (one: unknown) =>
      typeof one === "object" && one !== null && keys.every((key) => typeof Reflect.get(one, key) === "string");
    if (Array.isArray(list) && list.every(isRight)) return list as Record<string, string>[];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new AdminError("bad_argument", `--${argumentName} must be a JSON list of objects with ${keys.join(", ")}`);
}

const shown = ({ participants, ...details }: LightRoomDetails) => ({
  ...details,
  participants: inCapitals(participants),
});

const inCapitals = (users: LightRoomDetails["participants"]) =>
  users.map(({ jid, affiliation }) => ({ jid, affiliation: affiliation.toUpperCase() }));

export const mucLightCommands: readonly Command[] = [
  {
    category,
    name: "listRooms",
    doc: "Lists rooms in the order of their addresses.",
    example: "meerkat ctl muc_light listRooms --mucDomain muclight.localhost --filter tea --limit 20",
    arguments: {
      mucDomain: argument.required("domain", "the domain of the rooms"),
      filter: argument.optional("text", "only those with this in their address or name"),
      after: argument.optional("jid", "the last room of the page before"),
      limit: argument.optional("integer", `most rooms; ${listMost} by default`),
    },
    run(context, args) {
      const filter = args.optionalText("filter");
      const after = args.optionalJid("after")?.local;
      const limit = Math.max(1, Math.min(args.optionalInteger("limit") ?? listMost, pageMost));
      return serving(context, args.text("mucDomain")).rooms.list({
        limit,
        ...(filter === undefined ? {} : { filter }),
        ...(after === undefined ? {} : { after }),
      });
    },
  },
  {
    category,
    name: "createRoom",
    doc: "Makes a room in the name of its owner.",
    example:
      "meerkat ctl muc_light createRoom --mucDomain muclight.localhost --owner alice@localhost --id den --name Tea",
    arguments: {
      mucDomain: argument.required("domain", "the domain of the rooms"),
      owner: argument.required("jid", "its owner"),
      name,
      subject,
      id: argument.optional("text", "the name in its address; else one is chosen"),
      options,
    },
    async run(context, args) {
      const { rooms } = serving(context, args.text("mucDomain"));
      const owner = await userOf(context, args.jid("owner"));
      return shown(await rooms.create(owner, args.optionalText("id"), givenFields(args)));
    },
  },
  {
    category,
    name: "getRoomConfig",
    doc: "Shows a room: its configuration and who is in it.",
    example: "meerkat ctl muc_light getRoomConfig --room den@muclight.localhost",
    arguments: { room },
    run: async (context, args) => shown(await of(context, args.jid("room")).room(args.jid("room").toBare())),
  },
  {
    category,
    name: "changeRoomConfiguration",
    doc: "Changes the configuration of a room in the name of an occupant who may; what is not named stays.",
    example:
      "meerkat ctl muc_light changeRoomConfiguration --room den@muclight.localhost --owner alice@localhost --subject Oolong",
    arguments: { room, owner: argument.required("jid", "who changes it"), name, subject, options },
    async run(context, args) {
      const address = args.jid("room").toBare();
      return shown(await of(context, address).configure(address, args.jid("owner"), givenFields(args)));
    },
  },
  {
    category,
    name: "listRoomUsers",
    doc: "Lists who is in a room.",
    example: "meerkat ctl muc_light listRoomUsers --room den@muclight.localhost",
    arguments: { room },
    async run(context, args) {
      const { participants } = await of(context, args.jid("room")).room(args.jid("room").toBare());
      return inCapitals(participants);
    },
  },
  {
    category,
    name: "listUserRooms",
    doc: "Lists the rooms a user is in.",
    example: "meerkat ctl muc_light listUserRooms --user alice@localhost",
    arguments: { user },
    async run(context, args) {
      return ofUser(context, args.jid("user")).roomsOf(await userOf(context, args.jid("user")));
    },
  },
  {
    category,
    name: "inviteUser",
    doc: "Adds a user to a room in the name of an occupant who may; whoever blocks is left out.",
    example:
      "meerkat ctl muc_light inviteUser --room den@muclight.localhost --sender alice@localhost --recipient bob@localhost",
    arguments: {
      room,
      sender: argument.required("jid", "who invites"),
      recipient: argument.required("jid", "who is invited"),
    },
    async run(context, args) {
      const recipient = await userOf(context, args.jid("recipient"));
      await of(context, args.jid("room")).invite(args.jid("room"), args.jid("sender"), recipient);
      return "User invited successfully";
    },
  },
  {
    category,
    name: "kickUser",
    doc: "Puts a user out of a room.",
    example: "meerkat ctl muc_light kickUser --room den@muclight.localhost --user bob@localhost",
    arguments: { room, user },
    async run(context, args) {
      await of(context, args.jid("room")).kick(args.jid("room"), args.jid("user"));
      return "User kicked successfully";
    },
  },
  {
    category,
    name: "sendMessageToRoom",
    doc: "Says something in a room in the name of an occupant.",
    example:
      "meerkat ctl muc_light sendMessageToRoom --room den@muclight.localhost --from alice@localhost --body 'hello all'",
    arguments: { room, from: argument.required("jid", "who says it"), body: argument.required("text", "what is said") },
    async run(context, args) {
      await of(context, args.jid("room")).send(args.jid("room"), args.jid("from"), args.text("body"));
      return "Message sent successfully";
    },
  },
  {
    category,
    name: "getRoomMessages",
    doc: "Shows the newest messages of a room's archive, oldest first.",
    example: "meerkat ctl muc_light getRoomMessages --room den@muclight.localhost --pageSize 20",
    arguments: { room, ...pageArguments },
    async run(context, args) {
      const address = args.jid("room").toBare();
      const { host, rooms } = serving(context, address.domain);
      await rooms.room(address);
      return roomMessages(host, address, args);
    },
  },
  {
    category,
    name: "getBlockingList",
    doc: "Shows which rooms and users a user does not want to be added to and by.",
    example: "meerkat ctl muc_light getBlockingList --user bob@localhost",
    arguments: { user },
    async run(context, args) {
      const items = await ofUser(context, args.jid("user")).blocking(await userOf(context, args.jid("user")));
      return items.map(({ kind, jid }) => ({ entityType: kind.toUpperCase(), action: "DENY", entity: jid }));
    },
  },
  {
    category,
    name: "setBlockingList",
    doc: "Changes which rooms and users a user does not want to be added to and by; what is not named stays.",
    example: `meerkat ctl muc_light setBlockingList --user bob@localhost --items '[{"entityType": "USER", "action": "DENY", "entity": "eve@localhost"}]'`,
    arguments: {
      user,
      items: argument.required(
        "text",
        "a JSON list of objects with entityType (USER, ROOM), action (ALLOW, DENY), entity",
      ),
    },
    async run(context, args) {
      const { deny, allow } = readItems(args.text("items"));
      await ofUser(context, args.jid("user")).setBlocking(await userOf(context, args.jid("user")), deny, allow);
      return "User blocking list updated successfully";
    },
  },
  {
    category,
    name: "deleteRoom",
    doc: "Puts everybody out and removes the room with all that was said in it.",
    example: "meerkat ctl muc_light deleteRoom --room den@muclight.localhost",
    arguments: { room },
    async run(context, args) {
      await of(context, args.jid("room")).remove(args.jid("room"));
      return "Room deleted successfully";
    },
  },
];

function givenFields(args: Arguments): [string, string][] {
  const fields: [string, string][] = [];
  const roomName = args.optionalText("name");
  const about = args.optionalText("subject");
  const others = args.optionalText("options");
  if (roomName !== undefined) fields.push(["roomname", roomName]);
  if (about !== undefined) fields.push(["subject", about]);
  if (others !== undefined) {
    for (const { key, value } of parseObjects("options", others, ["key", "value"])) fields.push([key!, value!]);
  }
  return fields;
}

function readItems(text: string): { deny: LightBlocked[]; allow: LightBlocked[] } {
  const deny: LightBlocked[] = [];
  const allow: LightBlocked[] = [];
  for (const { entityType, action, entity } of parseObjects("items", text, ["entityType", "action", "entity"])) {
    const jid = parseJid(entity!);
    const kind = entityType === "USER" ? "user" : entityType === "ROOM" ? "room" : undefined;
    if (jid === undefined || jid.local === "" || kind === undefined || (action !== "ALLOW" && action !== "DENY")) {
      throw new AdminError(
        "bad_argument",
        "--items: entityType is USER or ROOM, action ALLOW or DENY, entity an address",
      );
    }
    (action === "DENY" ? deny : allow).push({ kind, jid: jid.bare });
  }
  return { deny, allow };
}
