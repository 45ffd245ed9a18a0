/** One made-up user on a raw socket of the runtime: connects, logs in, and hands what it receives to the scenario. */
import { type Mechanism, ScramLogin } from "./sasl.ts";
import { attributeOf, type Pieces, Splitter, textOf } from "./splitter.ts";

export type Tls = "none" | "starttls" | "direct";

export type Spread = "users" | "pairs" | "first";

/** What all clients of a run have in common. */
export interface Target {
  readonly port: number;
  /** Of several nodes, where the server is a cluster; then `port` is the first one's. */
  readonly ports?: readonly number[];
  /** Who goes to which node: users in turns, so that the users of a pair are on two; pairs in turns; or all to the first. */
  readonly spread?: Spread;
  readonly domain: string;
  readonly tls: Tls;
  readonly mechanism: Mechanism;
  readonly password: string;
  readonly resource: string;
  /** Create the account (XEP-0077) instead of logging in. */
  readonly register: boolean;
  /** What a client says first: nothing, that it is available, or that after it has asked for its roster. */
  readonly begins: "silent" | "available" | "roster";
}

/** A scenario sets what it wants to hear of. */
export interface Listener {
  ready?(client: Client): void;
  message?(client: Client, text: string, start: number, end: number): void;
  presence?(client: Client, text: string, start: number, end: number): void;
  /** An answer; requests of the server are refused by the client itself. */
  iq?(client: Client, text: string, start: number, end: number): void;
  /** Both sides have said that the stream ends. */
  closed?(client: Client): void;
  /** It is of no use any more. */
  failed(client: Client, reason: string): void;
}

type State =
  | "idle"
  | "connecting"
  | "securing"
  | "features"
  | "starttls"
  | "registering"
  | "authenticating"
  | "binding"
  | "session"
  | "ready"
  | "closing"
  | "failed";

type NativeSocket = Bun.Socket<Client | undefined>;

const saslNs = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
const refusal = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";

export class Client implements Pieces {
  readonly index: number;
  readonly user: string;
  readonly target: Target;
  readonly listener: Listener;
  state: State = "idle";
  jid = "";
  /** When the connection was begun, of `performance.now()`. */
  startedAt = 0;
  /** The server said that the account was there already. */
  existed = false;
  #socket: NativeSocket | undefined;
  #out = "";
  #authenticated = false;
  #secure = false;
  #scram: ScramLogin | undefined;
  readonly #splitter = new Splitter();

  constructor(index: number, target: Target, listener: Listener) {
    this.index = index;
    this.user = `u${index}`;
    this.target = target;
    this.listener = listener;
  }

  get bareJid(): string {
    return `${this.user}@${this.target.domain}`;
  }

  connect(): void {
    this.state = "connecting";
    this.startedAt = performance.now();
    this.#authenticated = false;
    this.#secure = false;
    this.#out = "";
    this.#splitter.reset();
    Bun.connect<Client | undefined>({
      hostname: "127.0.0.1",
      port: portOf(this.target, this.index),
      socket: handlers,
      data: this,
    }).catch((error: Error) => this.fail(`cannot connect: ${error.message}`));
  }

  /** Waits for `flush`, which the client itself calls after everything it has received. */
  send(text: string): void {
    this.#out += text;
  }

  flush(): void {
    const text = this.#out;
    if (text === "" || this.#socket === undefined) return;
    const taken = Math.max(0, this.#socket.write(text));
    this.#out = taken === text.length ? "" : text.slice(taken);
  }

  /** Ends the stream; `closed` is told when the server has ended it too. */
  close(): void {
    this.state = "closing";
    this.send("</stream:stream>");
    this.flush();
  }

  /** Ends the connection without a word. */
  drop(): void {
    this.state = "closing";
    this.#socket?.terminate();
  }

  fail(reason: string): void {
    if (this.state === "failed") return;
    const stage = this.state;
    this.state = "failed";
    this.listener.failed(this, `u${this.index} at ${stage}: ${reason}`);
    this.#socket?.terminate();
  }

  opened(socket: NativeSocket): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    if (this.target.tls === "direct") this.#startTls();
    else this.#openStream();
  }

  secured(success: boolean, error: Error | null): void {
    if (!success && this.state === "securing") return this.fail(`TLS: ${error?.message}`);
    this.#openStream();
  }

  received(chunk: Buffer): void {
    try {
      this.#splitter.feed(chunk.toString("latin1"), this);
    } catch (error) {
      this.fail((error as Error).message);
    }
    if (this.#out !== "") this.flush();
  }

  ended(): void {
    this.#socket = undefined;
    if (this.state === "closing") {
      this.state = "idle";
      this.listener.closed?.(this);
    } else this.fail("the server closed the connection");
  }

  header(): void {}

  end(): void {
    if (this.state === "closing") this.#socket?.end();
    else this.fail("the server ended the stream");
  }

  element(text: string, start: number, end: number): void {
    if (text.startsWith("<message", start)) return this.listener.message?.(this, text, start, end);
    if (text.startsWith("<presence", start)) return this.listener.presence?.(this, text, start, end);
    if (text.startsWith("<iq", start)) return this.#iq(text, start, end);
    const element = text.slice(start, end);
    if (element.startsWith("<stream:error")) {
      if (this.state !== "closing") this.fail(element);
    } else if (this.state === "features") this.#features(element);
    else if (this.state === "starttls") {
      if (element.startsWith("<proceed")) this.#startTls();
      else this.fail(element);
    } else if (this.state === "authenticating") this.#sasl(element);
  }

  #iq(text: string, start: number, end: number): void {
    const type = attributeOf(text, start, "type");
    if (type === "get" || type === "set") {
      const from = attributeOf(text, start, "from");
      const to = from === "" ? "" : ` to='${from}'`;
      this.send(`<iq type='error' id='${attributeOf(text, start, "id")}'${to}>${refusal}`);
    } else if (this.state === "ready") this.listener.iq?.(this, text, start, end);
    else if (this.state === "binding") {
      this.jid = textOf(text, start, end, "jid");
      if (type !== "result" || this.jid === "") return this.fail(text.slice(start, end));
      this.#ready();
    } else if (this.state === "registering") {
      this.existed = text.slice(start, end).includes("<conflict");
      if (type !== "result" && !this.existed) return this.fail(text.slice(start, end));
      this.#ready();
    }
  }

  #openStream(): void {
    this.#splitter.reset();
    this.state = "features";
    this.send(
      `<?xml version='1.0'?><stream:stream to='${this.target.domain}' xmlns='jabber:client' ` +
        "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    );
    this.flush();
  }

  #startTls(): void {
    this.state = "securing";
    this.#secure = true;
    this.#splitter.reset();
    const lower = this.#socket!;
    lower.data = undefined;
    const options = {
      data: this as Client | undefined,
      socket: handlers,
      tls: { rejectUnauthorized: false, serverName: this.target.domain, ALPNProtocols: alpn },
    };
    const [raw, upper] = lower.upgradeTLS(options as unknown as Bun.TLSUpgradeOptions<Client | undefined>);
    raw.data = undefined;
    this.#socket = upper;
  }

  #features(element: string): void {
    const { target } = this;
    if (target.tls === "starttls" && !this.#secure) {
      if (!element.includes("<starttls")) return this.fail(`no STARTTLS: ${element}`);
      this.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
      this.state = "starttls";
    } else if (target.register) {
      this.send(
        "<iq type='set' id='reg'><query xmlns='jabber:iq:register'>" +
          `<username>${this.user}</username><password>${target.password}</password></query></iq>`,
      );
      this.state = "registering";
    } else if (!this.#authenticated) this.#authenticate(element);
    else {
      if (!element.includes("<bind")) return this.fail(`no binding: ${element}`);
      this.send(
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" +
          `<resource>${target.resource}</resource></bind></iq>`,
      );
      this.state = "binding";
    }
  }

  #authenticate(features: string): void {
    const { mechanism } = this.target;
    if (!features.includes(`>${mechanism}<`)) return this.fail(`no ${mechanism}: ${features}`);
    let initial = `\0${this.user}\0${this.target.password}`;
    if (mechanism !== "PLAIN") {
      this.#scram = new ScramLogin(mechanism, this.user, this.target.password);
      initial = this.#scram.first();
    }
    this.send(`<auth ${saslNs} mechanism='${mechanism}'>${base64(initial)}</auth>`);
    this.state = "authenticating";
  }

  #sasl(element: string): void {
    const data = Buffer.from(element.slice(element.indexOf(">") + 1, element.lastIndexOf("<")), "base64").toString();
    if (element.startsWith("<challenge") && this.#scram !== undefined) {
      if (!data.startsWith("v=")) this.send(`<response ${saslNs}>${base64(this.#scram.final(data))}</response>`);
      else if (this.#scram.accepts(data)) this.send(`<response ${saslNs}/>`);
      else this.fail("the server's SCRAM signature is wrong");
    } else if (element.startsWith("<success")) {
      if (this.#scram !== undefined && data !== "" && !this.#scram.accepts(data)) {
        return this.fail("the server's SCRAM signature is wrong");
      }
      this.#authenticated = true;
      this.#openStream();
    } else this.fail(element);
  }

  #ready(): void {
    this.state = "ready";
    if (this.target.begins === "roster") {
      this.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    } else if (this.target.begins === "available") this.send("<presence/>");
    this.listener.ready?.(this);
  }
}

/** The port of the node that this user goes to. */
export function portOf({ port, ports, spread = "first" }: Target, index: number): number {
  if (ports === undefined || spread === "first") return port;
  return ports[(spread === "users" ? index : index >> 1) % ports.length]!;
}

const alpn = Buffer.from("\x0bxmpp-client", "latin1");

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Shared by all; the lower half of a secured connection has no data. */
const handlers: Bun.SocketHandler<Client | undefined, "buffer"> = {
  binaryType: "buffer",
  open(socket) {
    // Also told to the upper half of a secured connection, before the handshake.
    if (socket.data?.state === "connecting") socket.data.opened(socket);
  },
  handshake(socket, success, error) {
    if (socket.data?.state === "securing") socket.data.secured(success, error);
  },
  data(socket, chunk) {
    socket.data?.received(chunk);
  },
  drain(socket) {
    socket.data?.flush();
  },
  close(socket) {
    const client = socket.data;
    socket.data = undefined;
    client?.ended();
  },
  error(socket, error) {
    socket.data?.fail(error.message);
  },
  connectError(socket, error) {
    socket.data?.fail(error.message);
  },
};
