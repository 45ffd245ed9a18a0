/** The options of mod_inbox: MongooseIM's names. */
import { type OptionsOf, option } from "../../config/option.ts";
import { boxCharsMax } from "./inbox-tables.ts";

/** Boxes that are always there; "all" is none, but what queries say. */
const reserved: readonly string[] = ["inbox", "archive", "bin", "all"];

/** Most conversations in one answer, whatever is configured: further ones are on the next page. */
export const pageMax = 1_000;

export const inboxOptions = {
  backend: option.choice({
    doc: "Both keep inboxes in the SQL database, written in groups and before a message is acknowledged. `rdbms_async` moves conversations whose account has left the room into the bin, where `rdbms` removes them.",
    values: ["rdbms", "rdbms_async"],
    default: "rdbms",
  }),
  async_writer: option.optionalTable(
    {
      pool_size: option.integer({
        doc: "Accepted for configurations of MongooseIM, without effect: there are no workers.",
        min: 0,
      }),
    },
    {
      doc: "Accepted for configurations of MongooseIM, without effect: writes are grouped for some 5 ms, and a message is acknowledged once it is written.",
    },
  ),
  boxes: option.list(
    option.string({
      doc: "The name of a box.",
      required: true,
      allowed: `a name of at most ${boxCharsMax} characters that is none of ${reserved.join(", ")}`,
      check: (text) => text !== "" && [...text].length <= boxCharsMax && !reserved.includes(text),
    }),
    { doc: "Boxes into which users may move conversations, besides inbox, archive and bin.", distinct: true },
  ),
  bin_ttl: option.duration({
    doc: "How long conversations stay in the bin before they are removed.",
    default: 30,
    min: 0,
    max: 36_500,
    unit: "d",
  }),
  bin_clean_after: option.duration({
    doc: "How often bins are looked through.",
    default: 1,
    min: 1,
    max: 744,
    unit: "h",
  }),
  delete_domain_limit: option.infinityOr(
    option.integer({
      doc: "Accepted for configurations of MongooseIM, without effect: removing goes in steps of 500.",
      default: Number.POSITIVE_INFINITY,
      min: 1,
    }),
  ),
  reset_markers: option.list(
    option.choice({ doc: "A chat marker.", values: ["received", "displayed", "acknowledged"] }),
    {
      doc: "Chat markers (XEP-0333) of the account's own that say a conversation was read, when they name its last message.",
      default: ["displayed"],
      distinct: true,
    },
  ),
  groupchat: option.list(option.choice({ doc: "A kind of room.", values: ["muc", "muclight"] }), {
    doc: "Which rooms are in inboxes. Of `muc`: those to which the account is affiliated, whether or not it is in them.",
    default: ["muclight"],
    distinct: true,
  }),
  aff_changes: option.boolean({
    doc: "Whether an account's entering and leaving a MUC Light room counts as a message.",
    default: true,
  }),
  remove_on_kicked: option.boolean({
    doc: "Whether a conversation goes when the account has left the MUC Light room, or the room is destroyed.",
    default: true,
  }),
  max_conversations: option.infinityOr(
    option.integer({
      doc: "Most conversations in one inbox. When there are more, those in the bin go first, then those that are read, then the others, the oldest of each first. Messages stay in the archive.",
      default: 10_000,
      min: 1,
    }),
  ),
  max_result_limit: option.infinityOr(
    option.integer({
      doc: `Most conversations in one answer; never more than ${pageMax.toLocaleString("en")}, nor than 1 MB of messages. Clients ask for further ones by pages (XEP-0059).`,
      default: Number.POSITIVE_INFINITY,
      min: 1,
    }),
  ),
} as const;

export type InboxOptions = OptionsOf<typeof inboxOptions>;
