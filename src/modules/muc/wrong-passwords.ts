/** Who has tried wrong passwords of a room: nobody guesses on and on. */
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { BoundedMap } from "../../util/bounded-map.ts";
import type { Clock } from "../../util/clock.ts";

const triesMax = 5;
const windowMs = 600_000;
/** Accounts of one room that are remembered. */
const accountsMost = 1_000;

interface Tries {
  count: number;
  /** Of the first, by the monotonic clock. */
  readonly since: number;
}

export class WrongPasswords {
  readonly #clock: Clock;
  readonly #tries = new BoundedMap<string, Tries>(accountsMost);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws `StanzaError` policy-violation when the account has tried too often; another password is not even looked at then. */
  check(account: Jid): void {
    const tries = this.#recent(account);
    if (tries === undefined || tries.count < triesMax) return;
    throw new StanzaError("policy-violation", { type: "wait", text: "Too many wrong passwords; try again later" });
  }

  failed(account: Jid): void {
    const tries = this.#recent(account);
    if (tries === undefined) this.#tries.set(account.bare, { count: 1, since: this.#clock.monotonic() });
    else tries.count++;
  }

  #recent(account: Jid): Tries | undefined {
    const tries = this.#tries.get(account.bare);
    return tries !== undefined && this.#clock.monotonic() - tries.since < windowMs ? tries : undefined;
  }
}
