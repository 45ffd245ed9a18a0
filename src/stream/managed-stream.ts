/** XEP-0198 on a client's stream: enabling, acknowledging and resuming. */
import type { MaybePromise } from "../hooks/effect.ts";
import { runSessionEvent } from "../router/from-client.ts";
import type { Host } from "../router/host.ts";
import { marks } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import type { Frame } from "../xml/scanner.ts";
import { fewerTries } from "./bind.ts";
import type { C2sStream, State } from "./c2s-stream.ts";
import { type ManagementEvents, StreamManagement } from "./management.ts";

/** How long an answer to `<r/>` may wait for stores before it tells what is safe by then. */
const answerWaitMs = 10_000;
/** How long a client that has too much to acknowledge may acknowledge nothing. */
const acknowledgeWithinMs = 10_000;

export class ManagedStream implements ManagementEvents {
  readonly management: StreamManagement;
  /** Milliseconds for which the session outlives this stream. */
  readonly resumeMs: number;
  readonly #stream: C2sStream;
  #watching = false;

  private constructor(stream: C2sStream, management: StreamManagement, resumeMs: number) {
    this.#stream = stream;
    this.management = management;
    this.resumeMs = resumeMs;
  }

  acknowledge(handled: number): void {
    this.#stream.write(`<a xmlns='${ns.sm}' h='${handled}'/>`);
  }

  request(): void {
    this.#stream.write(`<r xmlns='${ns.sm}'/>`);
  }

  /**
   * The client has been sent far more than it acknowledges: the stream ends, and with it the session. One that does acknowledge, though
   * it has much to catch up with, goes on.
   */
  overflowed(): void {
    const { management } = this;
    if (management.overflows === "at once") return this.#cutOff();
    if (this.#watching) return;
    this.#watching = true;
    const { acknowledged } = management;
    this.#stream.environment.clock.after(acknowledgeWithinMs, () => {
      this.#watching = false;
      if (!this.#stream.isOpen || management.overflows === "no") return;
      if (management.acknowledged === acknowledged) this.#cutOff();
      else this.overflowed();
    });
  }

  #cutOff(): void {
    this.#stream.close(new StreamError("resource-constraint", "Too many stanzas without an acknowledgement"));
  }

  answerNow(): void {
    this.management.answerNow();
  }

  /** Before a resource is bound only resumption makes sense (section 3). */
  static beforeBinding(stream: C2sStream, state: State & { at: "authenticated" }, frame: Frame): MaybePromise<void> {
    if (frame.name === "resume") {
      const tried = (resumed: boolean): void => {
        if (!resumed && stream.isOpen) fewerTries(stream, state);
      };
      const resumed = ManagedStream.resume(stream, state.host, state.account, frame.attributes, (text) =>
        stream.write(text),
      );
      return resumed instanceof Promise ? resumed.then(tried) : tried(resumed);
    }
    stream.write(`<failed xmlns='${ns.sm}'><unexpected-request xmlns='${ns.stanzaErrors}'/></failed>`);
  }

  /** The elements of this namespace on an established stream. */
  static established(stream: C2sStream, session: Session, frame: Frame): void {
    const { managed } = stream;
    if (frame.name === "enable") {
      const resume = attribute(frame.attributes, "resume");
      stream.write(ManagedStream.enable(stream, session, resume === "true" || resume === "1"));
    } else if (frame.name === "r" && managed !== undefined) managed.#asked();
    else if (frame.name === "a" && managed !== undefined) managed.#acknowledged(frame);
    else unexpected(stream);
  }

  /** Turns stream management on; returns `<enabled/>` or `<failed/>`. */
  static enable(stream: C2sStream, session: Session, resume: boolean): string {
    const offer = stream.environment.keeper.managementOffer(session.host as Host);
    if (offer === undefined) return failed("service-unavailable");
    if (stream.managed !== undefined) return failed("unexpected-request");
    const id = resume && offer.resumeTimeoutMs > 0 ? stream.environment.random.id(15) : undefined;
    const management = new StreamManagement(id, offer.limits, silent);
    const managed = new ManagedStream(stream, management, offer.resumeTimeoutMs);
    management.events = managed;
    stream.managed = managed;
    session.outlet = management;
    if (id === undefined) return `<enabled xmlns='${ns.sm}'/>`;
    stream.environment.keeper.resumptions.add(id, session, management);
    return `<enabled xmlns='${ns.sm}' id='${id}' resume='true' max='${offer.resumeTimeoutMs / 1000}'/>`;
  }

  /**
   * Section 5: takes a session over from its old stream. `announce` writes `<resumed/>` or `<failed/>`, before anything
   * that waits is sent again. Resolves to whether it was resumed.
   */
  static resume(
    stream: C2sStream,
    host: Host,
    account: Jid,
    attributes: readonly string[],
    announce: (text: string) => void,
    /** Whether the session may still be on another node. */
    fetch = true,
  ): MaybePromise<boolean> {
    if (!stream.environment.listener.mayLogIn(account)) {
      announce(failed("not-allowed"));
      return false;
    }
    const id = attribute(attributes, "previd") ?? "";
    const h = counter(attribute(attributes, "h"));
    const { resumptions } = stream.environment.keeper;
    const found = h === undefined ? undefined : resumptions.find(id, account.bare);
    if (found === undefined && h !== undefined && fetch) {
      const coming = stream.environment.router.elsewhere?.fetch(id, account);
      if (coming !== undefined) {
        stream.stopTimeout();
        return coming.then(() => {
          if (stream.isOpen) stream.startStateTimeout();
          return ManagedStream.resume(stream, host, account, attributes, announce, false);
        });
      }
    }
    if (found === undefined || found.session.link === stream) {
      const known = resumptions.handledOf(id, account.bare);
      announce(failed(h === undefined ? "bad-request" : "item-not-found", known));
      return false;
    }
    const { session, management } = found;
    const { resumeTimeoutMs } = stream.environment.keeper.managementOffer(host)!;
    const go = (): MaybePromise<boolean> => {
      const now = resumptions.find(id, account.bare);
      // It has begun to move while this waited.
      if (now === undefined && fetch && stream.isOpen) {
        return ManagedStream.resume(stream, host, account, attributes, announce);
      }
      if (now !== found || !stream.isOpen) {
        announce(failed("item-not-found", resumptions.handledOf(id, account.bare)));
        return false;
      }
      const before = session.link;
      session.link = stream;
      before?.close(new StreamError("conflict", "The session was resumed on another connection"));
      const tooHigh = management.acknowledge(h!);
      if (tooHigh !== undefined) {
        stream.establish(session);
        throw handledCountTooHigh(h!, tooHigh);
      }
      const managed = new ManagedStream(stream, management, resumeTimeoutMs);
      stream.managed = managed;
      resumptions.attached(id);
      announce(`<resumed xmlns='${ns.sm}' h='${management.handled}' previd='${id}'/>`);
      stream.establish(session);
      for (const stanza of management.attach(managed)) stream.send(stanza);
      management.requestAfterResume();
      session.mark(marks.detached, false);
      const done = runSessionEvent(stream.environment.router, host, "resumed", session);
      return done instanceof Promise ? done.then(() => true) : true;
    };
    const settled = management.settled();
    return settled === undefined ? go() : settled.then(go);
  }

  #asked(): void {
    this.management.asked();
    if (!this.management.answerDue) return;
    this.#stream.environment.clock.after(answerWaitMs, () => {
      if (this.#stream.isOpen) this.management.answerNow();
    });
  }

  #acknowledged(frame: Frame): void {
    const h = counter(attribute(frame.attributes, "h"));
    if (h === undefined) throw new StreamError("bad-format", "An acknowledgement needs a count");
    const tooHigh = this.management.acknowledge(h);
    if (tooHigh !== undefined) throw handledCountTooHigh(h, tooHigh);
  }
}

const silent: ManagementEvents = { acknowledge() {}, request() {}, overflowed() {} };

function handledCountTooHigh(h: number, sent: number): StreamError {
  const application = `<handled-count-too-high xmlns='${ns.sm}' h='${h}' send-count='${sent}'/>`;
  return new StreamError("undefined-condition", "You acknowledged more stanzas than you were sent", application);
}

function failed(condition: string, handled?: number): string {
  const h = handled === undefined ? "" : ` h='${handled}'`;
  return `<failed xmlns='${ns.sm}'${h}><${condition} xmlns='${ns.stanzaErrors}'/></failed>`;
}

function unexpected(stream: C2sStream): void {
  stream.write(failed("unexpected-request"));
}

function attribute(attributes: readonly string[], name: string): string | undefined {
  for (let at = 0; at < attributes.length; at += 2) if (attributes[at] === name) return attributes[at + 1];
  return undefined;
}

/** An unsigned 32-bit number; undefined when the text is none. */
function counter(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value < 2 ** 32 ? value : undefined;
}
