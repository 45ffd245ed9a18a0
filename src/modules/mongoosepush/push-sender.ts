/** Hands notifications to MongoosePush: a bounded number at once and waiting, each with a time limit and a few tries. */
import type { Log } from "../../observe/log.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Clock } from "../../util/clock.ts";

export interface SenderSettings {
  /** With the version of the API, without a slash at the end. */
  readonly url: string;
  readonly requestTimeoutMs: number;
  /** Most requests at once. */
  readonly requestsMax: number;
}

/** What the sender has done so far. */
export interface SenderCounters {
  sent: number;
  failed: number;
  /** Devices that the service does not know any more. */
  gone: number;
  /** Refused because too many wait. */
  dropped: number;
  retried: number;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const waitingMax = 10_000;
const triesMax = 3;
const retryAfterMs = 1_000;

export class PushSender {
  readonly counters: SenderCounters = { sent: 0, failed: 0, gone: 0, dropped: 0, retried: 0 };
  readonly #settings: SenderSettings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #fetch: Fetch;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(settings: SenderSettings, clock: Clock, log: Log, fetcher: Fetch = fetch) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#fetch = fetcher;
  }

  /**
   * Resolves when the service has taken it. Rejects with `StanzaError`: item-not-found when the device is gone for good;
   * resource-constraint, remote-server-timeout and internal-server-error for what may be otherwise later.
   */
  async send(token: string, body: object): Promise<void> {
    // The name of a device is its user's to choose: these two would be steps up in the path, however they are encoded.
    if (token === "." || token === "..") throw new StanzaError("item-not-found", { text: "That is no device" });
    await this.#slot();
    try {
      await this.#try(`${this.#settings.url}/notification/${encodeURIComponent(token)}`, JSON.stringify(body));
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #slot(): Promise<void> {
    if (this.#running >= this.#settings.requestsMax) {
      if (this.#waiting.length >= waitingMax) {
        this.counters.dropped++;
        throw new StanzaError("resource-constraint", { text: "Too many notifications wait" });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running++;
  }

  async #try(url: string, body: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const status = await this.#once(url, body);
      if (status !== undefined && status >= 200 && status < 300) {
        this.counters.sent++;
        return;
      }
      if (status === 410 || status === 404) {
        this.counters.gone++;
        throw new StanzaError("item-not-found", { text: "The device is not registered" });
      }
      const mayHelp = status === undefined || status === 429 || status >= 500;
      if (!mayHelp || attempt >= triesMax) {
        this.counters.failed++;
        this.#log.warn({ status }, "the push service did not take a notification");
        if (status === undefined) throw new StanzaError("remote-server-timeout");
        throw new StanzaError("internal-server-error", { type: "wait", text: `The push service said ${status}` });
      }
      this.counters.retried++;
      await new Promise<void>((resolve) => void this.#clock.after(retryAfterMs * attempt, resolve));
    }
  }

  /** The status of the answer; undefined when there was none. */
  async #once(url: string, body: string): Promise<number | undefined> {
    const abort = new AbortController();
    const timer = this.#clock.after(this.#settings.requestTimeoutMs, () => abort.abort());
    try {
      const headers = { "content-type": "application/json" };
      const request = { method: "POST", headers, body, signal: abort.signal, redirect: "error" } as const;
      const response = await this.#fetch(url, request);
      // Unread, the answer would keep its connection.
      await response.body?.cancel();
      return response.status;
    } catch (error) {
      this.#log.debug({ err: error }, "the push service did not answer");
      return undefined;
    } finally {
      timer.cancel();
    }
  }
}
