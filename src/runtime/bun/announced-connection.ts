/** A connection through a load balancer, until its PROXY header has said whose it is. */
import { type ProxyHeader, parseProxyHeader } from "../../socket/proxy-header.ts";
import { isLoopbackAddress } from "../../util/ip-address.ts";
import { type TimerWheel, type WheelOwner, WheelTimeout } from "../../util/timer-wheel.ts";
import type { NativeEvents, NativeSocket } from "./tcp-socket.ts";

/** A balancer sends its header at once. */
const headerWaitMs = 1_000;
const nothing = Buffer.alloc(0);

export interface Announcements {
  /** Whose it is, and what came behind the header; whoever goes on takes the events from now on. */
  announced(source: { readonly address: string; readonly port: number }, rest: Buffer): void;
  refused(reason: string): void;
  /** It ended before it was announced. */
  left(): void;
}

export class AnnouncedConnection implements NativeEvents, WheelOwner {
  readonly #native: NativeSocket;
  readonly #balancer: string;
  readonly #wheel: TimerWheel;
  readonly #to: Announcements;
  readonly #timeout = new WheelTimeout(this);
  #bytes: Buffer = nothing;
  /** Announced, refused or ended. */
  #over = false;

  constructor(native: NativeSocket, balancer: string, wheel: TimerWheel, to: Announcements) {
    this.#native = native;
    this.#balancer = balancer;
    this.#wheel = wheel;
    this.#to = to;
    wheel.start(this.#timeout, headerWaitMs);
  }

  onData(chunk: Buffer): void {
    if (this.#over) return;
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    let header: ProxyHeader | undefined;
    try {
      header = parseProxyHeader(this.#bytes);
    } catch (error) {
      this.#refuse((error as Error).message);
      return;
    }
    if (header === undefined) return;
    const own = { address: this.#balancer, port: this.#native.remotePort };
    const { length, source = own } = header;
    if (isLoopbackAddress(source.address) && !isLoopbackAddress(this.#balancer)) {
      // This machine is trusted more than others, so nobody else may speak for it.
      this.#refuse("its PROXY header names an address of this machine");
      return;
    }
    this.#over = true;
    this.#wheel.cancel(this.#timeout);
    const rest = this.#bytes.subarray(length);
    this.#bytes = nothing;
    this.#to.announced(source, rest);
  }

  timedOut(): void {
    if (!this.#over) this.#refuse("it sent no PROXY header in time");
  }

  onFinish(): void {
    if (!this.#over) this.#refuse("it ended before its PROXY header");
  }

  onFailure(error: Error): void {
    if (!this.#over) this.#refuse(error.message);
  }

  onClose(): void {
    if (!this.#over) this.#leave();
  }

  onDrain(): void {}

  onHandshake(): void {}

  #refuse(reason: string): void {
    this.#leave();
    this.#native.data = undefined;
    this.#to.refused(reason);
    this.#native.terminate();
  }

  #leave(): void {
    this.#over = true;
    this.#wheel.cancel(this.#timeout);
    this.#bytes = nothing;
    this.#to.left();
  }
}
