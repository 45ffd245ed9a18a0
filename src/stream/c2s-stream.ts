/**
 * A client's stream (RFC 6120, RFC 7395): what is allowed in which state, from the first byte to the footer.
 *
 * The state is a union whose members carry their own data; `#take` is the table of what each state accepts. Once a
 * session is bound, a stanza goes straight to the router. While something waits for I/O, this one connection is not
 * read, so order is kept and back-pressure is free.
 */
import type { SaslExchange } from "../auth/exchange.ts";
import type { MaybePromise } from "../hooks/effect.ts";
import { takeFromClient } from "../router/from-client.ts";
import type { Host } from "../router/host.ts";
import { carryOut } from "../router/stages.ts";
import type { Session, SessionLink } from "../session/session.ts";
import type { ByteSocket, SocketHandler } from "../socket/socket.ts";
import { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { errorOf, mayBounce } from "../stanza/reply.ts";
import { InvalidFrom, presence, type Stanza, stanzaFromFrame, UnroutableStanza } from "../stanza/stanza.ts";
import { isLoopbackAddress } from "../util/ip-address.ts";
import { type WheelOwner, WheelTimeout } from "../util/timer-wheel.ts";
import { XmlError } from "../xml/errors.ts";
import { type Frame, Scanner, type ScannerSink } from "../xml/scanner.ts";
import { bindAgain, bindResource } from "./bind.ts";
import type { StreamEnvironment } from "./environment.ts";
import { ManagedStream } from "./managed-stream.ts";
import type { ConnectionSecurity } from "./mechanisms.ts";
import { openStream } from "./opening.ts";
import { continueSasl, type SaslProfile, startSasl } from "./sasl.ts";
import { type InlineRequest, startSasl2 } from "./sasl2.ts";
import { charge } from "./shaper.ts";
import { answerStranger } from "./stranger-iq.ts";
import { writeFeatures, writeFooter, writeHeader, writeStreamError } from "./stream-header.ts";

export type State =
  /** Waiting for a stream header; `account` once authenticated. */
  | { readonly at: "opening"; readonly account: Jid | undefined; readonly triesLeft: number }
  /** The client chooses: STARTTLS, registration, authentication. */
  | { readonly at: "stranger"; readonly host: Host; readonly triesLeft: number; readonly claimed: Jid | undefined }
  /** Amid a SASL exchange. */
  | {
      readonly at: "sasl";
      readonly host: Host;
      readonly triesLeft: number;
      readonly claimed: Jid | undefined;
      readonly exchange: SaslExchange;
      readonly mechanism: string;
      readonly profile: SaslProfile;
      readonly request: InlineRequest | undefined;
    }
  /** Authenticated; the client binds a resource or resumes a session. */
  | {
      readonly at: "authenticated";
      readonly host: Host;
      readonly account: Jid;
      readonly triesLeft: number;
      readonly userAgent: string | undefined;
    }
  | { readonly at: "established"; readonly session: Session }
  | { readonly at: "closed" };

const over: State = { at: "closed" };

/** A long answer waits while more than this waits for the client: of every `write_queue_bytes_max` the smaller part. */
const roomBytes = 32 * 1024;

export class C2sStream implements SocketHandler, ScannerSink, SessionLink, WheelOwner {
  readonly environment: StreamEnvironment;
  readonly socket: ByteSocket;
  readonly #scanner: Scanner;
  #state: State;
  #headerSent = false;
  /** Only while there is a limit: an idle session costs none. */
  #timeout: WheelTimeout | undefined = undefined;
  #pending = false;
  /** The client ended its stream while we were still busy with what it had sent. */
  #endAfterPending = false;
  #held: Stanza[] | undefined = undefined;
  #whenDrained: (() => void)[] | undefined = undefined;
  /** See `charge`. */
  #paidUntil = Number.NEGATIVE_INFINITY;
  /** Mechanisms tried that cannot work on this connection. */
  saslMisfits = 0;
  /** XEP-0198's side of this stream; undefined until the client enables it. */
  managed: ManagedStream | undefined = undefined;

  constructor(environment: StreamEnvironment, socket: ByteSocket) {
    this.environment = environment;
    this.socket = socket;
    this.#state = { at: "opening", account: undefined, triesLeft: environment.listener.saslTries };
    this.#scanner = new Scanner(this, environment.listener.limitsBefore);
    environment.counters.connections++;
    environment.strangers.entered(socket.remoteAddress);
    this.startStateTimeout();
  }

  /** What SASL may rely on. */
  get connection(): ConnectionSecurity {
    const { socket } = this;
    return {
      secure: socket.secure,
      loopback: isLoopbackAddress(socket.remoteAddress),
      bindings: socket.secure
        ? { data: (type) => socket.channelBinding(type), has: (type) => socket.hasChannelBinding(type) }
        : undefined,
    };
  }

  /** Nobody can listen: the stream is encrypted, or never leaves this machine. */
  get trusted(): boolean {
    return this.socket.secure || isLoopbackAddress(this.socket.remoteAddress);
  }

  /** TLS is demanded here, and not on yet: nothing else is offered, or taken (RFC 6120 section 5.3.1). */
  get needsTls(): boolean {
    return this.environment.listener.tls === "starttls_required" && !this.socket.secure;
  }

  get remoteAddress(): string {
    return this.socket.remoteAddress;
  }

  get remotePort(): number {
    return this.socket.remotePort;
  }

  get secure(): boolean {
    return this.socket.secure;
  }

  get transport(): "tcp" | "tls" | "websocket" {
    return this.socket.framing === "message" ? "websocket" : this.socket.secure ? "tls" : "tcp";
  }

  get state(): State {
    return this.#state;
  }

  // Bytes and frames

  received(chunk: Uint8Array): void {
    this.environment.counters.bytesIn += chunk.length;
    if (this.#state.at === "closed") return;
    this.#shape(chunk.length);
    try {
      this.#scanner.push(chunk);
    } catch (error) {
      this.broke(error);
    }
  }

  receivedMessage(text: string): void {
    this.environment.counters.bytesIn += text.length;
    if (this.#state.at === "closed") return;
    this.#shape(text.length);
    try {
      this.#scanner.pushMessage(text);
    } catch (error) {
      this.broke(error);
    }
  }

  /** A client over its rate is not read until its debt is paid. */
  #shape(bytes: number): void {
    const rate = this.environment.listener.bytesPerSecond;
    if (rate === Number.POSITIVE_INFINITY) return;
    const now = this.environment.clock.monotonic();
    this.#paidUntil = charge(this.#paidUntil, bytes, rate, now);
    if (this.#paidUntil <= now) return;
    this.socket.pause();
    this.environment.clock.after(this.#paidUntil - now, () => {
      if (!this.#pending) this.socket.resume();
    });
  }

  streamStart(frame: Frame): boolean {
    return this.#run(() => openStream(this, this.#state, frame));
  }

  element(frame: Frame): boolean {
    if (this.#state.at === "established" && frame.ns === ns.client) {
      // The hot path: no closure, and a promise only where a handler needs I/O.
      try {
        const done = this.#takeStanza(frame, this.#state.session);
        if (done === undefined) return this.isOpen;
        this.#wait(done);
      } catch (error) {
        this.broke(error);
      }
      return false;
    }
    return this.#run(() => this.#take(frame));
  }

  streamEnd(): void {
    if (this.#pending) this.#endAfterPending = true;
    else this.#farewell();
  }

  get isOpen(): boolean {
    return this.#state.at !== "closed";
  }

  #run(step: () => MaybePromise<void>): boolean {
    try {
      const done = step();
      if (done === undefined) return this.isOpen;
      this.#wait(done);
    } catch (error) {
      this.broke(error);
    }
    return false;
  }

  #wait(done: Promise<void>): void {
    this.#pending = true;
    this.socket.pause();
    done.then(
      () => this.#goOn(),
      (error: unknown) => {
        this.#pending = false;
        this.broke(error);
      },
    );
  }

  #goOn(): void {
    this.#pending = false;
    if (!this.isOpen) return;
    try {
      this.#scanner.resume();
    } catch (error) {
      return this.broke(error);
    }
    if (this.#pending || !this.isOpen) return;
    if (this.#endAfterPending) return this.#farewell();
    if (this.#paidUntil <= this.environment.clock.monotonic()) this.socket.resume();
  }

  // States

  /** What each state accepts, apart from the stanzas of an established stream. */
  #take(frame: Frame): MaybePromise<void> {
    const state = this.#state;
    switch (state.at) {
      case "opening":
        if (this.socket.framing === "message") return openStream(this, state, frame);
        throw new StreamError("bad-format", "A stream header is expected");
      case "stranger":
        if (this.#isClose(frame)) return this.#farewell();
        if (this.needsTls && frame.ns !== ns.tls)
          throw new StreamError("policy-violation", "This server demands TLS first");
        switch (frame.ns) {
          case ns.tls:
            return this.#startTls(frame);
          case ns.sasl:
            if (frame.name === "auth") return startSasl(this, state, frame);
            if (frame.name === "abort") return this.write(`<failure xmlns='${ns.sasl}'><aborted/></failure>`);
            break;
          case ns.sasl2:
            if (frame.name === "authenticate") return startSasl2(this, state, frame);
            break;
          case ns.client:
            return answerStranger(this, state.host, frame);
        }
        throw new StreamError("not-authorized", "Authenticate first");
      case "sasl":
        return continueSasl(this, state, frame);
      case "authenticated":
        if (this.#isClose(frame)) return this.#farewell();
        if (frame.ns === ns.client) return bindResource(this, state, stanzaFromFrame(frame));
        if (frame.ns === ns.sm) return ManagedStream.beforeBinding(this, state, frame);
        if (frame.ns === ns.sasl || frame.ns === ns.sasl2)
          throw new StreamError("policy-violation", "This stream is authenticated already");
        throw new StreamError("not-authorized", "Bind a resource first");
      case "established":
        return this.#takeNonza(frame, state.session);
      case "closed":
        return;
    }
  }

  #isClose(frame: Frame): boolean {
    return frame.ns === ns.framing && frame.name === "close";
  }

  #startTls(frame: Frame): void {
    const mode = this.environment.listener.tls;
    if (frame.name !== "starttls" || this.socket.secure || (mode !== "starttls" && mode !== "starttls_required")) {
      this.write(`<failure xmlns='${ns.tls}'/>`);
      throw new StreamError("policy-violation", "TLS cannot be started here");
    }
    this.write(`<proceed xmlns='${ns.tls}'/>`);
    this.#restart(undefined);
    this.socket.startTls();
  }

  /** Called by the socket when the TLS handshake is done. */
  secured(): void {
    if (this.isOpen) this.startStateTimeout();
  }

  /** A new stream on the same connection (RFC 6120 sections 5.4.3.3 and 6.4.6): nothing of the old one is kept. */
  #restart(account: Jid | undefined): void {
    const triesLeft = account === undefined ? this.environment.listener.saslTries : 0;
    this.become({ at: "opening", account, triesLeft });
    this.#headerSent = false;
    // What came in clear behind <starttls/> was not protected and is thrown away (RFC 6120 section 5.4.3.3).
    this.#scanner.reset(account === undefined);
  }

  /** SASL has succeeded; the client restarts the stream. */
  authenticated(account: Jid): void {
    this.#restart(account);
    this.#scanner.limits = this.environment.listener.limitsAfter;
  }

  /** SASL2 has succeeded: no restart (XEP-0388). */
  authenticatedWithoutRestart(host: Host, account: Jid, userAgent: string | undefined): void {
    this.become({ at: "authenticated", host, account, triesLeft: this.environment.listener.bindTries, userAgent });
    this.#scanner.limits = this.environment.listener.limitsAfter;
  }

  // Established

  #takeStanza(frame: Frame, session: Session): Promise<void> | undefined {
    let stanza: Stanza | undefined;
    const management = this.managed?.management;
    try {
      stanza = stanzaFromFrame(frame);
    } catch (error) {
      if (error instanceof InvalidFrom) throw new StreamError("invalid-from", "The 'from' attribute is no address");
      if (!(error instanceof UnroutableStanza)) throw error;
      management?.received();
      const refused = error.stanza.withFrom(session.jid);
      if (mayBounce(refused) || refused.kind === "iq") session.deliver(errorOf(refused, error.error));
      management?.processed();
      return undefined;
    }
    if (stanza === undefined) throw new StreamError("unsupported-stanza-type");
    const counters = this.environment.counters;
    if (stanza.kind === "message") counters.messagesIn++;
    else if (stanza.kind === "presence") counters.presencesIn++;
    else counters.iqsIn++;
    if (stanza.kind === "iq" && bindAgain(this, stanza)) return undefined;
    management?.received();
    const done = takeFromClient(this.environment.router, session.host as Host, session, stanza);
    if (management === undefined) return done as Promise<void> | undefined;
    if (done === undefined) {
      management.processed();
      return undefined;
    }
    return (done as Promise<void>).then(() => management.processed());
  }

  /** A stanza that was answered without being routed counts for XEP-0198 all the same. */
  countLocally(): void {
    this.managed?.management.received();
    this.managed?.management.processed();
  }

  #takeNonza(frame: Frame, session: Session): MaybePromise<void> {
    if (this.#isClose(frame)) return this.#farewell();
    if (frame.ns === ns.sm) return ManagedStream.established(this, session, frame);
    if (frame.ns === ns.sasl || frame.ns === ns.sasl2)
      throw new StreamError("policy-violation", "This stream is authenticated already");
    const host = session.host as Host;
    const handler = host.registry.findNonza(frame.ns, frame.name);
    if (handler === undefined) throw new StreamError("unsupported-stanza-type", "Nobody here understands that element");
    const finish = (outcome: Awaited<ReturnType<typeof handler>>) => {
      const done = carryOut(outcome, session.presence ?? presence({}), this.environment.router, session.outlet);
      return done instanceof Promise ? done.then(() => undefined) : undefined;
    };
    const outcome = handler(frame, session);
    return outcome instanceof Promise ? outcome.then(finish) : finish(outcome);
  }

  /** A session is bound to, or resumed by, this stream. */
  establish(session: Session): void {
    this.environment.strangers.left(this.remoteAddress);
    this.become({ at: "established", session });
    this.settleIn();
    this.environment.log.info(
      { jid: session.jid.full, remote: this.remoteAddress, c2s: session.serial },
      "session opened",
    );
  }

  become(state: State): void {
    this.#state = state;
  }

  // Writing

  sendHeader(host: Host, to: Jid | undefined): void {
    this.#headerSent = true;
    this.write(
      writeHeader(this.socket.framing, {
        id: this.environment.random.id(12),
        from: host.domain,
        to: to?.toBare().full,
        lang: this.environment.language,
      }),
    );
  }

  sendFeatures(features: string): void {
    this.write(writeFeatures(this.socket.framing, features));
    this.startStateTimeout();
  }

  /** Writes one top-level element, as it is. */
  write(text: string): void {
    this.environment.counters.bytesOut += text.length;
    this.socket.write(text);
  }

  send(stanza: Stanza): void {
    if (this.#held !== undefined) {
      this.#held.push(stanza);
      return;
    }
    const counters = this.environment.counters;
    if (stanza.kind === "message") counters.messagesOut++;
    else if (stanza.kind === "presence") counters.presencesOut++;
    else counters.iqsOut++;
    this.write(this.socket.framing === "message" ? stanza.toStandaloneXml() : stanza.toXml());
  }

  /** The client has its time for the next step of the negotiation. */
  startStateTimeout(): void {
    this.#startTimeout(this.environment.listener.stateTimeoutMs);
  }

  #startTimeout(ms: number): void {
    this.#timeout ??= new WheelTimeout(this);
    this.environment.wheel.start(this.#timeout, ms);
  }

  /** What happens next does not depend on the client. */
  stopTimeout(): void {
    if (this.#timeout === undefined) return;
    this.environment.wheel.cancel(this.#timeout);
    this.#timeout = undefined;
  }

  /** What is written to the session from now on waits for `release`. */
  hold(): void {
    this.#held = [];
  }

  /** Sends what was held back, in order. */
  release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined && this.isOpen) for (const stanza of held) this.send(stanza);
  }

  /** The features of an established stream need no answer: the limit of the negotiation ends. */
  settleIn(): void {
    this.stopTimeout();
    const { idleTimeoutMs } = this.environment.listener;
    if (idleTimeoutMs > 0) this.#startTimeout(idleTimeoutMs);
  }

  // Ends

  room(): Promise<void> | undefined {
    if (this.socket.queuedBytes <= roomBytes) return undefined;
    this.socket.flush();
    if (this.socket.queuedBytes <= roomBytes || !this.isOpen) return undefined;
    return new Promise((resolve) => {
      this.#whenDrained ??= [];
      this.#whenDrained.push(resolve);
    });
  }

  drained(): void {
    if (this.#whenDrained === undefined) return;
    for (const resolve of this.#whenDrained) resolve();
    this.#whenDrained = undefined;
  }

  /** The peer does not read and its queue is full: the stream ends, the session may be resumed. */
  overflowed(): void {
    this.environment.observer.streamError("resource-constraint");
    this.environment.log.info(
      { remote: this.remoteAddress, jid: this.#session()?.jid.full },
      "client does not read, connection cut",
    );
    this.socket.abort();
    this.#gone();
  }

  closed(_reason: Error | undefined): void {
    this.#gone();
  }

  timedOut(): void {
    if (!this.isOpen) return;
    this.broke(new StreamError("connection-timeout"));
  }

  /** Anything thrown while this stream was served ends it, under the RFC's name for the trouble. */
  broke(error: unknown): void {
    if (!this.isOpen) return;
    if (error instanceof StreamError) return this.close(error);
    if (error instanceof XmlError) return this.close(new StreamError(error.condition, error.message));
    if (error instanceof UnroutableStanza) return this.close(new StreamError("bad-format", error.message));
    this.environment.log.error(
      { err: error, remote: this.remoteAddress, jid: this.#session()?.jid.full },
      "stream failed",
    );
    this.close(new StreamError("internal-server-error"));
  }

  /** We end the stream. Errors of the client's making end its session too; others leave it to be resumed. */
  close(error: StreamError | undefined): void {
    if (!this.isOpen) return;
    const session = this.#session();
    if (!this.#headerSent) this.sendHeader(this.environment.defaultHost, undefined);
    if (error !== undefined) {
      this.environment.observer.streamError(error.condition);
      this.environment.log.debug(
        { remote: this.remoteAddress, jid: session?.jid.full, condition: error.condition, reason: error.text },
        "stream error",
      );
      this.write(writeStreamError(this.socket.framing, error));
    }
    this.write(writeFooter(this.socket.framing));
    this.socket.close();
    this.#leave();
    if (session !== undefined && session.link === this)
      this.#settle(this.environment.keeper.end(session, error === undefined ? "closed" : "kicked"));
  }

  /** The client says goodbye (RFC 6120 section 4.4). */
  #farewell(): void {
    if (!this.isOpen) return;
    const session = this.#session();
    if (!this.#headerSent) this.sendHeader(this.environment.defaultHost, undefined);
    if (session === undefined) {
      this.write(writeFooter(this.socket.framing));
      this.socket.close();
      this.#leave();
      return;
    }
    this.managed?.answerNow();
    this.#leave();
    const finish = () => {
      this.socket.write(writeFooter(this.socket.framing));
      this.socket.close();
    };
    const ended = this.environment.keeper.end(session, "closed");
    if (ended instanceof Promise) this.#settle(ended.finally(finish));
    else finish();
  }

  /** No footer: to a client, a stream that was closed properly cannot be resumed. */
  part(): void {
    if (!this.isOpen) return;
    if (this.managed !== undefined) this.managed.acknowledge(this.managed.management.handled);
    this.socket.close();
    this.#gone(true);
  }

  /** The connection is gone without a goodbye. */
  #gone(moves = false): void {
    if (!this.isOpen) return;
    const session = this.#session();
    const waitMs = this.managed?.resumeMs ?? 0;
    this.#leave();
    if (session !== undefined && session.link === this)
      this.#settle(this.environment.keeper.lost(session, waitMs, moves));
  }

  #leave(): void {
    if (this.#state.at === "closed") return;
    if (this.#state.at !== "established") this.environment.strangers.left(this.remoteAddress);
    this.#state = over;
    this.environment.counters.connections--;
    this.stopTimeout();
    this.drained();
  }

  #settle(done: MaybePromise<void>): void {
    if (done instanceof Promise)
      done.catch((error: unknown) => this.environment.log.error({ err: error }, "ending a session failed"));
  }

  #session(): Session | undefined {
    return this.#state.at === "established" ? this.#state.session : undefined;
  }
}
