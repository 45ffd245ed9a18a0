/** What all carriers of a stream share: batching per turn, the bounded queue, and an end that is told exactly once. */
import { type TimerWheel, type WheelOwner, WheelTimeout } from "../util/timer-wheel.ts";
import type { SocketHandler } from "./socket.ts";
import type { Flushable, WriteBatch } from "./write-batch.ts";

/** What many sockets have in common; one object a listener. */
export interface SocketSettings {
  readonly batch: WriteBatch;
  readonly wheel: TimerWheel;
  /** Bytes that may wait for a slow peer; above it the socket has overflowed. */
  readonly writeQueueBytesMax: number;
  /** How long `close` waits for the peer to take what is queued and to close its half. */
  readonly lingerMs: number;
  /** Told of what a handler threw (a bug); its connection ends. */
  failed(error: unknown): void;
}

/** open → closing (the queue is being sent) → finished (our half is closed) → over (both are). */
type Phase = "open" | "closing" | "finished" | "over";

/** Nobody is connected to the socket yet, or any more. */
const nobody: SocketHandler = { received() {}, secured() {}, drained() {}, overflowed() {}, closed() {} };

/**
 * Subclasses bring the carrier: they queue and send in their framing, and report its events through the protected
 * methods. None of a handler's methods is called from inside a method that the handler itself called, except `received`
 * from `resume`: they come at the end of the turn.
 */
export abstract class BaseSocket implements Flushable, WheelOwner {
  protected readonly settings: SocketSettings;
  protected handler: SocketHandler = nobody;
  #phase: Phase = "open";
  /** In the batch of this turn. */
  #dirty = false;
  /** The peer was slow: wait until the carrier says that there is room. */
  #blocked = false;
  #overflow: "no" | "pending" | "told" = "no";
  /** Our own code is calling the carrier: an end reported meanwhile is told later. */
  #busy = false;
  #untoldEnd: { readonly reason: Error | undefined } | undefined = undefined;
  #linger: WheelTimeout | undefined = undefined;

  constructor(settings: SocketSettings) {
    this.settings = settings;
  }

  abstract get queuedBytes(): number;
  /** Adds to the queue. */
  protected abstract enqueue(text: string): void;
  /** Sends the queue as far as possible; false when the carrier is full and will call `roomAgain`. */
  protected abstract send(): boolean;
  /** Drops the queue. */
  protected abstract dropQueue(): void;
  /** Closes our half after everything was sent. */
  protected abstract finish(): void;
  /** Ends the connection at once; leads to `ended`, now or later. */
  protected abstract terminate(): void;
  /** Reads again, so that the peer's end is noticed. */
  protected abstract readUntilEnd(): void;
  /** The queue must not be sent now (a TLS handshake is under way). */
  protected get held(): boolean {
    return false;
  }
  /** The queue has just become empty, and the connection is not over. */
  protected emptied(): void {}

  get open(): boolean {
    return this.#phase === "open";
  }

  write(text: string): void {
    if (this.#phase !== "open" || this.#overflow !== "no" || text === "") return;
    this.enqueue(text);
    if (this.queuedBytes > this.settings.writeQueueBytesMax) {
      // A burst within one turn is no overflow as long as the peer takes it.
      this.#sendNow();
      if (this.queuedBytes > this.settings.writeQueueBytesMax) {
        this.#overflow = "pending";
        this.#flushLater();
        return;
      }
    }
    if (!this.#blocked && !this.#dirty) this.#flushLater();
  }

  flush(): void {
    this.#dirty = false;
    if (this.#untoldEnd !== undefined) {
      const { reason } = this.#untoldEnd;
      this.#untoldEnd = undefined;
      this.#tellEnd(reason);
      return;
    }
    if (this.#phase === "over" || this.#phase === "finished") return;
    this.#sendNow();
    if (this.#overflow === "pending") {
      this.#overflow = "told";
      if (this.open) this.#tell("overflowed");
    }
  }

  close(): void {
    if (this.#phase !== "open") return;
    this.#phase = "closing";
    this.#linger = new WheelTimeout(this);
    this.settings.wheel.start(this.#linger, this.settings.lingerMs);
    this.readUntilEnd();
    this.#flushLater();
  }

  abort(): void {
    if (this.#phase === "over") return;
    this.#phase = "finished";
    const outer = this.#busy;
    this.#busy = true;
    try {
      this.dropQueue();
      this.terminate();
    } finally {
      this.#busy = outer;
    }
  }

  /** The linger time is up. */
  timedOut(_timeout: WheelTimeout): void {
    this.abort();
  }

  /** The carrier has room again. */
  protected roomAgain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    if (this.#phase === "finished" || this.#phase === "over") return;
    this.#sendNow();
    if (!this.#blocked && this.open && !this.held) this.#tell("drained");
  }

  /** The peer closed its half: nothing more will come, so ours is closed after the queue is sent. */
  protected peerFinished(): void {
    if (this.#phase === "open") this.close();
  }

  /** The connection is over; only the first call counts. */
  protected ended(reason: Error | undefined): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    if (this.#linger !== undefined) this.settings.wheel.cancel(this.#linger);
    this.#linger = undefined;
    this.dropQueue();
    if (this.#busy) {
      this.#untoldEnd = { reason };
      this.#flushLater();
    } else this.#tellEnd(reason);
  }

  /** A handler threw: a bug, which costs this connection only. */
  protected handlerThrew(error: unknown): void {
    this.settings.failed(error);
    this.abort();
  }

  /** Sends what is queued and moves on with what waits for an empty queue. */
  #sendNow(): void {
    if (this.#blocked || this.held || this.#phase === "finished" || this.#phase === "over") return;
    const outer = this.#busy;
    this.#busy = true;
    try {
      if (this.queuedBytes > 0 && !this.send()) {
        this.#blocked = true;
        return;
      }
      if (this.isOver()) return;
      this.emptied();
      // `emptied` may have begun a handshake; its end comes back here.
      if (this.#phase === "closing" && !this.held) {
        this.#phase = "finished";
        this.finish();
      }
    } finally {
      this.#busy = outer;
    }
  }

  /** Continues after `held` has become false. */
  protected release(): void {
    this.#sendNow();
  }

  protected isOver(): boolean {
    return this.#phase === "over";
  }

  #flushLater(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.settings.batch.add(this);
  }

  #tell(event: "drained" | "overflowed"): void {
    try {
      this.handler[event]();
    } catch (error) {
      this.handlerThrew(error);
    }
  }

  #tellEnd(reason: Error | undefined): void {
    const handler = this.handler;
    this.handler = nobody;
    try {
      handler.closed(reason);
    } catch (error) {
      this.settings.failed(error);
    }
  }
}
