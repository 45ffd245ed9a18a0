/** A client without manners, for tests: writes any bytes to the server and shows exactly what comes back. */
import { connect as connectTcp, type Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";
import { connect as connectTls } from "node:tls";

const waitMs = 20_000;

export interface RawClientOptions {
  readonly port: number;
  readonly tls?: boolean;
}

export const header = (attributes = "to='localhost' version='1.0'"): string =>
  `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' ${attributes}>`;

export class RawClient {
  #socket: Socket;
  /** Everything received so far that no `until` has taken. */
  #text = "";
  #ended = false;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  static async open({ port, tls = false }: RawClientOptions): Promise<RawClient> {
    const options = { host: "127.0.0.1", port };
    const event = tls ? "secureConnect" : "connect";
    const socket: Socket = tls
      ? connectTls({ ...options, rejectUnauthorized: false, ALPNProtocols: ["xmpp-client"] })
      : connectTcp(options);
    await new Promise<void>((ready, fail) => {
      socket.once(event, ready);
      socket.once("error", fail);
    });
    return new RawClient(socket);
  }

  /** A stream that is open, its features received. */
  static async stream(options: RawClientOptions): Promise<RawClient> {
    const client = await RawClient.open(options);
    client.write(header());
    await client.until("</stream:features>");
    return client;
  }

  /** A session of this account, whose password is "secret", at this resource. */
  static async login(options: RawClientOptions, username: string, resource: string): Promise<RawClient> {
    const client = await RawClient.stream(options);
    client.write(plain(username, "secret"));
    await client.until("<success");
    client.write(header());
    await client.until("</stream:features>");
    client.write(
      `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    );
    await client.until("</iq>");
    return client;
  }

  #listen(): void {
    const decoder = new StringDecoder("utf8"); // a character may come in two pieces
    this.#socket.on("data", (chunk: Buffer) => {
      this.#text += decoder.write(chunk);
      this.#wake();
    });
    const ended = () => {
      this.#ended = true;
      this.#wake();
    };
    this.#socket.on("error", ended); // the server may cut the line: that is an end as well
    this.#socket.on("end", ended);
    this.#socket.on("close", ended);
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }

  write(data: string | Uint8Array): void {
    this.#socket.write(data);
  }

  /** What has come up to and including `part`; what follows stays for the next call. */
  until(part: string): Promise<string> {
    return this.#wait(`'${part}'`, () => {
      const at = this.#text.indexOf(part);
      if (at < 0) return undefined;
      const taken = this.#text.slice(0, at + part.length);
      this.#text = this.#text.slice(at + part.length);
      return taken;
    });
  }

  /** Everything up to the end of the connection. */
  end(): Promise<string> {
    return this.#wait("the end of the connection", () => (this.#ended ? this.#text : undefined));
  }

  #wait(what: string, take: () => string | undefined): Promise<string> {
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const look = () => {
        const taken = take();
        if (taken !== undefined) {
          done();
          resolve(taken);
        } else if (this.#ended) {
          done();
          reject(new Error(`${what} never came, the connection ended after: ${this.#text}`));
        }
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${what} did not come within ${waitMs} ms; there is: ${this.#text.slice(-2_000)}`));
      }, waitMs);
      this.#waiting.add(look);
      look();
    });
  }

  /** The TLS handshake after `<proceed/>`; from then on everything is encrypted. */
  async startTls(): Promise<void> {
    const plainSocket = this.#socket;
    plainSocket.removeAllListeners();
    const secured = connectTls({ socket: plainSocket, rejectUnauthorized: false });
    await new Promise<void>((ready, fail) => {
      secured.once("secureConnect", ready);
      secured.once("error", fail);
    });
    this.#socket = secured;
    this.#listen();
  }

  /** Reads nothing any more: what the server writes piles up. */
  stopReading(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function plain(username: string, password: string): string {
  const initial = Buffer.from(`\0${username}\0${password}`).toString("base64");
  return `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${initial}</auth>`;
}
