/** The options of mod_mam: MongooseIM's names. Those of the whole section are the defaults of its parts `pm` and `muc`. */
import { type OptionsOf, option } from "../../config/option.ts";

const accepted = "Accepted for configurations of MongooseIM, without effect: ";

/** What each part can have of its own; there it has no default. */
const shared = {
  no_stanzaid_element: {
    doc: "Do not add `<stanza-id/>`, by which clients know a message in the archive, to messages.",
  },
  archive_chat_markers: { doc: "Also archive chat markers (XEP-0333) that come without a body." },
  message_retraction: {
    doc: "Carry out retractions (XEP-0424): the message taken back leaves nothing but a tombstone.",
  },
  full_text_search: { doc: "Let clients search for words (XEP-0431); keeps them in an index of the database." },
  enforce_simple_queries: { doc: "Never count how many messages match a query." },
  default_result_limit: { doc: "Messages of a page for which the client names no number.", min: 1, max: 1_000 },
  max_result_limit: { doc: "Most messages of a page.", min: 1, max: 1_000 },
  max_age: {
    doc: "Messages older than this are removed.",
    min: 1,
    max: 36_500,
    unit: "d",
  },
  max_messages: { doc: "Most messages of one archive; the oldest of more are removed.", min: 1 },
} as const;

const part = {
  no_stanzaid_element: option.boolean(shared.no_stanzaid_element),
  archive_chat_markers: option.boolean(shared.archive_chat_markers),
  message_retraction: option.boolean(shared.message_retraction),
  full_text_search: option.boolean(shared.full_text_search),
  enforce_simple_queries: option.boolean(shared.enforce_simple_queries),
  default_result_limit: option.integer(shared.default_result_limit),
  max_result_limit: option.integer(shared.max_result_limit),
  max_age: option.infinityOr(option.duration(shared.max_age)),
  max_messages: option.infinityOr(option.integer(shared.max_messages)),
} as const;

/** Where and how MongooseIM keeps archives; here there is one way. */
const mongooseim = {
  cache_users: option.boolean({ doc: `${accepted}there is no such cache.`, default: true }),
  db_jid_format: option.string({ doc: `${accepted}addresses are kept as they are.` }),
  db_message_format: option.string({ doc: `${accepted}messages are kept as XML.` }),
  delete_domain_limit: option.infinityOr(
    option.integer({ doc: `${accepted}removing goes in steps of 500.`, default: Number.POSITIVE_INFINITY, min: 1 }),
  ),
} as const;

const mongooseimPart = {
  db_jid_format: mongooseim.db_jid_format,
  db_message_format: mongooseim.db_message_format,
} as const;

export const mamOptions = {
  backend: option.choice({
    doc: "Where archives are kept.",
    values: ["rdbms"],
    default: "rdbms",
    unsupported: {
      cassandra: "archives are kept in the SQL database",
      elasticsearch: "archives are kept in the SQL database",
    },
  }),
  no_stanzaid_element: option.boolean({ ...shared.no_stanzaid_element, default: false }),
  archive_chat_markers: option.boolean({ ...shared.archive_chat_markers, default: false }),
  message_retraction: option.boolean({ ...shared.message_retraction, default: true }),
  full_text_search: option.boolean({ ...shared.full_text_search, default: true }),
  enforce_simple_queries: option.boolean({ ...shared.enforce_simple_queries, default: false }),
  default_result_limit: option.integer({ ...shared.default_result_limit, default: 50 }),
  max_result_limit: option.integer({ ...shared.max_result_limit, default: 50 }),
  max_age: option.infinityOr(option.duration({ ...shared.max_age, default: Number.POSITIVE_INFINITY })),
  max_messages: option.infinityOr(option.integer({ ...shared.max_messages, default: Number.POSITIVE_INFINITY })),
  cleanup_interval: option.duration({
    doc: "How often messages that are too old or too many are looked for; one node of a cluster does.",
    default: 1,
    min: 1,
    max: 744,
    unit: "h",
  }),
  user_prefs_store: option.choice({
    doc: "Where users' own preferences (XEP-0441) are kept; without it they have none, and everything is archived.",
    values: ["rdbms"],
    unsupported: {
      cassandra: "preferences are kept in the SQL database",
      mnesia: "preferences are kept in the SQL database",
    },
  }),
  pm: option.optionalTable(
    {
      ...part,
      ...mongooseimPart,
      archive_groupchats: option.boolean({
        doc: "Also archive in a user's archive what comes from groups.",
        default: false,
      }),
      same_mam_id_for_peers: option.boolean({
        doc: "Each archive gives ids of its own.",
        default: false,
        only: false,
      }),
    },
    { doc: "The archives of users. They are on when this section is there, and also when neither `pm` nor `muc` is." },
  ),
  muc: option.optionalTable(
    {
      ...part,
      ...mongooseimPart,
      host: option.string({
        doc: "Accepted for configurations of MongooseIM: every group chat service of the host has archives.",
        default: "conference.@HOST@",
      }),
    },
    { doc: "The archives of rooms. They are on when this section is there, and also when neither `pm` nor `muc` is." },
  ),
  ...mongooseim,
  cache: option.optionalTable(
    {
      module: option.string({ doc: accepted }),
      strategy: option.string({ doc: accepted }),
      time_to_live: option.infinityOr(option.integer({ doc: accepted, min: 1 })),
      number_of_segments: option.integer({ doc: accepted, min: 1 }),
    },
    { doc: `${accepted}there is no such cache.` },
  ),
  async_writer: option.optionalTable(
    {
      enabled: option.boolean({ doc: accepted }),
      flush_interval: option.integer({ doc: accepted, min: 1 }),
      batch_size: option.integer({ doc: accepted, min: 1 }),
      pool_size: option.integer({ doc: accepted, min: 1 }),
    },
    { doc: `${accepted}writes are grouped for some 5 ms, and a message is acknowledged once it is written.` },
  ),
} as const;

export type MamOptions = OptionsOf<typeof mamOptions>;
type Part = NonNullable<MamOptions["pm"]> | NonNullable<MamOptions["muc"]>;

/** What holds for one kind of archive. */
export interface PartOptions {
  readonly noStanzaidElement: boolean;
  readonly archiveChatMarkers: boolean;
  readonly messageRetraction: boolean;
  readonly fullTextSearch: boolean;
  readonly enforceSimpleQueries: boolean;
  readonly defaultResultLimit: number;
  readonly maxResultLimit: number;
  readonly maxAgeMs: number;
  readonly maxMessages: number;
}

function partOptions(all: MamOptions, own: Part | undefined): PartOptions {
  return {
    noStanzaidElement: own?.noStanzaidElement ?? all.noStanzaidElement,
    archiveChatMarkers: own?.archiveChatMarkers ?? all.archiveChatMarkers,
    messageRetraction: own?.messageRetraction ?? all.messageRetraction,
    fullTextSearch: own?.fullTextSearch ?? all.fullTextSearch,
    enforceSimpleQueries: own?.enforceSimpleQueries ?? all.enforceSimpleQueries,
    defaultResultLimit: own?.defaultResultLimit ?? all.defaultResultLimit,
    maxResultLimit: own?.maxResultLimit ?? all.maxResultLimit,
    maxAgeMs: own?.maxAgeMs ?? all.maxAgeMs,
    maxMessages: own?.maxMessages ?? all.maxMessages,
  };
}

/** Undefined where users have no archives. */
export function userOptions(all: MamOptions): (PartOptions & { readonly archiveGroupchats: boolean }) | undefined {
  if (all.pm === undefined && all.muc !== undefined) return undefined;
  return { ...partOptions(all, all.pm), archiveGroupchats: all.pm?.archiveGroupchats ?? false };
}

/** Undefined where rooms have no archives. */
export function roomOptions(all: MamOptions): PartOptions | undefined {
  return all.muc === undefined && all.pm !== undefined ? undefined : partOptions(all, all.muc);
}
