/** A client with stream management (XEP-0198) that comes back by itself, at whichever node, and keeps book of every message. */
import { connect, type Socket } from "node:net";
import { parseElement } from "../../src/xml/element.ts";
import { escapeText } from "../../src/xml/escape.ts";
import { TRUSTED_LIMITS } from "../../src/xml/limits.ts";
import { type Frame, frameAttribute, Scanner } from "../../src/xml/scanner.ts";

const sm = "urn:xmpp:sm:3";
const openText =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
const retryMs = 100;

export interface Sent {
  readonly to: string;
  readonly body: string;
  acknowledged: boolean;
}

export interface Received {
  readonly from: string;
  readonly body: string;
}

export class ManagedClient {
  readonly user: string;
  readonly resource: string;
  readonly sent: Sent[] = [];
  readonly received: Received[] = [];
  /** Bodies of messages that came back as errors. */
  readonly bounced: string[] = [];
  /** `from type` of every presence that came. */
  readonly presences: string[] = [];
  /** How often the session was resumed, and how often it had to be bound anew. */
  resumed = 0;
  bound = 0;
  /** Stream errors, by condition. */
  readonly errors: string[] = [];
  /** Longest time between two connections that carried a session, milliseconds. */
  longestSilenceMs = 0;
  online = false;
  /** The last thing that happened, to be told when it does not come online. */
  last = "";
  readonly #ports: () => readonly number[];
  #next: number;
  #socket: Socket | undefined;
  #authenticated = false;
  #resumeId: string | undefined;
  #handled = 0;
  #outbox: { text: string; sent: Sent | undefined }[] = [];
  #acknowledged = 0;
  /** Bound anew: nothing has been sent on this session yet. */
  #fresh = false;
  #stopped = false;
  #offlineSince = 0;
  readonly #waiting: (() => void)[] = [];

  /** `ports` are those of all nodes; the client begins with number `first`. */
  constructor(user: string, ports: () => readonly number[], first: number, resource = "test") {
    this.user = user;
    this.resource = resource;
    this.#ports = ports;
    this.#next = first;
  }

  get bare(): string {
    return `${this.user}@localhost`;
  }

  /** Connects, and resolves when it is online. */
  start(): Promise<void> {
    this.#connect();
    return this.whenOnline();
  }

  whenOnline(): Promise<void> {
    if (this.online) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  message(to: string, body: string): void {
    const sent: Sent = { to, body, acknowledged: false };
    this.sent.push(sent);
    this.#stanza(`<message type='chat' to='${to}' id='${body}'><body>${escapeText(body)}</body></message>`, sent);
  }

  enter(room: string, nick: string): void {
    this.#stanza(`<presence to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`, undefined);
  }

  /** A room that was just made is open from now on. */
  open(room: string): void {
    this.#stanza(
      `<iq type='set' id='open' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
      undefined,
    );
  }

  say(room: string, body: string): void {
    const sent: Sent = { to: room, body, acknowledged: false };
    this.sent.push(sent);
    this.#stanza(
      `<message type='groupchat' to='${room}' id='${body}'><body>${escapeText(body)}</body></message>`,
      sent,
    );
  }

  /** Whether the server has acknowledged everything. */
  get settled(): boolean {
    return this.#outbox.length === 0;
  }

  /** Breaks the connection without a word. */
  drop(): void {
    this.#socket?.destroy();
  }

  stop(): void {
    this.#stopped = true;
    this.#socket?.end("</stream:stream>");
    this.#socket?.destroySoon();
  }

  #stanza(text: string, sent: Sent | undefined): void {
    this.#outbox.push({ text, sent });
    if (this.online) this.#socket!.write(`${text}<r xmlns='${sm}'/>`);
  }

  #connect(): void {
    if (this.#stopped) return;
    const ports = this.#ports();
    const port = ports[this.#next % ports.length]!;
    this.#authenticated = false;
    const socket = connect(port, "127.0.0.1");
    this.last = `connecting to port ${port}, ${Math.round(performance.now())} ms`;
    this.#socket = socket;
    const scanner = new Scanner(
      {
        streamStart: () => true,
        element: (frame) => {
          if (this.#socket === socket) this.#take(frame);
          return true;
        },
        streamEnd: () => void socket.end(),
      },
      TRUSTED_LIMITS,
    );
    socket.setNoDelay(true);
    socket.on("connect", () => socket.write(openText));
    socket.on("data", (chunk: Buffer) => {
      const before = this.#authenticated;
      try {
        scanner.push(chunk);
      } catch (error) {
        this.errors.push(String(error));
        socket.destroy();
      }
      if (before !== this.#authenticated) scanner.reset(false);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      if (this.online) this.#offlineSince = performance.now();
      this.online = false;
      this.#next++;
      if (!this.#stopped) setTimeout(() => this.#connect(), retryMs * (0.5 + Math.random()));
    });
  }

  #take(frame: Frame): void {
    const socket = this.#socket!;
    this.last = `${frame.name} from port ${socket.remotePort}, ${Math.round(performance.now())} ms`;
    switch (frame.name) {
      case "features":
        if (!this.#authenticated) {
          const token = Buffer.from(`\0${this.user}\0secret`).toString("base64");
          socket.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${token}</auth>`);
        } else if (this.#resumeId !== undefined) {
          socket.write(`<resume xmlns='${sm}' previd='${this.#resumeId}' h='${this.#handled}'/>`);
        } else this.#bind();
        return;
      case "success":
        this.#authenticated = true;
        socket.write(openText);
        return;
      case "resumed":
        this.resumed++;
        this.#acknowledge(Number(frameAttribute(frame, "h")));
        this.#goOnline();
        return;
      case "failed": {
        const h = frameAttribute(frame, "h");
        if (h !== undefined) this.#acknowledge(Number(h));
        this.#resumeId = undefined;
        this.#bind();
        return;
      }
      case "enabled":
        this.#resumeId = frameAttribute(frame, "id");
        // What came before is not counted.
        this.#handled = 0;
        this.#goOnline();
        return;
      case "r":
        socket.write(`<a xmlns='${sm}' h='${this.#handled}'/>`);
        return;
      case "a":
        this.#acknowledge(Number(frameAttribute(frame, "h")));
        return;
      case "error":
        this.errors.push(frame.children[0] as string);
        // Its address is another's: who came back would take it from that one, for ever.
        if (frame.children[0] === "conflict") this.#stopped = true;
        return;
      case "iq":
        if (frameAttribute(frame, "id") === "bind") {
          this.bound++;
          this.#fresh = true;
          this.#acknowledged = 0;
          socket.write(`<enable xmlns='${sm}' resume='true'/>`);
        } else this.#handled++;
        return;
      case "message": {
        this.#handled++;
        const from = frameAttribute(frame, "from") ?? "";
        const body = parseElement(`<m xmlns='jabber:client'>${frame.inner}</m>`).childText("body");
        if (frameAttribute(frame, "type") === "error") this.bounced.push(frameAttribute(frame, "id") ?? "");
        else if (body !== undefined) this.received.push({ from, body });
        return;
      }
      case "presence":
        this.#handled++;
        this.presences.push(`${frameAttribute(frame, "from")} ${frameAttribute(frame, "type") ?? "available"}`);
    }
  }

  #bind(): void {
    this.#socket!.write(
      `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${this.resource}</resource></bind></iq>`,
    );
  }

  /** What is not acknowledged is sent again, after a new binding behind the first presence. */
  #goOnline(): void {
    this.online = true;
    if (this.#offlineSince > 0) {
      this.longestSilenceMs = Math.max(this.longestSilenceMs, performance.now() - this.#offlineSince);
    }
    if (this.#fresh) this.#outbox.unshift({ text: "<presence/>", sent: undefined });
    this.#fresh = false;
    for (const { text } of this.#outbox) this.#socket!.write(text);
    this.#socket!.write(`<r xmlns='${sm}'/>`);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #acknowledge(h: number): void {
    const count = h - this.#acknowledged;
    if (count < 0 || count > this.#outbox.length) {
      this.errors.push(`acknowledged ${h}, at ${this.#acknowledged} with ${this.#outbox.length} waiting`);
      return;
    }
    for (const { sent } of this.#outbox.splice(0, count)) if (sent !== undefined) sent.acknowledged = true;
    this.#acknowledged = h;
  }
}
