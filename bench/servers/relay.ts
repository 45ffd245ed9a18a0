/**
 * The floor: the least program on this runtime that relays the bench's messages. It checks no XML, no password and no
 * address, stores nothing, and knows three stanzas; what it costs, the runtime and the kernel cost.
 *
 *   ./bin/run-bun bench/servers/relay.ts PORT
 */
import { attributeOf, Splitter } from "../load/splitter.ts";

const domain = "localhost";
const online = new Map<string, Peer>();
const written = new Set<Peer>();

class Peer {
  readonly #socket: Bun.Socket<Peer>;
  readonly #splitter = new Splitter();
  #output = "";
  #account = "";
  #jid = "";

  constructor(socket: Bun.Socket<Peer>) {
    this.#socket = socket;
  }

  received(chunk: Buffer): void {
    this.#splitter.feed(chunk.toString("latin1"), this);
  }

  write(text: string): void {
    this.#output += text;
    if (written.size === 0) queueMicrotask(flushAll);
    written.add(this);
  }

  flush(): void {
    const text = this.#output;
    const taken = Math.max(0, this.#socket.write(text));
    this.#output = taken === text.length ? "" : text.slice(taken);
  }

  header(): void {
    const features =
      this.#account === ""
        ? "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
        : "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    this.write(
      "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " +
        `id='1' from='${domain}' version='1.0'><stream:features>${features}</stream:features>`,
    );
  }

  element(text: string, start: number, end: number): void {
    const headEnd = text.indexOf(">", start) + 1;
    if (text.startsWith("<message", start)) {
      const to = attributeOf(text, start, "to");
      const id = attributeOf(text, start, "id");
      online
        .get(to)
        ?.write(`<message from='${this.#jid}' to='${to}' type='chat' id='${id}'>${text.slice(headEnd, end)}`);
    } else if (text.startsWith("<presence", start)) this.write(`<presence from='${this.#jid}' to='${this.#jid}'/>`);
    else if (text.startsWith("<iq", start)) {
      this.#jid = `${this.#account}@${domain}/load`;
      online.set(this.#jid, this);
      this.write(
        `<iq type='result' id='${attributeOf(text, start, "id")}'>` +
          `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>${this.#jid}</jid></bind></iq>`,
      );
    } else if (text.startsWith("<auth", start)) {
      this.#account = Buffer.from(text.slice(headEnd, text.indexOf("<", headEnd)), "base64")
        .toString()
        .split("\0")[1]!;
      this.#splitter.reset();
      this.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    }
  }

  end(): void {
    this.#socket.end("</stream:stream>");
  }

  closed(): void {
    online.delete(this.#jid);
  }
}

/** All that was written to a socket within one turn leaves in one system call. */
function flushAll(): void {
  for (const peer of written) peer.flush();
  written.clear();
}

Bun.listen<Peer>({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  socket: {
    binaryType: "buffer",
    open(socket) {
      socket.setNoDelay(true);
      socket.data = new Peer(socket);
    },
    data: (socket, chunk) => socket.data.received(chunk),
    drain: (socket) => socket.data.flush(),
    close: (socket) => socket.data.closed(),
    error() {},
  },
});
