/** The archives of rooms, for the modules that have rooms (`context.service("roomArchive")`). */
import type { ModuleContext } from "../../hooks/define-module.ts";
import { type Effect, feedTo, handled, reply, route } from "../../hooks/effect.ts";
import type { PersonalData } from "../../hooks/points.ts";
import type {
  ArchivedMessage,
  ArchiveViewer,
  Moderation,
  RoomArchiveService,
  RoomMessageStored,
} from "../../hooks/services.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { resultOf } from "../../stanza/reply.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { firstIdAt, parseTimeId, type TimeIds, timeOfId } from "../../util/time-ids.ts";
import { ArchiveReader } from "./archive-reader.ts";
import { type ArchiveRow, ArchiveStore } from "./archive-store.ts";
import { conversationOf, referenceToSender } from "./archive-tables.ts";
import { type ArchivePolicy, archiveVerdict, searchableText } from "./archive-verdict.ts";
import type { PartOptions } from "./options.ts";
import {
  archivedStanza,
  moderatedElement,
  retractedElement,
  retractionIn,
  retractOnceWritten,
  tombstoneOf,
} from "./tombstone.ts";
import { wordsOf } from "./words.ts";

export type RoomArchivesHouse = Pick<
  ModuleContext<unknown>,
  "store" | "writes" | "written" | "writtenElsewhere" | "clock" | "sessionsOf"
>;

export class RoomArchives implements RoomArchiveService {
  readonly features: readonly string[];
  readonly #house: RoomArchivesHouse;
  readonly #options: PartOptions;
  readonly #policy: ArchivePolicy;
  readonly #ids: TimeIds;
  readonly #store: ArchiveStore;
  readonly #reader: ArchiveReader;

  constructor(house: RoomArchivesHouse, options: PartOptions, ids: TimeIds) {
    this.#house = house;
    this.#options = options;
    this.#policy = { chatMarkers: options.archiveChatMarkers, groupchat: true, subject: true };
    this.#ids = ids;
    this.#store = new ArchiveStore(house.store);
    this.#reader = new ArchiveReader(this.#store, () => house.written(), options);
    this.features = archiveFeatures(options);
  }

  store(room: Jid, sender: Jid, stanza: Stanza, after?: string): RoomMessageStored | undefined {
    if (!archiveVerdict(stanza, this.#policy).store) return undefined;
    const { writes } = this.#house;
    const id = this.#ids.next(after === undefined ? undefined : parseTimeId(after));
    const owner = room.bare;
    const nick = stanza.from?.resource ?? "";
    const kept = withoutClaims(stanza);
    const stored = this.#store.add(writes, {
      owner,
      id,
      peer: sender.full,
      resource: nick,
      conversation: conversationOf(owner, `/${nick}`),
      reference: referenceToSender(sender.bare),
      outgoing: false,
      groupchat: true,
      stanza: kept.toXml(),
      words: this.#options.fullTextSearch ? wordsOf(searchableText(stanza)) : undefined,
    });
    const retraction = this.#options.messageRetraction ? retractionIn(stanza) : undefined;
    const original = retraction === undefined ? undefined : parseTimeId(retraction.messageId);
    if (retraction === undefined || original === undefined) return { id: id.toString(), stored };
    const element = retractedElement(retraction.by, timeOfId(id));
    const retract = () =>
      this.#store.replaceLater(writes, owner, original, (row) =>
        isSender(row, sender) ? tombstoneOf(row.stanza, element) : undefined,
      );
    const retracted = retractOnceWritten(retract, () => this.#house.writtenElsewhere());
    return { id: id.toString(), stored: Promise.all([stored, retracted]).then(() => undefined) };
  }

  async answer(room: Jid, request: Stanza, viewer: ArchiveViewer): Promise<readonly Effect[]> {
    const payload = request.firstChild()!;
    const archive = { owner: room, kind: "room", fullTextSearch: this.#options.fullTextSearch, ...viewer } as const;
    if (payload.ns !== ns.mam) throw new StanzaError("service-unavailable");
    if (request.type === "get" && payload.name === "query") return [reply(this.#reader.form(archive))];
    if (request.type === "get" && payload.name === "metadata") return [reply(await this.#reader.metadata(room))];
    if (request.type !== "set" || payload.name !== "query") throw new StanzaError("feature-not-implemented");
    const to = request.from!;
    const session = this.#house.sessionsOf(to.toBare()).find((each) => each.jid.full === to.full);
    const asked = this.#house.clock.now();
    const answer = async (late: boolean): Promise<readonly Stanza[]> => {
      // What the asker may read was decided when he asked: nothing that was said later, when he may have been put out.
      const upTo = late ? asked : undefined;
      const { messages, fin } = await this.#reader.answer(payload, archive, to, upTo);
      return [...messages, resultOf(request, fin)];
    };
    if (session === undefined) return [handled, ...(await answer(false)).map(route)];
    return [handled, feedTo(session, async (late) => ({ stanzas: await answer(late) }))];
  }

  async history(room: Jid, limit: number, since?: number, before?: number): Promise<readonly ArchivedMessage[]> {
    if (limit < 1) return [];
    await this.#house.written();
    const filter = {
      owner: room.bare,
      ...(since === undefined ? {} : { from: firstIdAt(since) }),
      ...(before === undefined ? {} : { to: firstIdAt(before) - 1n }),
    };
    return (await this.#store.page(filter, { limit, backwards: true })).map(messageOf);
  }

  async newest(room: Jid): Promise<string | undefined> {
    await this.#house.written();
    return (await this.#store.newest(room.bare))?.toString();
  }

  async get(room: Jid, text: string): Promise<ArchivedMessage | undefined> {
    const id = parseTimeId(text);
    if (id === undefined) return undefined;
    await this.#house.written();
    const [row] = await this.#store.page({ owner: room.bare, ids: [id] }, { limit: 1 });
    return row === undefined ? undefined : messageOf(row);
  }

  async moderate(room: Jid, text: string, moderation: Moderation): Promise<boolean> {
    const id = parseTimeId(text);
    if (id === undefined) return false;
    await this.#house.written();
    const element = moderatedElement(moderation, this.#house.clock.now());
    return this.#store.replace(room.bare, id, (row) => tombstoneOf(row.stanza, element));
  }

  /** Any node may hold a last message of a room of MUC Light. */
  async remove(room: Jid): Promise<void> {
    await this.#house.writes.flush();
    await this.#store.removeAll(room.bare);
  }

  /** What rooms keep of an account that is removed stays, but names it no more. */
  async removeAccount(account: Jid): Promise<void> {
    await this.#house.writes.flush();
    await this.#store.forgetSender(account.bare);
  }

  personalData(account: Jid): PersonalData {
    const store = this.#store;
    return {
      name: "archive_rooms",
      everyHost: true,
      columns: ["id", "time", "room", "message"],
      async *rows() {
        for await (const page of store.sentToRooms(account.bare)) {
          for (const { id, owner, stanza } of page) {
            yield [String(id), new Date(timeOfId(BigInt(id))).toISOString(), owner, stanza];
          }
        }
      },
    };
  }
}

/** What an archive says of itself in service discovery. */
export function archiveFeatures(options: PartOptions): string[] {
  const features: string[] = [ns.mam, `${ns.mam}#extended`];
  if (options.fullTextSearch) features.push(ns.fullText);
  if (options.messageRetraction) features.push(ns.retraction, `${ns.retraction}#tombstone`);
  return features;
}

/** XEP-0313 section 5.1.2: nobody else says who the sender is, and who the message went to is not of the archive. */
function withoutClaims(stanza: Stanza): Stanza {
  const bare = stanza.withTo(undefined);
  if (!stanza.has("x", ns.mucUser)) return bare;
  return bare.withoutChildren((name, namespace) => name === "x" && namespace === ns.mucUser);
}

function isSender(row: ArchiveRow, sender: Jid): boolean {
  return row.peer === sender.bare || row.peer.startsWith(`${sender.bare}/`);
}

function messageOf({ id, stanza }: ArchiveRow): ArchivedMessage {
  return { id: id.toString(), at: timeOfId(id), stanza: archivedStanza(stanza) };
}
