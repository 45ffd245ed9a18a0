/** The options of mod_muc, with the names MongooseIM gives them. */
import { type OptionsOf, option } from "../../config/option.ts";

const affiliation = option.table(
  {
    user: option.string({ doc: "The local part of an account.", required: true }),
    server: option.string({ doc: "Its domain.", required: true }),
    affiliation: option.choice({
      doc: "What it is in every new room.",
      values: ["owner", "admin", "member", "outcast"],
      required: true,
    }),
  },
  { doc: "Somebody with an affiliation to every new room." },
);

const defaultRoom = option.table(
  {
    title: option.string({ doc: "A name for people.", default: "" }),
    description: option.string({ doc: "What it is for.", default: "" }),
    allow_change_subj: option.boolean({ doc: "Whether participants may change the subject.", default: true }),
    allow_query_users: option.boolean({ doc: "Whether occupants may send IQs to each other.", default: true }),
    allow_private_messages: option.boolean({ doc: "Whether occupants may send each other messages.", default: true }),
    allow_visitor_status: option.boolean({ doc: "Whether visitors' status texts are shown.", default: true }),
    allow_visitor_nickchange: option.boolean({ doc: "Whether visitors may change their nicknames.", default: true }),
    public: option.boolean({ doc: "Whether the room is found in the list of rooms.", default: true }),
    public_list: option.boolean({
      doc: "Whether whoever may enter without a password sees who is in the room.",
      default: true,
    }),
    persistent: option.boolean({ doc: "Whether it stays when its last occupant leaves.", default: false }),
    moderated: option.boolean({ doc: "Whether only those with voice may speak.", default: true }),
    members_by_default: option.boolean({
      doc: "Whether whoever enters is a participant, also when the room is moderated.",
      default: true,
    }),
    members_only: option.boolean({ doc: "Whether only members may enter.", default: false }),
    allow_user_invites: option.boolean({
      doc: "Whether occupants without privileges may invite others.",
      default: false,
    }),
    allow_multiple_sessions: option.boolean({
      doc: "Whether several devices of one user may share a nickname.",
      default: false,
    }),
    password_protected: option.boolean({ doc: "Whether a password is needed to enter.", default: false }),
    password: option.string({ doc: "The password.", default: "", secret: true }),
    anonymous: option.boolean({ doc: "Whether real addresses are shown to moderators only.", default: true }),
    max_users: option.integer({ doc: "Most occupants.", default: 200, min: 1 }),
    logging: option.boolean({
      doc: "Whether what is said is kept in the archive, where mod_mam has one for rooms.",
      default: true,
    }),
    maygetmemberlist: option.list(
      option.choice({ doc: "A role.", values: ["moderator", "participant", "visitor"], required: true }),
      { doc: "Who besides admins may see the list of members.", distinct: true },
    ),
    affiliations: option.list(affiliation, { doc: "Affiliations that every new room begins with." }),
    subject: option.string({ doc: "What is spoken of.", default: "" }),
    subject_author: option.string({ doc: "The nickname the first subject is from.", default: "" }),
  },
  { doc: "The configuration of new rooms." },
);

export const mucOptions = {
  host: option.string({
    doc: "The domain of the rooms; @HOST@ stands for the host's own.",
    default: "conference.@HOST@",
    allowed: "a domain, or a pattern such as conference.@HOST@",
    check: (text: string) => text !== "" && !/[\s/@]/.test(text.replace("@HOST@", "host")),
  }),
  backend: option.choice({
    doc: "Where persistent rooms are kept.",
    values: ["rdbms"],
    default: "rdbms",
    unsupported: { mnesia: "rooms are kept in the SQL database" },
  }),
  access: option.access({ doc: "The access rule that says who may use the service.", default: "all" }),
  access_create: option.access({ doc: "The access rule that says who may create rooms.", default: "all" }),
  access_admin: option.access({
    doc: "The access rule that says who is owner of every room.",
    default: "none",
  }),
  access_persistent: option.access({ doc: "The access rule that says who may make rooms persistent.", default: "all" }),
  history_size: option.integer({
    doc: "Most messages that those who enter are sent.",
    default: 20,
    min: 0,
    max: 1_000,
  }),
  room_shaper: option.shaper({ doc: "Shaper that bounds the bytes a second said in one room.", default: "none" }),
  max_room_id: option.infinityOr(
    option.integer({ doc: "Most characters in the name of a room's address.", default: 250, min: 1, max: 250 }),
  ),
  max_room_name: option.infinityOr(
    option.integer({ doc: "Most characters in a room's title.", default: 1_000, min: 1 }),
  ),
  max_room_desc: option.infinityOr(
    option.integer({ doc: "Most characters in a room's description.", default: 10_000, min: 1 }),
  ),
  min_message_interval: option.duration({
    doc: "Shortest time between two messages of an occupant to the room, invitations included.",
    default: 0,
    min: 0,
    unit: "s",
  }),
  min_presence_interval: option.duration({
    doc: "Shortest time between two changes of an occupant's presence or nickname, and until a device enters again.",
    default: 0,
    min: 0,
    unit: "s",
  }),
  max_users: option.integer({ doc: "Most occupants any room can have.", default: 200, min: 1, max: 100_000 }),
  max_users_admin_threshold: option.integer({
    doc: "Places beyond the limit that are kept for admins and owners.",
    default: 5,
    min: 0,
  }),
  max_affiliations: option.integer({
    doc: "Most accounts with an affiliation to one room, the banned included.",
    default: 10_000,
    min: 1,
  }),
  user_message_shaper: option.shaper({
    doc: "Shaper that bounds the bytes a second an occupant says in a room.",
    default: "none",
  }),
  user_presence_shaper: option.shaper({
    doc: "Shaper that bounds the bytes a second of an occupant's presence.",
    default: "none",
  }),
  max_user_conferences: option.integer({
    doc: "Most rooms of one node a user can be in at the same time.",
    default: 10,
    min: 1,
  }),
  load_permanent_rooms_at_startup: option.boolean({
    doc: "Accepted for configurations of MongooseIM: a room is loaded when somebody asks for it.",
    default: false,
    only: false,
  }),
  hibernate_timeout: option.infinityOr(
    option.duration({
      doc: "How long a persistent room without occupants stays in memory.",
      default: 90_000,
      min: 0,
      unit: "ms",
    }),
  ),
  hibernated_room_check_interval: option.infinityOr(
    option.duration({
      doc: "Accepted for configurations of MongooseIM: see hibernate_timeout.",
      default: Number.POSITIVE_INFINITY,
      min: 0,
      unit: "ms",
    }),
  ),
  hibernated_room_timeout: option.infinityOr(
    option.duration({
      doc: "Accepted for configurations of MongooseIM: see hibernate_timeout.",
      default: Number.POSITIVE_INFINITY,
      min: 0,
      unit: "ms",
    }),
  ),
  default_room: defaultRoom,
} as const;

export type MucOptions = OptionsOf<typeof mucOptions>;
