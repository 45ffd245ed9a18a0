/** A resource that is bound on another node: made when somebody looks for it, from what the session directory knows. */
import type { SessionEntry } from "../../cluster/session-entry.ts";
import { type Mark, marks, type Origin, type Resource } from "../../session/resource.ts";
import type { StreamError } from "../../stanza/errors.ts";
import { Jid } from "../../stanza/jid.ts";
import type { Stanza } from "../../stanza/stanza.ts";

/** The way to sessions of other nodes. */
export interface RemoteWay {
  deliver(to: RemoteResource, stanza: Stanza, origin: Origin | undefined): undefined | Promise<void>;
  present(resource: RemoteResource, to: Jid): void;
  /** Resolves when it is over. */
  close(resource: RemoteResource, error: StreamError): Promise<void>;
}

export class RemoteResource implements Resource {
  readonly jid: Jid;
  readonly account: Jid;
  readonly node: number;
  readonly incarnation: number;
  readonly serial: number;
  readonly startedAt: number;
  readonly priority: number;
  readonly #marks: number;
  readonly #way: RemoteWay;

  /** `jid` is made of the entry where it is not known. */
  constructor(way: RemoteWay, account: Jid, entry: SessionEntry, jid = Jid.withPrepared(account, entry.resource)) {
    this.#way = way;
    this.account = account;
    this.jid = jid;
    this.node = entry.owner.number;
    this.incarnation = entry.owner.incarnation;
    this.serial = entry.serial;
    this.startedAt = entry.startedAt;
    this.priority = entry.priority;
    this.#marks = entry.marks;
  }

  get available(): boolean {
    return (this.#marks & marks.available) !== 0;
  }

  marked(mark: Mark): boolean {
    return (this.#marks & mark) !== 0;
  }

  deliver(stanza: Stanza, origin?: Origin): undefined | Promise<void> {
    return this.#way.deliver(this, stanza, origin);
  }

  present(to: Jid): undefined {
    this.#way.present(this, to);
  }

  close(error: StreamError): void {
    void this.#way.close(this, error);
  }
}
