/** What modules offer to the rest of the house, such as the admin API, by name: `host.registry.service("roster")`. */
import type { FastToken, FastTokenLookup } from "../auth/account-lookup.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";
import type { Element } from "../xml/element.ts";
import type { Effect } from "./effect.ts";
import type { RosterEntry } from "./points.ts";

/** Each service with the module that provides it; a host without that module has none. */
export interface Services {
  /** mod_private. */
  privateStorage: PrivateStorageService;
  /** mod_vcard. */
  vcard: VcardService;
  /** mod_extdisco. */
  externalServices: ExternalServicesService;
  /** mod_roster. */
  roster: RosterService;
  /** mod_fast_auth_token. */
  fastTokens: FastTokenService;
  /** mod_offline. */
  offline: OfflineService;
  /** mod_last. */
  last: LastService;
  /** mod_mam, where users have archives (`pm`). */
  archive: ArchiveService;
  /** mod_muc. */
  rooms: RoomsService;
  /** mod_muc_light. */
  lightRooms: LightRoomsService;
  /** mod_mam, where rooms have archives (`muc`). */
  roomArchive: RoomArchiveService;
  /** mod_inbox. */
  inbox: InboxService;
  /** mod_http_upload. */
  uploads: UploadService;
}

/** Inboxes of a host's accounts. All methods may throw the errors of the store. */
export interface InboxService {
  /** Removes what has been in an account's bin for so many days; resolves with the number of conversations. */
  flushUserBin(account: Jid, days: number): Promise<number>;
  /** As `flushUserBin`, of all accounts of the host. */
  flushBins(days: number): Promise<number>;
}

/** A room as lists show it. */
export interface RoomDetails {
  readonly jid: string;
  readonly title: string;
  readonly private: boolean;
  readonly usersNumber: number;
}

/** What can be decided about a room; the names are those of MongooseIM's API. */
export interface RoomSettings {
  readonly title: string;
  readonly description: string;
  readonly allowChangeSubject: boolean;
  readonly allowQueryUsers: boolean;
  readonly allowPrivateMessages: boolean;
  readonly allowVisitorStatus: boolean;
  readonly allowVisitorNickchange: boolean;
  readonly public: boolean;
  readonly publicList: boolean;
  readonly persistent: boolean;
  readonly moderated: boolean;
  readonly membersByDefault: boolean;
  readonly membersOnly: boolean;
  readonly allowUserInvites: boolean;
  readonly allowMultipleSession: boolean;
  readonly passwordProtected: boolean;
  readonly password: string;
  readonly anonymous: boolean;
  readonly logging: boolean;
  /** MODERATOR, PARTICIPANT, VISITOR. */
  readonly mayGetMemberList: readonly string[];
  readonly maxUsers: number;
}

export interface RoomUser {
  readonly nick: string;
  readonly role: "moderator" | "participant" | "visitor";
  /** Real and full. */
  readonly jid: string;
}

export interface RoomAffiliation {
  readonly jid: string;
  readonly affiliation: "owner" | "admin" | "member" | "outcast";
}

/**
 * The rooms of a host, handled by its operator: no privileges are asked after. A room is named by its bare address. All
 * methods may throw the errors of the store and `StanzaError`: item-not-found for what is not there, and what an occupant's
 * own request would meet.
 */
export interface RoomsService {
  /** The domain of the rooms. */
  readonly domain: string;
  list(limit: number, index: number): Promise<{ readonly rooms: readonly RoomDetails[]; readonly count: number }>;
  /** The number of the node that has the room, or is to make it; undefined when it is this one. The methods below work there. */
  nodeOf(room: Jid): number | undefined;
  /** Makes a room with the configuration of new ones, in which its owner is. */
  create(room: Jid, owner: Jid, nick: string): Promise<RoomDetails>;
  settings(room: Jid): Promise<RoomSettings>;
  configure(room: Jid, change: Partial<RoomSettings>): Promise<RoomSettings>;
  remove(room: Jid, reason: string | undefined): Promise<void>;
  users(room: Jid): Promise<readonly RoomUser[]>;
  affiliations(room: Jid): Promise<readonly RoomAffiliation[]>;
  setAffiliation(room: Jid, account: Jid, affiliation: RoomAffiliation["affiliation"] | "none"): Promise<void>;
  setRole(room: Jid, nick: string, role: RoomUser["role"]): Promise<void>;
  kick(room: Jid, nick: string, reason: string | undefined): Promise<void>;
  invite(room: Jid, from: Jid, to: Jid, reason: string | undefined): Promise<void>;
  /** Who is not in the room speaks as the room itself. */
  send(room: Jid, from: Jid, body: string): Promise<void>;
  sendPrivately(room: Jid, from: Jid, nick: string, body: string): Promise<void>;
  enter(room: Jid, user: Jid, nick: string, password: string | undefined): Promise<void>;
  exit(room: Jid, user: Jid, nick: string): Promise<void>;
}

/** A room of MUC Light; the names are those of MongooseIM's API. */
export interface LightRoomDetails {
  readonly jid: string;
  readonly name: string;
  /** Null where rooms have no subjects. */
  readonly subject: string | null;
  readonly participants: readonly { readonly jid: string; readonly affiliation: "owner" | "member" }[];
  /** All of its configuration. */
  readonly options: readonly { readonly key: string; readonly value: string }[];
}

/** A room of MUC Light as lists show it. */
export interface LightRoomDescription extends Pick<LightRoomDetails, "jid" | "name" | "subject"> {
  readonly usersNumber: number;
}

/** What a user does not want to be added to, or by whom. */
export interface LightBlocked {
  readonly kind: "room" | "user";
  /** Bare. */
  readonly jid: string;
}

/**
 * The rooms of MUC Light, handled by the operator. A room is named by its bare address. What is done in the name of a user meets what
 * the user's own request would. Methods may throw the errors of the store and `StanzaError`: item-not-found for what
 * is not there and for users who are not in the room, not-allowed, bad-request, conflict.
 */
export interface LightRoomsService {
  /** The domain of the rooms. */
  readonly domain: string;
  /** Makes a room; without a name its address is chosen for it. Configuration by the names of its fields. */
  create(
    owner: Jid,
    name: string | undefined,
    fields: readonly (readonly [string, string])[],
  ): Promise<LightRoomDetails>;
  room(room: Jid): Promise<LightRoomDetails>;
  configure(room: Jid, user: Jid, fields: readonly (readonly [string, string])[]): Promise<LightRoomDetails>;
  invite(room: Jid, sender: Jid, recipient: Jid): Promise<void>;
  kick(room: Jid, user: Jid): Promise<void>;
  remove(room: Jid): Promise<void>;
  send(room: Jid, from: Jid, body: string): Promise<void>;
  /** The addresses of all rooms a user is in. */
  roomsOf(user: Jid): Promise<readonly string[]>;
  /** Rooms in the order of their addresses, behind the one whose local part is `after`; `filter` is in their address or name. */
  list(page: { readonly filter?: string; readonly after?: string; readonly limit: number }): Promise<{
    readonly rooms: readonly LightRoomDescription[];
    readonly count: number;
    readonly nextPage: boolean;
  }>;
  blocking(user: Jid): Promise<readonly LightBlocked[]>;
  setBlocking(user: Jid, deny: readonly LightBlocked[], allow: readonly LightBlocked[]): Promise<void>;
}

/** A message of an archive. */
export interface ArchivedMessage {
  /** Its id in the archive, which is that of `<stanza-id/>` in live traffic: a decimal number. Ids sort by time. */
  readonly id: string;
  /** When it was archived, milliseconds since the epoch. */
  readonly at: number;
  /** As it was archived; a retracted one is its tombstone. */
  readonly stanza: Stanza;
}

/** The archives of a host's accounts. Methods may throw the errors of the store. */
export interface ArchiveService {
  /** The newest messages of an account, oldest first; those with `with` only, those before `before` (ms) only. */
  last(account: Jid, options: { with?: Jid; before?: number; limit: number }): Promise<readonly ArchivedMessage[]>;
}

/** What a message to a room became. */
export interface RoomMessageStored {
  /** Goes into the `<stanza-id/>` by the room, in every copy that is sent. Needs no escaping. */
  readonly id: string;
  /** Settles when the message is committed: the sender's acknowledgement waits for it (`secureBy`). */
  readonly stored: Promise<void>;
}

/** Whoever asks a room for its archive, and what he may see. */
export interface ArchiveViewer {
  /** Results name the real addresses of senders, and `with` may name one. */
  readonly seesRealAddresses: boolean;
}

/** What a moderator did to a message (XEP-0425). */
export interface Moderation {
  /** The moderator's address in the room; undefined to keep it unsaid. */
  readonly by: Jid | undefined;
  /** XEP-0421 id of the moderator. */
  readonly occupantId?: string;
  readonly reason?: string;
}

/**
 * The archives of rooms: XEP-0045, MUC Light, or whatever else has a bare address and messages. A room is named by its bare
 * address; who may read it is for the room's own module to decide before it calls. All methods that return promises may
 * throw the errors of the store.
 */
export interface RoomArchiveService {
  /**
   * Archives a message that the room has accepted, before it is sent out: `from` is the occupant (`room/nick`), and `to` is
   * left out of the archive, as is every `<x xmlns='…muc#user'/>` a sender may have put in. `sender` is his real address,
   * full where it is known. Undefined when it is none of what archives keep (no body, no subject, `no-store`, …); it then gets
   * no id. A retraction (XEP-0424) is archived, and makes a tombstone of the message it names when both have one sender.
   * Must not be called for private messages. Synchronous: only `stored` waits. `after` is the room's newest id where that is known: the new one is
   * greater, also when that was given by another node, whose clock is ahead.
   */
  store(room: Jid, sender: Jid, stanza: Stanza, after?: string): RoomMessageStored | undefined;
  /** The id of the newest message; undefined when there is none. */
  newest(room: Jid): Promise<string | undefined>;
  /**
   * Answers an IQ of `urn:xmpp:mam:2` addressed to a room (query, its form, metadata). The effects, to be returned by an IQ
   * handler, contain the answer. Throws `StanzaError`.
   */
  answer(room: Jid, request: Stanza, viewer: ArchiveViewer): Promise<readonly Effect[]>;
  /** The namespaces a room says in service discovery because it has an archive. */
  readonly features: readonly string[];
  /**
   * The newest messages, oldest first: at most `limit`, none before `since` nor from `before` on (milliseconds). For those
   * who enter, and for the administration.
   */
  history(room: Jid, limit: number, since?: number, before?: number): Promise<readonly ArchivedMessage[]>;
  /** A message by its id; undefined when there is none, for a moderator's request. */
  get(room: Jid, id: string): Promise<ArchivedMessage | undefined>;
  /**
   * Leaves a tombstone of a message. False when there is no such message. The `<retract/>` that goes to the occupants is the
   * room's to make; the room then archives it by `store` like any other message.
   */
  moderate(room: Jid, id: string, moderation: Moderation): Promise<boolean>;
  /** The room is gone, and its archive with it. */
  remove(room: Jid): Promise<void>;
}

/** Messages that wait for accounts of a host. All methods may throw the errors of the store. */
export interface OfflineService {
  count(account: Jid): Promise<number>;
  /** Removes what waits for an account; resolves with the number of messages. */
  clear(account: Jid): Promise<number>;
  /** Removes messages whose time is over (XEP-0023); resolves with their number. */
  removeExpired(): Promise<number>;
  /** Removes messages stored before `before`, in milliseconds since the epoch; resolves with their number. */
  removeOld(before: number): Promise<number>;
}

/** When an account was last there. */
export interface LastActivity {
  /** Milliseconds since the epoch, exact to the second. */
  readonly at: number;
  /** The text of the last unavailable presence, "" when it had none. */
  readonly status: string;
}

/** Last activity of a host's accounts. All methods may throw the errors of the store. */
export interface LastService {
  /** What is recorded; undefined when nothing is. Whether the account is connected now is not asked. */
  get(account: Jid): Promise<LastActivity | undefined>;
  set(account: Jid, activity: LastActivity): Promise<void>;
  /** Accounts recorded at `since` or later. */
  countActive(since: number): Promise<number>;
  /** Up to `limit` accounts recorded before `before`, in order of their names, starting behind `after`. */
  listOld(before: number, limit: number, after?: string): Promise<readonly { local: string; at: number }[]>;
}

/** What an account's own client could do: ask, allow, refuse or revoke, and stop. */
export type SubscriptionAction = "invite" | "accept" | "decline" | "cancel";

/**
 * Rosters of a host's accounts, changed as the account's own client would: with pushes, presence and word to the contact.
 * Accounts are bare addresses of this host. All methods may throw `StanzaError` with the conditions RFC 6121 gives for
 * the same request of a client, item-not-found when the account does not exist, and the errors of the store.
 */
export interface RosterService {
  list(account: Jid): Promise<readonly RosterEntry[]>;
  get(account: Jid, contact: Jid): Promise<RosterEntry | undefined>;
  /** Addresses whose requests for presence wait for the account's answer, oldest first; they need not be contacts. */
  requests(account: Jid): Promise<readonly string[]>;
  /** Adds a contact, or changes the name and groups of one. */
  set(account: Jid, contact: Jid, name: string, groups: readonly string[]): Promise<void>;
  /** Removes a contact and ends the subscriptions in both directions. */
  remove(account: Jid, contact: Jid): Promise<void>;
  subscription(account: Jid, contact: Jid, action: SubscriptionAction): Promise<void>;
  /**
   * Makes two accounts contacts of each other that see each other's presence, or no contacts any more, without asking
   * them. Both must be of this host. An existing name and groups stay; a new contact gets those given.
   */
  setMutual(first: MutualContact, second: MutualContact, action: "connect" | "disconnect"): Promise<void>;
}

/** One side of `setMutual`: an account, and how the other's new roster item names it. */
export interface MutualContact {
  readonly account: Jid;
  readonly name?: string;
  readonly groups?: readonly string[];
}

/**
 * XEP-0049 data of a host's accounts. Methods throw `StanzaError`: item-not-found for an account that does not exist,
 * not-acceptable for a reserved or missing namespace, and for writes policy-violation and resource-constraint; and the
 * errors of the store.
 */
export interface PrivateStorageService {
  /** The stored XML; an empty element when there is none. */
  get(account: Jid, name: string, namespace: string): Promise<string>;
  set(account: Jid, element: Element): Promise<void>;
}

/**
 * vCards (XEP-0054) of a host's accounts. Methods throw `StanzaError`: item-not-found for an account that does not
 * exist, and for writes the conditions a client's own would meet; and the errors of the store.
 */
export interface VcardService {
  /** Undefined when the account has none. */
  get(account: Jid): Promise<Element | undefined>;
  /** Replaces the whole vCard, and tells contacts about a new picture as when the user had changed it. */
  set(account: Jid, vcard: Element): Promise<void>;
  /** Changes the picture alone, or removes it; those who are told of a vCard's new picture are not told. */
  setPhoto(account: Jid, photo: VcardPhoto | undefined): Promise<void>;
}

/** The picture of a vCard. */
export interface VcardPhoto {
  /** Its media type. */
  readonly type: string;
  readonly base64: string;
  /** SHA-1 of the decoded picture, in hex. */
  readonly hash: string;
}

/** A service outside of XMPP, such as a TURN relay (XEP-0215), with the credentials it has just now. */
export interface ExternalService {
  readonly type: string;
  readonly host: string;
  readonly port?: number;
  readonly transport?: string;
  readonly username?: string;
  readonly password?: string;
  /** When the credentials end, milliseconds since the epoch. */
  readonly expiresAt?: number;
}

export interface ExternalServicesService {
  /** All services, or those of one type. */
  list(type?: string): readonly ExternalService[];
}

/** An uploaded file, or the slot for one. */
export interface Upload {
  /** Names it in URLs, and nobody can guess it: who knows it may read the file. */
  readonly token: string;
  /** The host of the account it is of. */
  readonly domain: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** A media type; undefined when nobody said. */
  readonly contentType: string | undefined;
  /** When it was stored, milliseconds since the epoch; undefined as long as it is a slot. */
  readonly storedAt: number | undefined;
  /** When it is gone, milliseconds since the epoch; undefined for never. */
  readonly expiresAt: number | undefined;
  /** Where its content is; only the service itself makes something of it. */
  readonly place: string;
}

/** Where a file is sent to, and where it is read. */
export interface UploadSlot {
  readonly putUrl: string;
  readonly getUrl: string;
}

/** What became of an upload: `closed` is a slot that is used, or too old; `short` a body that is not as long as promised. */
export type UploadOutcome = "stored" | "forbidden" | "closed" | "short" | "busy" | "no space";

/** Files of a host's accounts (XEP-0363), for the HTTP listener. All methods may throw the errors of the store. */
export interface UploadService {
  /** Whether files of this host come and go through our listeners. */
  readonly throughListener: boolean;
  /** Largest file, in bytes. */
  readonly fileBytesMax: number;
  /** Other origins (`https://bucket.example.org`) that a web page has to reach to send and show files. */
  readonly origins: readonly string[];
  /** A file or slot of any host of this server; undefined when there is none, or it has expired. */
  find(token: string): Promise<Upload | undefined>;
  /** Takes the content of a slot, once; `secret` is that of the slot's URL. */
  receive(
    upload: Upload,
    secret: string,
    contentType: string | undefined,
    body: AsyncIterable<Uint8Array>,
  ): Promise<UploadOutcome>;
  /**
   * A slot for a file that is nobody's and counts for no quota, usable for `validMs`. Throws `StanzaError`: bad-request, not-acceptable.
   */
  operatorSlot(name: string, size: number, contentType: string | undefined, validMs: number): Promise<UploadSlot>;
  /** A stored file, nothing of which has been read yet, or the URL where it is; undefined when it is not there. */
  content(upload: Upload): Promise<Blob | string | undefined>;
}

/** The tokens of XEP-0484: one client installation of an account has a current one and, while it is renewed, a new one. */
export interface FastTokenService extends FastTokenLookup {
  /** A new token for this client; an older new one that was never used is void. `expiresAt` in milliseconds since the epoch. */
  issue(account: Jid, userAgentId: string, mechanism: string): Promise<{ token: string; expiresAt: number }>;
  /** The token has let its client in: it becomes the current one and its counter advances. `renew`: it expires soon. */
  used(account: Jid, userAgentId: string, token: FastToken, count: number | undefined): Promise<{ renew: boolean }>;
  /** The client logs out for good: its tokens are void. */
  invalidate(account: Jid, userAgentId: string): Promise<void>;
}
