/**
 * Every extension point of the house, each with the sentence that says when it runs. A module fills the points it
 * cares about; it never calls another module. Within one point, handlers run in the order of `modules/catalogue.ts`.
 */
import type { Origin, Resource } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import type { DiscoIdentity, DiscoInfo, DiscoItem } from "../stanza/disco-info.ts";
import type { Jid } from "../stanza/jid.ts";
import type { Stanza, StanzaKind } from "../stanza/stanza.ts";
import type { Element } from "../xml/element.ts";
import type { Frame } from "../xml/scanner.ts";
import type { Xml } from "../xml/xml.ts";
import type { Effect, MaybePromise, Outcome } from "./effect.ts";
import type { ArchiveViewer, Services, VcardPhoto } from "./services.ts";

/** The named stages a stanza passes, in this order; each may be entered for any kind of stanza. */
export interface StageHandlers {
  /** A client of ours has sent it; `from` is stamped. Before any routing. */
  outgoing(stanza: Stanza, session: Session): MaybePromise<Outcome>;
  /** It has arrived for an account of ours, before resources are chosen. */
  incoming(stanza: Stanza, account: Jid): MaybePromise<Outcome>;
  /** It has been handed to these resources of the account. */
  delivered(stanza: Stanza, account: Jid, resources: readonly Resource[]): MaybePromise<Outcome>;
  /** A message for an account that no session took; `handled` keeps the sender from getting an error. */
  undelivered(stanza: Stanza, account: Jid): MaybePromise<Outcome>;
  /** It is about to be written to one session. Synchronous: this is the last step of the hot path. */
  delivering(stanza: Stanza, session: Session): Outcome;
}
export type StageName = keyof StageHandlers;

/** How a session ended: its client said goodbye, was replaced, was lost (and not resumed), or we closed it. */
export type SessionEnd = "closed" | "replaced" | "lost" | "kicked" | "shutdown";

/** What happens to a session, apart from stanzas. */
export interface SessionHandlers {
  /** A resource was bound; nothing has been routed yet. The client waits for what a promise takes. */
  opened(session: Session): MaybePromise<Outcome>;
  /** The client sent its first available presence (RFC 6121 section 4.2). `session.presence` is already set. */
  available(session: Session, presence: Stanza): MaybePromise<Outcome>;
  /** The client changed its available presence (section 4.4). */
  updated(session: Session, presence: Stanza, before: Stanza): MaybePromise<Outcome>;
  /** An available resource has become unavailable, by its own word or by its end (section 4.5). */
  unavailable(session: Session, presence: Stanza): MaybePromise<Outcome>;
  /** The resource is gone from the session table. */
  ended(session: Session, how: SessionEnd): MaybePromise<Outcome>;
  /** Somebody who may see it asks for this available resource's presence, perhaps from another node. */
  asked(session: Session, viewer: Jid): MaybePromise<Outcome>;
  /** The session is about to move to another node: what is held back for it is written now, and nothing may be pending. */
  leaving(session: Session): MaybePromise<Outcome>;
  /** The session has moved away; what waited for its acknowledgements does so on the other node. */
  left(session: Session): MaybePromise<Outcome>;
  /** The session has come from another node, and waits here for its client. */
  arrived(session: Session): MaybePromise<Outcome>;
  /** XEP-0198: the client is back on a new stream; unacknowledged stanzas have been written again. */
  resumed(session: Session): MaybePromise<Outcome>;
  /** XEP-0198: the stream is gone, the session waits to be resumed. `moves`: we have ended it, since the session is about to move to another node. */
  detached(session: Session, moves: boolean): MaybePromise<Outcome>;
}
export type SessionEventName = keyof SessionHandlers;

/** What happens to other nodes of the cluster. */
export interface ClusterHandlers {
  /**
   * The node on which this resource of an account of this host was bound is gone. Told on every node; `first` on one of them alone, which
   * tells others in its place.
   */
  lost(resource: LostResource, first: boolean): MaybePromise<Outcome>;
  /** A node that was cut off is back with its sessions: told for each available session here, so that the two sides meet again. */
  healed(session: Session, isBack: (account: Jid) => boolean): MaybePromise<Outcome>;
  /**
   * A message was handed to a resource that seemed to be there and was gone: what was decided for that resource is to be decided anew. It
   * has found its other way already. Told on one node, the resource's or the sender's.
   */
  missed(stanza: Stanza, account: Jid): MaybePromise<Outcome>;
}
export type ClusterEventName = keyof ClusterHandlers;

export interface LostResource {
  readonly jid: Jid;
  readonly available: boolean;
}

/** What happens to an account. */
export interface AccountHandlers {
  registered(account: Jid): MaybePromise<void>;
  /** What was handed out for the old password is void. Sessions go on. */
  passwordChanged(account: Jid): MaybePromise<void>;
  /** Remove every trace; sessions have been closed already. */
  removed(account: Jid): MaybePromise<void>;
  /** An account of another host of this server is removed: remove what services of this host, such as rooms, keep of it. */
  guestRemoved(account: Jid): MaybePromise<void>;
}
export type AccountEventName = keyof AccountHandlers;

/**
 * What happens in rooms, whichever module has them: told by the room's own node, once. A room module tells it by
 * `context.rooms`; those that keep something of conversations listen.
 */
export interface RoomHandlers {
  /**
   * A message was accepted, and is about to go to everybody in the room. Synchronous; what it returns is carried out for the sender's
   * stanza, such as `secureBy`.
   */
  said(message: RoomMessage): Outcome;
  /** An account, named by its bare address, has no part in the room any more: it has left for good, or was banned or removed. */
  parted(room: Jid, account: string): MaybePromise<void>;
  /** The room is gone for good, and whoever makes one of its name later has another. */
  destroyed(room: Jid): MaybePromise<void>;
}
export type RoomEventName = keyof RoomHandlers;

export interface RoomMessage {
  /** The room's bare address. */
  readonly room: Jid;
  /** Real and full address of who has spoken. */
  readonly sender: Jid;
  /** As everybody gets it: `from` is the occupant, `to` nobody, the room's `<stanza-id/>` in it. */
  readonly stanza: Stanza;
  /** The room's id of the message; "" when it has none. */
  readonly id: string;
  readonly kind: "muc" | "muclight";
  /** Real bare addresses of all who belong to the room, whether or not they are in it: the occupants of MUC Light, else the affiliated. */
  people(): Iterable<string>;
}

/** The listeners of `RoomHandlers`, for the module whose rooms they are. */
export interface RoomEvents {
  /** Whether nobody listens. */
  readonly unheard: boolean;
  said(message: RoomMessage): readonly Effect[];
  parted(room: Jid, account: string): Promise<void>;
  destroyed(room: Jid): Promise<void>;
}

/** To whom an IQ request is addressed. */
export type IqTarget =
  /** The sender's own bare JID, or nobody: the sender's own account (RFC 6121 section 8.5.1 with RFC 6120 10.3.3). */
  | "account"
  /** The bare JID of any account of this host, the sender's own included. */
  | "user"
  /** The host itself. */
  | "server";

export interface IqContext {
  /** The sender's session when it is one of this host's. */
  readonly session: Session | undefined;
  /** The account addressed; for "server" the host's domain. */
  readonly target: Jid;
  readonly from: Jid;
  /** The request's only child. */
  readonly payload: Element;
}

/** Answers with `reply(payload)`, an empty result when it returns none, or the error it throws (`StanzaError`). */
export type IqHandler = (request: Stanza, context: IqContext) => MaybePromise<Outcome>;

/** Where a request before authentication comes from. */
export interface Stranger {
  readonly remoteAddress: string;
  readonly secure: boolean;
}

/** Questions that one module answers and others ask, through `host.ask`. The first answer that is not undefined counts. */
export interface Questions {
  /** The roster's word on a contact of an account; undefined when there is no roster. */
  rosterItem(account: Jid, contact: Jid): MaybePromise<RosterEntry | undefined>;
  /** All contacts of an account. */
  roster(account: Jid): MaybePromise<readonly RosterEntry[] | undefined>;
  /** Items that a roster shows beside its contacts, as XML; no presence comes of them. */
  rosterAdditions(account: Jid): MaybePromise<readonly string[] | undefined>;
  /** The contacts between whom and an account presence flows; undefined when there is no roster. */
  presenceContacts(account: Jid): MaybePromise<readonly PresenceContact[] | undefined>;
  /** Bare addresses of the accounts of this host that let this address see their presence, by their own word. */
  sharingPresenceWith(viewer: Jid): MaybePromise<ReadonlySet<string> | undefined>;
  /** What makes a contact see, or no longer see, the presence of an account's resources, and what goes with it, after a subscription changed; asked of all modules. */
  sharePresence(account: Jid, contact: Jid, visible: boolean): MaybePromise<readonly Effect[] | undefined>;
  /** Whether a block or privacy list keeps this stanza away; `direction` is seen from the account. */
  blocked(
    account: Jid,
    session: Session | undefined,
    stanza: Stanza,
    direction: "in" | "out",
  ): MaybePromise<boolean | undefined>;
  /** Extra features (namespaces) of an account's bare JID; asked of all modules. */
  accountFeatures(account: Jid): MaybePromise<readonly string[] | undefined>;
  /** What an account is besides an account; asked of all modules. */
  accountIdentities(account: Jid): MaybePromise<readonly DiscoIdentity[] | undefined>;
  /** Nodes of an account that somebody may know of; asked of all modules. */
  accountItems(account: Jid, viewer: Jid): MaybePromise<readonly DiscoItem[] | undefined>;
  /** What an account says of one of its nodes; undefined when there is none that the viewer may know of. */
  accountNode(account: Jid, node: string, viewer: Jid): MaybePromise<DiscoInfo | undefined>;
  /** What is in one of an account's nodes; undefined when there is none that the viewer may know of. */
  accountNodeItems(account: Jid, node: string, viewer: Jid): MaybePromise<readonly DiscoItem[] | undefined>;
  /**
   * A notification for a device (XEP-0357), named by its node, to be handed to the service that wakes it. `options` is the form
   * of the publish-options. True when it was taken; throws `StanzaError` when the device is not there any more.
   */
  pushNotification(node: string, notification: Element, options: Element | undefined): MaybePromise<true | undefined>;
  /** SHA-1 (hex) of the account's avatar; "" when it has none. */
  avatarHash(account: Jid): MaybePromise<string | undefined>;
  /** Messages an account has not read, in all conversations together. */
  unreadCount(account: Jid): MaybePromise<number | undefined>;
  /** Whether an account has said that it wants no notifications of a conversation just now; `peer` is bare. */
  isMuted(account: Jid, peer: Jid): MaybePromise<boolean | undefined>;
  /** Which kind of rooms a domain of ours has; undefined when it has none. */
  roomKind(domain: string): "muc" | "muclight" | undefined;
  /** How a room of ours is seen by an account: what of it he may read; undefined when it is none of theirs, or not his to read. */
  roomViewer(room: Jid, account: Jid): MaybePromise<ArchiveViewer | undefined>;
  /** An account's vCard has another picture, or none any more; `before` is the hash of the one it had, or "". */
  vcardPhotoChanged(
    account: Jid,
    before: string,
    photo: VcardPhoto | undefined,
  ): MaybePromise<readonly Effect[] | undefined>;
  /** Private data (XEP-0049) that another module keeps and gives in place of what was stored. */
  privateData(
    account: Jid,
    name: string,
    namespace: string,
    stored: string | undefined,
  ): MaybePromise<string | undefined>;
  /** Private data has been stored; asked of all modules. */
  privateDataStored(account: Jid, element: Element): MaybePromise<readonly Effect[] | undefined>;
  /** What the host says of itself (XEP-0030); the same object until its modules change. */
  serverInfo(): DiscoInfo | undefined;
  /** What the host says of one of its nodes. */
  serverNode(node: string): DiscoInfo | undefined;
  /** Whether accounts have archives, whose ids then are the only ones an account's `<stanza-id/>` bears (XEP-0313 section 3.3). */
  keepsArchive(): boolean | undefined;
  /** The id that a message just sent by a client has in its sender's archive; for the copies to his other resources. */
  sentArchiveId(stanza: Stanza): string | undefined;
  /** Whether a session has read, or will read, this message of its account from the archive, and needs no other copy of it. */
  readFromArchive(session: Session, id: string): boolean | undefined;
  /**
   * Whether a session that has just been told of its archive reads it (XEP-0386): settles when it does, or when it has had
   * the time; undefined when it was told nothing.
   */
  readsArchive(session: Session): MaybePromise<boolean | undefined>;
  /** Everything a module keeps of an account, table by table; asked of all modules (`askAll`) when a person wants his data. */
  personalData(account: Jid): readonly PersonalData[] | undefined;
  /** As `personalData`, of an account of another host of this server: what services of this host, such as rooms, keep of it. */
  guestData(account: Jid): readonly PersonalData[] | undefined;
  /** Features of a client's resource, as XEP-0115 or 0390 told us; undefined when it has told nothing we could check. */
  clientFeatures(session: Session): MaybePromise<readonly string[] | undefined>;
}

/** An answer that is one. */
export type Answered<Name extends keyof Questions> = Exclude<Awaited<ReturnType<Questions[Name]>>, undefined>;

/** A table of what is kept of one account. */
export interface PersonalData {
  /** Of the table, in snake case and unique: `archive`, `archive_rooms`. */
  readonly name: string;
  readonly columns: readonly string[];
  /** Whichever host's module answers, the rows are those of all hosts of the server. */
  readonly everyHost?: boolean;
  /** Read in pages, so that a big table needs little memory. */
  rows(): AsyncIterable<readonly (string | number | null)[]>;
}

export type Subscription = "none" | "to" | "from" | "both";
export interface RosterEntry {
  readonly jid: string;
  readonly name: string;
  readonly subscription: Subscription;
  readonly groups: readonly string[];
  /** Our request to the contact is pending ("subscribe"). */
  readonly ask: boolean;
}

/** A contact with a subscription in at least one direction. */
export interface PresenceContact {
  readonly jid: Jid;
  readonly subscription: Exclude<Subscription, "none">;
}

/** A stanza-less element of an established stream (XEP-0352's `<active/>` and the like). */
export type NonzaHandler = (frame: Frame, session: Session) => MaybePromise<Outcome>;

/** XEP-0386: something a client may turn on in the same round trip as binding. The answer goes inside `<bound/>`. */
export interface InlineFeature {
  readonly name: string;
  readonly namespace: string;
  enable(session: Session, request: Element): MaybePromise<Xml | undefined>;
}

/** The calls with which a module fills the points. */
export interface Registrar {
  stage<Name extends StageName>(name: Name, kind: StanzaKind, handler: StageHandlers[Name]): void;
  session<Name extends SessionEventName>(name: Name, handler: SessionHandlers[Name]): void;
  cluster<Name extends ClusterEventName>(name: Name, handler: ClusterHandlers[Name]): void;
  account<Name extends AccountEventName>(name: Name, handler: AccountHandlers[Name]): void;
  room<Name extends RoomEventName>(name: Name, handler: RoomHandlers[Name]): void;
  /** The node is about to stop, and what could move to others has: a last word to those whose sessions are still there. */
  stopping(handler: () => Outcome): void;
  /** One handler a type, target, namespace and element name; a second one is an error at start. */
  iq(type: "get" | "set", target: IqTarget, namespace: string, name: string, handler: IqHandler): void;
  /** An IQ before authentication (XEP-0077). */
  strangerIq(
    type: "get" | "set",
    namespace: string,
    name: string,
    handler: (request: Stanza, stranger: Stranger) => MaybePromise<Outcome>,
  ): void;
  nonza(namespace: string, name: string, handler: NonzaHandler): void;
  answer<Name extends keyof Questions>(question: Name, handler: Questions[Name]): void;
  inline(feature: InlineFeature): void;
  /** XEP-0386: what `<bound/>` says of a session that was just bound in the same round trip as its login. */
  bound(describe: (session: Session) => MaybePromise<Xml | undefined>): void;
  /** An element of `<stream:features/>` after authentication that only the host at hand knows; asked each time. */
  streamFeature(element: () => Xml | undefined): void;
  /** Offers a service to the rest of the house; a second one of the same name is an error at start. */
  provide<Name extends keyof Services>(name: Name, service: Services[Name]): void;
  /**
   * Takes all stanzas for a domain of this module's own, such as `conference.example.org`, and for every address in it. A domain that is
   * a host, or another module's, is an error at start.
   */
  serve(domain: string, handler: DomainHandler): void;
}

/**
 * Takes a stanza for a served domain. What it returns is carried out; nothing means that the stanza has found its place. A `StanzaError`
 * it throws is the sender's answer, from the address the stanza was for. `origin` waits for whatever makes the stanza safe.
 */
export type DomainHandler = (stanza: Stanza, origin: Origin | undefined) => MaybePromise<Outcome>;
