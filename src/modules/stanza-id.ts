/** XEP-0359 Unique and Stable Stanza IDs 0.7.0: every message a user gets bears an id that nobody else can have given it. */
import { defineModule } from "../hooks/define-module.ts";
import { replaceWith } from "../hooks/effect.ts";
import { ns } from "../stanza/ns.ts";
import type { Stanza } from "../stanza/stanza.ts";
import { withoutForgedIds, withStanzaId } from "../stanza/stanza-ids.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";

export const stanzaId = defineModule({
  name: "mod_stanzaid",
  summary: "Gives each message to a user an id of the user's account, to refer to it later; with mod_mam, that does.",
  xeps: [{ number: 359, version: "0.7.0" }],
  options: {},
  features: { server: [ns.stanzaIds], account: [ns.stanzaIds] },

  setup(on, context) {
    const ids = new SortableIds(context.clock, context.random);
    /** Asked once: modules stay as they are while the host runs. */
    let archives: boolean | undefined;
    on.stage("incoming", "message", (stanza, account) => {
      archives ??= context.ask("keepsArchive") === true;
      if (archives) return undefined;
      const honest = withoutForgedIds(stanza, context.domain);
      if (!getsId(stanza)) return honest === stanza ? undefined : replaceWith(honest);
      return replaceWith(withStanzaId(honest, account, ids.next()));
    });
    return undefined;
  },
});

/** A group gives its own messages ids; errors and headlines are nothing to come back to. */
function getsId(stanza: Stanza): boolean {
  return stanza.type === undefined || stanza.type === "normal" || stanza.type === "chat";
}

/** Milliseconds in base 36 take nine characters until the year 5188; the counter within one takes three. */
const timeChars = 9;
const countMax = 36 ** 3;
const randomBytes = 9;
const digits = "0123456789abcdefghijklmnopqrstuvwxyz";

/** Ids that sort in the order they were given, and that nobody can guess. */
export class SortableIds {
  readonly #clock: Clock;
  readonly #random: Randomness;
  #time = 0;
  /** The same for all ids of a millisecond. */
  #timeText = "";
  #count = 0;

  constructor(clock: Clock, random: Randomness) {
    this.#clock = clock;
    this.#random = random;
  }

  next(): string {
    const now = this.#clock.now();
    // A clock that is set back, or a counter that is full, must not break the order.
    if (now > this.#time) this.#begin(now);
    else if (++this.#count === countMax) this.#begin(this.#time + 1);
    const count = this.#count;
    const low = digits[((count / 36) % 36) | 0]! + digits[count % 36]!;
    return `${this.#timeText}${digits[(count / 1296) | 0]!}${low}-${this.#random.id(randomBytes)}`;
  }

  #begin(time: number): void {
    this.#time = time;
    this.#timeText = time.toString(36).padStart(timeChars, "0");
    this.#count = 0;
  }
}
