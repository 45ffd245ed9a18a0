/** The options of mod_muc_light, with the names MongooseIM gives them. */
import { type OptionsOf, option } from "../../config/option.ts";

const schemaField = option.table(
  {
    field: option.string({
      doc: "The name of the field, which is that of its element.",
      required: true,
      allowed: "a name as XML has them, other than version and prev-version",
      check: (text: string) => /^[A-Za-z_][\w.-]{0,99}$/.test(text) && text !== "version" && text !== "prev-version",
    }),
    string_value: option.string({ doc: "What it is in new rooms; the field then holds a text." }),
    integer_value: option.integer({ doc: "What it is in new rooms; the field then holds a whole number." }),
    float_value: option.number({ doc: "What it is in new rooms; the field then holds a number." }),
    boolean_value: option.boolean({ doc: "What it is in new rooms; the field then holds true or false." }),
    internal_key: option.string({
      doc: "Its name in the database. `roomname` is the name that lists show; `all_can_configure` and `all_can_invite`, which are booleans, override these options for the room.",
      allowed: "a text of at most 100 characters",
      check: (text: string) => text !== "" && text.length <= 100,
    }),
  },
  { doc: "A field of the configuration of rooms; exactly one of the values says what it holds." },
);

const rooms = { min: 1 } as const;

export const mucLightOptions = {
  host: option.string({
    doc: "The domain of the rooms; @HOST@ stands for the host's own.",
    default: "muclight.@HOST@",
    allowed: "a domain, or a pattern such as muclight.@HOST@",
    check: (text: string) => text !== "" && !/[\s/@]/.test(text.replace("@HOST@", "host")),
  }),
  backend: option.choice({
    doc: "Where rooms are kept.",
    values: ["rdbms"],
    default: "rdbms",
    unsupported: { mnesia: "rooms are kept in the SQL database" },
  }),
  access_create: option.access({ doc: "The access rule that says who may make rooms.", default: "all" }),
  equal_occupants: option.boolean({
    doc: "Whether rooms have no owners: whoever makes one is a member.",
    default: false,
  }),
  allow_multiple_owners: option.boolean({
    doc: "Whether a room may have several owners, so that a new one does not replace the old.",
    default: false,
  }),
  promote_on_last_owner_leave: option.boolean({
    doc: "Whether a member becomes owner when the last owner leaves; else the owner can leave only as the last in the room.",
    default: true,
  }),
  all_can_configure: option.boolean({
    doc: "Whether members may change the configuration; the subject they may change anyway.",
    default: false,
  }),
  all_can_invite: option.boolean({ doc: "Whether members may add members.", default: false }),
  blocking: option.boolean({ doc: "Whether users may keep rooms and users from adding them.", default: true }),
  max_blocked: option.integer({ doc: "Most rooms and users that one account blocks.", default: 1_000, min: 1 }),
  rooms_per_user: option.infinityOr(
    option.integer({
      doc: "Most rooms a user can be in; whoever is in so many is left out where others add him.",
      default: Number.POSITIVE_INFINITY,
      ...rooms,
    }),
  ),
  max_occupants: option.infinityOr(
    option.integer({ doc: "Most occupants of a room.", default: Number.POSITIVE_INFINITY, ...rooms }),
  ),
  rooms_per_page: option.infinityOr(
    option.integer({ doc: "Most rooms in one answer to a client that asks for its rooms.", default: 10, ...rooms }),
  ),
  rooms_in_rosters: option.boolean({ doc: "Whether a user's roster shows the rooms he is in.", default: false }),
  max_field_length: option.integer({
    doc: "Most characters in one field of a room's configuration.",
    default: 10_000,
    min: 1,
    max: 1_000_000,
  }),
  config_schema: option.list(schemaField, {
    doc: 'The fields of the configuration of rooms; without any, roomname ("Untitled") and subject ("").',
    default: [
      { field: "roomname", string_value: "Untitled" },
      { field: "subject", string_value: "" },
    ],
  }),
  cache_affs: option.optionalTable(
    {
      strategy: option.choice({
        doc: "Which rooms are forgotten first: those read longest ago, or those used longest ago.",
        values: ["fifo", "lru"],
        default: "fifo",
      }),
      time_to_live: option.infinityOr(
        option.duration({ doc: "How long a room is remembered.", default: 2, min: 1, unit: "min" }),
      ),
      number_of_segments: option.integer({
        doc: "Accepted for configurations of MongooseIM: rooms are forgotten one by one.",
        default: 3,
        min: 1,
      }),
      max_occupants: option.integer({
        doc: "Most occupants, over all rooms, that are remembered, some 100 bytes each.",
        default: 500_000,
        min: 1,
      }),
    },
    {
      doc: "Remembers who is in a room, so that a message needs no query. When occupants change, the other nodes are told.",
    },
  ),
  legacy_mode: option.boolean({
    doc: "Whether rooms are spoken to in a part of XEP-0045 and not in MUC Light: for clients that MongooseIM's mode of this name has served.",
    default: false,
  }),
} as const;

export type MucLightOptions = OptionsOf<typeof mucLightOptions>;
export type SchemaFieldOption = MucLightOptions["configSchema"][number];
