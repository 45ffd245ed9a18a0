/** How rooms tell their occupants what has become of them: in the words of MUC Light, or of XEP-0045 (`legacy_mode`). */
import { type Effect, route, spread } from "../../hooks/effect.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { message, type Stanza } from "../../stanza/stanza.ts";
import type { AffiliationChange, Occupants, OccupantsChanged } from "./affiliations.ts";
import { affiliationsNotice, configurationNotice, destroyedNotice } from "./notices.ts";
import { addressesOf } from "./occupancy.ts";
import type { ConfigTexts } from "./room-schema.ts";

/** Which room, and the id of the request that has changed it. */
export interface Concerning {
  readonly room: Jid;
  readonly id: string;
}

export interface Versions {
  readonly previous: string;
  readonly version: string;
}

export interface Telling {
  /** What the archive keeps of it, as the inside of a message; undefined for nothing. */
  readonly kept: string | undefined;
  /** What goes out; `mark` is the id of what is kept, for the inside of live messages of the same. */
  told(mark: string): Effect[];
}

export interface Tongue {
  created(about: Concerning, users: readonly AffiliationChange[], version: string): Telling;
  configured(about: Concerning, texts: ConfigTexts, versions: Versions, occupants: Occupants): Telling;
  /** `by` is the bare address of who has done it; undefined for the operator. */
  changed(about: Concerning, change: OccupantsChanged, versions: Versions, by: string | undefined): Telling;
  destroyed(about: Concerning, occupants: Occupants): Telling;
}

/** A message from a room. */
export function notice({ room, id }: Concerning, payload: string, to?: string): Stanza {
  return message({ from: room, type: "groupchat", id, payload, to: to === undefined ? undefined : parseJid(to) });
}

/** Who stays through a change, and who comes and goes. */
export function movement({ before, after }: Pick<OccupantsChanged, "before" | "after">) {
  return {
    stay: [...after.keys()].filter((jid) => before.has(jid)),
    come: [...after].flatMap(([jid, affiliation]) => (before.has(jid) ? [] : [{ jid, affiliation }])),
    left: [...before.keys()].filter((jid) => !after.has(jid)),
  };
}

export const mucLightTongue: Tongue = {
  created(about, users, version) {
    return {
      kept: affiliationsNotice(users, { version }),
      told: (mark) =>
        users.map((user) => route(notice(about, affiliationsNotice([user], { version }) + mark, user.jid))),
    };
  },

  configured(about, texts, versions, occupants) {
    const payload = configurationNotice(texts, versions);
    return {
      kept: configurationNotice(texts, { version: versions.version }),
      told: (mark) => [spread([notice(about, payload + mark)], addressesOf(occupants.keys()))],
    };
  },

  changed(about, change, versions) {
    const { version } = versions;
    const { stay, come, left } = movement(change);
    const told = (mark: string): Effect[] => {
      const effects: Effect[] = [];
      const payload = affiliationsNotice(change.changes, versions) + mark;
      if (stay.length > 0) effects.push(spread([notice(about, payload)], addressesOf(stay)));
      for (const user of come)
        effects.push(route(notice(about, affiliationsNotice([user], { version }) + mark, user.jid)));
      for (const jid of left) {
        effects.push(route(notice(about, affiliationsNotice([{ jid, affiliation: "none" }]), jid)));
      }
      return effects;
    };
    // With a room that is over its archive goes.
    return { kept: change.after.size === 0 ? undefined : affiliationsNotice(change.changes, { version }), told };
  },

  destroyed(about, occupants) {
    const told = () => [...occupants.keys()].map((jid) => route(notice(about, destroyedNotice(jid), jid)));
    return { kept: undefined, told };
  },
};
