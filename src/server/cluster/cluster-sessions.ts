/** Sessions of other nodes, as the router sees them: looked up in the session directory, reached over the link. */
import { WireError } from "../../cluster/bytes.ts";
import type { NodeIdentity } from "../../cluster/fabric/fabric.ts";
import { type FrameReceipt, type Link, LinkFull } from "../../cluster/link.ts";
import type { SessionDirectory } from "../../cluster/session-directory.ts";
import { TableFull } from "../../cluster/table-store.ts";
import type { SessionEnd } from "../../hooks/points.ts";
import type { Log } from "../../observe/log.ts";
import { runClusterEvent } from "../../router/from-client.ts";
import type { OtherNodes, Router } from "../../router/route.ts";
import type { Origin, Resource } from "../../session/resource.ts";
import type { Session } from "../../session/session.ts";
import { StanzaError, StreamError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { stanzaFromBytes, stanzaToBytes } from "../../stanza/stanza-bytes.ts";
import type { SessionKeeper } from "../../stream/session-keeper.ts";
import type { Clock } from "../../util/clock.ts";
import {
  type CloseFrame,
  deliverHead,
  Frame,
  type FreezeFrame,
  type FrozenFrame,
  jsonOf,
  type MovedFrame,
  type PresentFrame,
  serialOf,
  withJson,
} from "./frames.ts";
import type { Freezing } from "./freezing.ts";
import { MovingElsewhere, type Place } from "./moving.ts";
import { RemoteResource, type RemoteWay } from "./remote-resource.ts";
import type { SessionMover } from "./session-mover.ts";

/** A session of another node that is to end is given up after this long. */
const closeWaitMs = 3_000;
/** What found its node gone is routed anew after this. */
const rerouteMs = 20;

const none: readonly Resource[] = [];

export interface ClusterSessionsParts {
  readonly router: Router;
  readonly keeper: SessionKeeper;
  readonly directory: SessionDirectory;
  readonly link: Link;
  readonly clock: Clock;
  readonly log: Log;
  readonly freezing: Freezing;
  readonly nodeNumber: number;
  /** The nodes that are up. */
  readonly peers: () => Iterable<number>;
  /** A node that is up, this one included. */
  readonly lifeOf: (number: number | undefined) => NodeIdentity | undefined;
}

export class ClusterSessions implements OtherNodes, RemoteWay {
  readonly #parts: ClusterSessionsParts;
  readonly #moving: MovingElsewhere;
  /** Moves sessions of this node; set once both are made. */
  mover: SessionMover | undefined = undefined;

  constructor(parts: ClusterSessionsParts) {
    this.#parts = parts;
    this.#moving = new MovingElsewhere(
      parts.clock,
      (place, stanza) => this.#send(place, stanza),
      (stanza) => this.#giveBack(stanza),
    );
  }

  /** Whether sessions of other nodes move, or have moved lately. */
  get somethingMoves(): boolean {
    return !this.#moving.idle;
  }

  // For the router.

  has(account: Jid): boolean {
    return this.#parts.directory.count(account) > 0;
  }

  of(account: Jid): readonly Resource[] {
    const bare = account.toBare();
    let found: RemoteResource[] | undefined;
    this.#parts.directory.forEach(bare, (entry) => {
      const one = new RemoteResource(this, bare, entry);
      if (found === undefined) found = [one];
      else this.#addOrChoose(found, one);
    });
    return found ?? none;
  }

  find(jid: Jid): Resource | undefined {
    const onTheWay = this.onTheWay(jid);
    if (onTheWay !== undefined) return onTheWay;
    const entry = this.#parts.directory.find(jid);
    return entry === undefined ? undefined : new RemoteResource(this, jid.toBare(), entry, jid);
  }

  onTheWay(jid: Jid): RemoteResource | undefined {
    if (!this.#moving.someMove) return undefined;
    const bare = jid.toBare();
    const found: RemoteResource[] = [];
    this.#parts.directory.forEach(bare, (entry) => {
      if (entry.resource === jid.resource) this.#addOrChoose(found, new RemoteResource(this, bare, entry));
    });
    const [resource] = found;
    return resource !== undefined && this.#moving.moves(resource) ? resource : undefined;
  }

  /**
   * While a session moves its address is in the tables twice, and after a partition it may be. Then it is the one that stays, but that
   * what is for a moving session waits at the place it leaves, so that nothing overtakes what waits there already.
   */
  #addOrChoose(found: RemoteResource[], one: RemoteResource): void {
    const at = found.findIndex((other) => other.jid.resource === one.jid.resource);
    const other = found[at];
    if (other === undefined) found.push(one);
    else if (this.#goesBefore(one, other)) found[at] = one;
  }

  #goesBefore(one: RemoteResource, other: RemoteResource): boolean {
    const later = one.startedAt - other.startedAt || one.node - other.node;
    const moves = this.#moving.moves(one);
    if (moves !== this.#moving.moves(other)) return moves;
    return moves ? later < 0 : later > 0;
  }

  opened(session: Session): void {
    const { local, domain, resource } = session.jid;
    const { serial, startedAt, priority, marks } = session;
    try {
      this.#parts.directory.publish({ local, domain, resource, serial, startedAt, priority, marks });
    } catch (error) {
      if (!(error instanceof TableFull)) throw error;
      this.#parts.log.warn({ err: error, jid: session.jid.full }, "other nodes cannot know of a session");
    }
  }

  changed(session: Session): void {
    this.#parts.directory.update(session.account, session.serial, session.priority, session.marks);
  }

  ended(session: Session): void {
    this.#parts.directory.withdraw(session.account, session.serial);
  }

  /** The directory has another node's later session at the address of one of ours. */
  superseded(serial: number, address: { local: string; domain: string; resource: string }): void {
    const { router, keeper, log } = this.#parts;
    const jid = parseJid(`${address.local}@${address.domain}/${address.resource}`);
    const session = jid === undefined ? undefined : router.sessions.find(jid);
    if (session === undefined || session.serial !== serial || this.mover?.superseded(session) === true) return;
    keeper.replace(session).catch((error: unknown) => log.error({ err: error }, "ending a replaced session failed"));
  }

  fetch(resumeId: string, account: Jid): Promise<boolean> {
    const bare = account.toBare();
    const nodesOf = (): ReadonlySet<number> => {
      const nodes = new Set<number>();
      this.#parts.directory.forEach(bare, (entry) => nodes.add(entry.owner.number));
      return nodes;
    };
    return this.mover!.fetch(resumeId, bare, nodesOf);
  }

  // Towards other nodes.

  deliver(to: RemoteResource, stanza: Stanza, origin: Origin | undefined): undefined | Promise<void> {
    let place: Place = to;
    if (!this.#moving.idle) {
      place = this.#moving.placeNow(to);
      const over = this.#moving.keep(place, stanza, origin);
      if (over !== undefined) return over;
    }
    const { link, nodeNumber } = this.#parts;
    if (place.node === nodeNumber) {
      const dealtWith = this.#send(place, stanza);
      origin?.secure(dealtWith);
      return undefined;
    }
    this.#sendOver(place, stanza, new StanzaReceipt(this, stanza, origin));
    return link.full(place.node) ? link.whenDrained(place.node) : undefined;
  }

  /** See `SessionMoverParts.whenArrived`. */
  whenArrived(session: Session): Promise<void> | undefined {
    const before = this.onTheWay(session.jid);
    return before === undefined ? undefined : this.#moving.whenOver(before);
  }

  /** Sessions of this node have moved: whoever still finds them here, by tables that are behind, finds them there. */
  moved(frame: MovedFrame): void {
    const { nodeNumber, lifeOf } = this.#parts;
    this.#moving.moved(lifeOf(nodeNumber)!, lifeOf(frame.target), frame);
  }

  /** To a session that has moved; see `SessionMoverParts.follow`. */
  follow(place: Place, stanza: Stanza): Promise<void> {
    return this.#moving.follow(place, stanza);
  }

  /** Resolves when the stanza is the session's, or, its node being gone, has found another way. Never rejects. */
  async #send(place: Place, stanza: Stanza): Promise<void> {
    // What was kept for a session that has moved here.
    if (place.node === this.#parts.nodeNumber) return this.#deliveredHere(place.serial, stanza);
    return new Promise((resolve) => {
      this.#sendOver(place, stanza, new StanzaReceipt(this, stanza, undefined, resolve));
    });
  }

  #sendOver(place: Place, stanza: Stanza, receipt: StanzaReceipt): void {
    this.#parts.link.sendWith(place.node, stanzaToBytes(deliverHead(place.serial), stanza), receipt);
  }

  /** Finds another way for a stanza whose node is gone; resolves when it is safe. Never rejects. */
  async unsent(stanza: Stanza, error: Error): Promise<void> {
    try {
      if (error instanceof LinkFull) {
        await this.#parts.router.fail(stanza, new StanzaError("resource-constraint", { type: "wait" }));
        return;
      }
      await this.#giveBackLater(stanza);
    } catch (cause) {
      this.#parts.log.error({ err: cause }, "a stanza whose node is gone found no other way");
    }
  }

  /** The tables may take a moment longer to forget a place than whoever looks there: then the same way would be found again, and again. */
  async #giveBackLater(stanza: Stanza): Promise<void> {
    await new Promise<void>((resolve) => this.#parts.clock.after(rerouteMs, resolve));
    await this.#giveBack(stanza);
  }

  /** The session this was for is gone with its node, or was when it came. */
  async #giveBack(stanza: Stanza): Promise<void> {
    const account = stanza.to?.toBare();
    if (account === undefined) return;
    const stored: Promise<void>[] = [];
    const { router } = this.#parts;
    await router.giveBack(stanza, account, { secure: (promise) => void stored.push(promise) });
    await Promise.allSettled(stored);
    const host = stanza.kind === "message" && stanza.type !== "error" ? router.hosts.get(account.domain) : undefined;
    if (host !== undefined) await runClusterEvent(router, host, "missed", stanza, account);
  }

  present(resource: RemoteResource, to: Jid): void {
    const frame: PresentFrame = { serial: resource.serial, account: resource.account.bare, to: to.full };
    this.#sendRare(resource.node, withJson(Frame.present, frame));
  }

  async close(resource: Resource, error: StreamError, how: SessionEnd = "kicked"): Promise<void> {
    if (!(resource instanceof RemoteResource)) return;
    const { serial, account, node } = resource;
    const text = error.text ?? "";
    const frame: CloseFrame = { serial, account: account.bare, how, condition: error.condition, text };
    const closed = this.#parts.link.send(node, withJson(Frame.close, frame), true)!;
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.after(closeWaitMs, resolve);
      const done = () => {
        timer.cancel();
        resolve();
      };
      closed.then(done, done);
    });
  }

  /** What may be lost with its node. */
  #sendRare(node: number, bytes: Uint8Array): void {
    this.#parts.link.send(node, bytes, false)?.catch((error: unknown) => {
      this.#parts.log.debug({ err: error, node }, "a frame found no node");
    });
  }

  /** Resolves when all that this node has had so far for sessions of others is dealt with there. */
  async settled(): Promise<void> {
    await this.mover?.settled();
    await this.#moving.settled();
    const { link, peers } = this.#parts;
    // Who goes down meanwhile knows nothing any more, which is as good.
    await Promise.all(
      Array.from(peers(), (node) => link.send(node, Uint8Array.of(Frame.told), true)?.catch(() => undefined)),
    );
  }

  // From other nodes.

  /** A frame about sessions; undefined when it is of another kind. Throws `WireError`. */
  frame(from: NodeIdentity, bytes: Uint8Array): "unknown" | undefined | Promise<void> {
    switch (bytes[0]) {
      case Frame.deliver:
        return this.#delivered(serialOf(bytes), stanzaFromBytes(bytes, 5));
      case Frame.present:
        return this.#presented(jsonOf<PresentFrame>(bytes));
      case Frame.close:
        return this.#closed(jsonOf<CloseFrame>(bytes));
      case Frame.freeze: {
        const { move, serials } = jsonOf<FreezeFrame>(bytes);
        this.#moving.freeze(from, serials);
        this.#sendRare(from.number, withJson(Frame.frozen, { move } satisfies FrozenFrame));
        return undefined;
      }
      case Frame.frozen:
        this.#parts.freezing.answered(from.number, jsonOf<FrozenFrame>(bytes).move);
        return undefined;
      case Frame.moved: {
        const moved = jsonOf<MovedFrame>(bytes);
        this.#moving.moved(from, this.#parts.lifeOf(moved.target), moved);
        return undefined;
      }
      case Frame.told:
        return undefined;
      default:
        return "unknown";
    }
  }

  /** A node is down: what is kept for its moving sessions finds another way. */
  nodeGone(node: number): void {
    this.#moving.nodeGone(node);
  }

  #delivered(serial: number, stanza: Stanza): undefined | Promise<void> {
    const account = stanza.to;
    if (account === undefined) throw new WireError("a stanza for nobody");
    const session = this.#session(account.bare, serial);
    if (session === undefined) return this.#deliveredLate(serial, stanza);
    session.deliver(stanza);
    return undefined;
  }

  /** It may have moved on, and whoever sends this does not know. */
  #deliveredLate(serial: number, stanza: Stanza): Promise<void> {
    if (this.#moving.idle) return this.#giveBack(stanza);
    const { nodeNumber, lifeOf } = this.#parts;
    const here: Place = { node: nodeNumber, incarnation: lifeOf(nodeNumber)!.incarnation, serial };
    return this.#moving.placeNow(here) === here ? this.#giveBack(stanza) : this.#moving.follow(here, stanza);
  }

  /** For a session that has moved here, as is known without the tables. */
  #deliveredHere(serial: number, stanza: Stanza): undefined | Promise<void> {
    const session = stanza.to === undefined ? undefined : this.#session(stanza.to.bare, serial);
    if (session === undefined) return this.#giveBackLater(stanza);
    session.deliver(stanza);
    return undefined;
  }

  #presented({ serial, account, to }: PresentFrame): undefined | Promise<void> {
    const viewer = parseJid(to);
    return viewer === undefined ? undefined : this.#session(account, serial)?.present(viewer);
  }

  #closed({ serial, account, how, condition, text }: CloseFrame): undefined | Promise<void> {
    const session = this.#session(account, serial);
    if (session === undefined) return undefined;
    return this.#parts.keeper.close(session, new StreamError(condition as StreamError["condition"], text), how);
  }

  #session(account: string, serial: number): Session | undefined {
    for (const session of this.#parts.router.sessions.of(account)) if (session.serial === serial) return session;
    return undefined;
  }
}

/** What becomes of a stanza on its way to another node. A promise is made only where somebody waits for it. */
class StanzaReceipt implements FrameReceipt {
  readonly #sessions: ClusterSessions;
  readonly #stanza: Stanza;
  #safe: (() => void) | undefined;

  constructor(sessions: ClusterSessions, stanza: Stanza, origin: Origin | undefined, safe?: () => void) {
    this.#sessions = sessions;
    this.#stanza = stanza;
    this.#safe = safe;
    origin?.secure(
      new Promise((resolve) => {
        this.#safe = resolve;
      }),
    );
  }

  dealtWith(): void {
    this.#safe?.();
  }

  lost(error: Error): void {
    void this.#sessions.unsent(this.#stanza, error).then(this.#safe);
  }
}
