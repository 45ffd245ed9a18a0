/** Messages out of archives as commands print them, and the moments they are asked for by. */
import type { ArchivedMessage } from "../hooks/services.ts";
import type { Host } from "../router/host.ts";
import type { Jid } from "../stanza/jid.ts";
import { parseTimestamp } from "../stanza/timestamp.ts";
import { AdminError, type Arguments, argument } from "./command.ts";

/** Most messages one command prints. */
export const messagesMost = 500;

export const pageArguments = {
  pageSize: argument.optional("integer", `most messages; ${messagesMost} at most`),
  before: argument.optional("text", "only messages before this moment, such as 2026-01-31T12:00:00Z"),
};

/** A moment out of an argument. Throws `AdminError`. */
export function momentOf(args: Arguments, name: string): number | undefined {
  const text = args.optionalText(name);
  if (text === undefined) return undefined;
  const moment = parseTimestamp(text);
  if (moment === undefined) {
    throw new AdminError("bad_argument", `--${name} must be a date and time, such as 2026-01-31T12:00:00Z`);
  }
  return moment;
}

export function printed(messages: readonly ArchivedMessage[]) {
  return messages.map(({ id, at, stanza }) => ({
    stanza_id: id,
    timestamp: new Date(at).toISOString(),
    sender: stanza.from?.full ?? null,
    stanza: stanza.toXml(),
  }));
}

/** The newest messages of a room, by the arguments of `pageArguments`. Throws `AdminError`. */
export async function roomMessages(host: Host, room: Jid, args: Arguments) {
  const archive = host.registry.service("roomArchive");
  if (archive === undefined) throw new AdminError("deps_not_loaded", `mod_mam keeps no rooms of ${room.domain}`);
  const most = Math.min(args.optionalInteger("pageSize") ?? messagesMost, messagesMost);
  return printed(await archive.history(room, most, undefined, momentOf(args, "before")));
}
