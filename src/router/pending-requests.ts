/** IQ requests the server has sent to its clients and to others, waiting for their answers. */
import { StanzaError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { iq, type Stanza } from "../stanza/stanza.ts";
import type { Clock, Timer } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import type { Xml } from "../xml/xml.ts";

interface Pending {
  readonly to: string;
  resolve(answer: Stanza): void;
  reject(error: StanzaError): void;
  readonly timer: Timer;
}

export class PendingRequests {
  readonly #pending = new Map<string, Pending>();
  readonly #clock: Clock;
  readonly #random: Randomness;
  readonly #most: number;

  /** `most`: how many requests may wait at once; one more is refused with resource-constraint. */
  constructor(clock: Clock, random: Randomness, most: number) {
    this.#clock = clock;
    this.#random = random;
    this.#most = most;
  }

  get size(): number {
    return this.#pending.size;
  }

  /**
   * Sends a request by `deliver` and resolves with its answer, be it a result or an error.
   * Rejects with `StanzaError`: remote-server-timeout after `timeoutMs`, resource-constraint when too many wait.
   */
  send(
    type: "get" | "set",
    from: Jid,
    to: Jid,
    payload: Xml,
    timeoutMs: number,
    deliver: (request: Stanza) => void,
  ): Promise<Stanza> {
    if (this.#pending.size >= this.#most) return Promise.reject(new StanzaError("resource-constraint"));
    const id = `srv-${this.#random.id(9)}`;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => {
        this.#pending.delete(id);
        reject(new StanzaError("remote-server-timeout", { text: `${to.full} did not answer` }));
      });
      this.#pending.set(id, { to: to.full, resolve, reject, timer });
      deliver(iq({ type, from, to, id, payload }));
    });
  }

  /** Takes an answer that a client has sent to the server; false when nobody waits for it. */
  settle(answer: Stanza): boolean {
    if (answer.type !== "result" && answer.type !== "error") return false;
    const pending = this.#pending.get(answer.id ?? "");
    if (pending === undefined || answer.from?.full !== pending.to) return false;
    this.#pending.delete(answer.id!);
    pending.timer.cancel();
    pending.resolve(answer);
    return true;
  }
}
