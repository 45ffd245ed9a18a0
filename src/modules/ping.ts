/** XEP-0199 XMPP Ping 2.0.1: answers pings, and finds out by its own whether silent clients are still there. */
import { option } from "../config/option.ts";
import { defineModule, type ModuleContext } from "../hooks/define-module.ts";
import { close, deliverTo, type Effect, handled, type Outcome } from "../hooks/effect.ts";
import { type Session, SessionSlot } from "../session/session.ts";
import { StreamError } from "../stanza/errors.ts";
import { ns } from "../stanza/ns.ts";
import { iq, type Stanza } from "../stanza/stanza.ts";
import { Xml } from "../xml/xml.ts";

export const ping = defineModule({
  name: "mod_ping",
  summary: "Answers pings of clients, and pings those that have been silent.",
  xeps: [{ number: 199, version: "2.0.1" }],
  options: {
    send_pings: option.boolean({ doc: "Pings clients that have been silent.", default: false }),
    ping_interval: option.duration({
      doc: "How long a client must have sent nothing before it is pinged.",
      default: 60,
      min: 1,
      unit: "s",
    }),
    ping_req_timeout: option.duration({
      doc: "How long a client may take to answer, or to send anything else.",
      default: 32,
      min: 1,
      unit: "s",
    }),
    timeout_action: option.choice({
      doc: "What happens to a client that does not answer: nothing, or its stream is closed.",
      values: ["none", "kill"],
      default: "none",
    }),
  },
  features: { server: [ns.ping], account: [ns.ping] },

  setup(on, context) {
    on.iq("get", "server", ns.ping, "ping", () => undefined);
    on.iq("get", "account", ns.ping, "ping", () => undefined);
    if (!context.options.sendPings) return undefined;

    const watch = new Watch(context);
    for (const kind of ["message", "presence", "iq"] as const) {
      on.stage("outgoing", kind, (stanza, session) => watch.heard(stanza, session));
    }
    on.session("opened", (session) => {
      watch.seen(session);
      return undefined;
    });
    on.session("arrived", (session) => {
      watch.seen(session);
      return undefined;
    });
    on.session("resumed", (session) => {
      watch.seen(session);
      return undefined;
    });
    const timer = context.clock.every(sliceEveryMs, () => watch.look());
    return () => timer.cancel();
  },
});

/** All sessions are looked at in turn by one timer, so many at a time: 50,000 a second at most. */
const sliceEveryMs = 100;
const sliceSessions = 5_000;
/** A round of looks begins this often within one interval or timeout, whichever is shorter. */
const roundsPerWait = 8;

interface Heartbeat {
  /** When the client last sent a stanza or was pinged, on the monotonic clock. */
  at: number;
  /** The id of the ping it has not answered. */
  asked: string | undefined;
}

const heartbeat = new SessionSlot<Heartbeat>("ping");
const payload = new Xml(`<ping xmlns='${ns.ping}'/>`);

interface WatchOptions {
  readonly pingIntervalMs: number;
  readonly pingReqTimeoutMs: number;
  readonly timeoutAction: "none" | "kill";
}
type House = Pick<
  ModuleContext<WatchOptions>,
  "address" | "options" | "clock" | "random" | "log" | "allSessions" | "run"
>;

class Watch {
  readonly #house: House;
  readonly #roundEveryMs: number;
  #round: Iterator<Session> | undefined;
  #nextRoundAt = 0;

  constructor(house: House) {
    this.#house = house;
    const { pingIntervalMs, pingReqTimeoutMs } = house.options;
    this.#roundEveryMs = Math.min(pingIntervalMs, pingReqTimeoutMs) / roundsPerWait;
  }

  seen(session: Session): void {
    const now = this.#house.clock.monotonic();
    const state = heartbeat.get(session);
    if (state === undefined) heartbeat.set(session, { at: now, asked: undefined });
    else {
      state.at = now;
      state.asked = undefined;
    }
  }

  /** Whatever a client sends shows that it is there; the answer to a ping of ours is nobody else's business. */
  heard(stanza: Stanza, session: Session): Outcome {
    const asked = heartbeat.get(session)?.asked;
    this.seen(session);
    if (asked === undefined || stanza.kind !== "iq" || stanza.id !== asked) return undefined;
    return stanza.type === "result" || stanza.type === "error" ? handled : undefined;
  }

  /** Looks at the next slice of sessions. */
  look(): void {
    const { clock, allSessions, run } = this.#house;
    const now = clock.monotonic();
    if (this.#round === undefined) {
      if (now < this.#nextRoundAt) return;
      this.#round = allSessions()[Symbol.iterator]();
      this.#nextRoundAt = now + this.#roundEveryMs;
    }
    const effects: Effect[] = [];
    for (let looked = 0; looked < sliceSessions; looked++) {
      const next = this.#round.next();
      if (next.done === true) {
        this.#round = undefined;
        break;
      }
      const effect = this.#check(next.value, now);
      if (effect !== undefined) effects.push(effect);
    }
    if (effects.length > 0) void run(effects);
  }

  #check(session: Session, now: number): Effect | undefined {
    const state = heartbeat.get(session);
    // Who waits to be resumed cannot answer, and has its own timeout.
    if (state === undefined || session.link === undefined) return undefined;
    const { pingIntervalMs, pingReqTimeoutMs, timeoutAction } = this.#house.options;
    const silentMs = now - state.at;
    if (state.asked === undefined) return silentMs < pingIntervalMs ? undefined : this.#ask(session, state, now);
    if (silentMs < pingReqTimeoutMs) return undefined;
    state.at = now;
    state.asked = undefined;
    this.#house.log.debug({ jid: session.jid.full, action: timeoutAction }, "client did not answer a ping");
    return timeoutAction === "kill"
      ? close(session, new StreamError("connection-timeout", "No answer to a ping"))
      : undefined;
  }

  #ask(session: Session, state: Heartbeat, now: number): Effect {
    state.at = now;
    state.asked = `ping-${this.#house.random.id(9)}`;
    const request = iq({ type: "get", id: state.asked, from: this.#house.address, to: session.jid, payload });
    return deliverTo(session, request);
  }
}
