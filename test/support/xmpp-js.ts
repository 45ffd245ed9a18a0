/** @xmpp/client for tests: a client that keeps what it receives, and waits for what is to come. */
import { client, xml } from "@xmpp/client";

// The certificate of a server under test is its own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

// biome-ignore lint/suspicious/noExplicitAny: the library brings no types
type Any = any;

/** Long enough for a machine that is busy with other things. */
const waitMs = 20_000;

/** A connected client that keeps what it receives. */
export class XmppJs {
  readonly xmpp: Any;
  readonly #inbox: Any[] = [];
  readonly #waiting: { fits: (stanza: Any) => boolean; take: (stanza: Any) => void }[] = [];

  constructor(options: Record<string, unknown>) {
    this.xmpp = client({ domain: "localhost", timeout: waitMs, ...options } as Any);
    this.xmpp.reconnect.stop();
    this.xmpp.on("error", () => {});
    this.xmpp.on("stanza", (stanza: Any) => {
      const at = this.#waiting.findIndex((waiting) => waiting.fits(stanza));
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.take(stanza);
      else this.#inbox.push(stanza);
    });
  }

  async start(): Promise<this> {
    await this.xmpp.start();
    return this;
  }

  send(stanza: Any): Promise<void> {
    return this.xmpp.send(stanza);
  }

  request(stanza: Any): Promise<Any> {
    return this.xmpp.iqCaller.request(stanza, waitMs);
  }

  /** The first stanza that fits, received already or to come. */
  receives(what: string, fits: (stanza: Any) => boolean): Promise<Any> {
    const at = this.#inbox.findIndex(fits);
    if (at >= 0) return Promise.resolve(this.#inbox.splice(at, 1)[0]);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${what} did not arrive; there are: ${this.#inbox.join("\n")}`)),
        waitMs,
      );
      this.#waiting.push({
        fits,
        take: (stanza) => {
          clearTimeout(timer);
          resolve(stanza);
        },
      });
    });
  }

  message(body: string): Promise<Any> {
    return this.receives(
      `the message '${body}'`,
      (stanza) => stanza.is("message") && stanza.getChildText("body") === body,
    );
  }

  /** Everything the server had to say before now has arrived when this resolves. */
  async caughtUp(): Promise<void> {
    await this.request(
      xml("iq", { type: "get", to: "localhost" }, xml("query", "http://jabber.org/protocol/disco#info")),
    );
  }

  received(fits: (stanza: Any) => boolean): boolean {
    return this.#inbox.some(fits);
  }

  /** The full address; SASL2's binding adds something of the server's to the resource asked for. */
  get jid(): string {
    return String(this.xmpp.jid);
  }

  stop(): Promise<void> {
    return this.xmpp.stop();
  }
}
