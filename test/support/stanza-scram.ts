/**
 * The SCRAM mechanisms of StanzaJS for @xmpp/client, which brings only SCRAM-SHA-1: both were written by others, this
 * translates between them. For -PLUS, StanzaJS knows the binding tls-unique, which TLS 1.3 has no more; its place take those of our time.
 */
import { createHash } from "node:crypto";
import { SASL } from "stanza";

// biome-ignore lint/suspicious/noExplicitAny: the libraries' types say less than they do
type Any = any;

export type BindingType = "tls-exporter" | "tls-server-end-point";

/** Lets this client use a mechanism, with these channel bindings where its name ends in -PLUS. */
export function useScram(xmpp: Any, name: string, binding?: BindingType): void {
  class Mechanism {
    readonly name = name;
    readonly clientFirst = true;
    readonly #scram: Any = new SASL.SCRAM(name);
    #answers = 0;

    response(credentials: Any): string {
      const data = binding === undefined ? undefined : bindingData(xmpp.socket.socket, binding);
      const all = { username: credentials.username, password: credentials.password, tlsUnique: data };
      const answer: Buffer = this.#scram.createResponse(all);
      if (this.#answers++ > 0 || binding === undefined) return answer.toString();
      this.#scram.gs2Header = Buffer.from(`p=${binding},,`);
      return `p=${binding},,${this.#scram.clientFirstMessageBare}`;
    }

    challenge(text: string): void {
      this.#scram.processChallenge(Buffer.from(text));
    }

    /** The server proves that it knows the keys. */
    final(text: string): void {
      this.#scram.processSuccess(Buffer.from(text));
      const { mutuallyAuthenticated, error } = this.#scram.finalize();
      if (!mutuallyAuthenticated) throw new Error(`the server's signature is wrong: ${error}`);
    }
  }
  xmpp.saslFactory.use(name, Mechanism);
}

function bindingData(socket: Any, type: BindingType): Buffer {
  if (type === "tls-exporter") return socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  // Our self-signed certificate is signed with SHA-256.
  return createHash("sha256").update(socket.getPeerCertificate().raw).digest();
}
