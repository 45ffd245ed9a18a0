/** Stanzas that stay for hours: the presence of every session. */
import { BoundedMap } from "../util/bounded-map.ts";
import { intern, ownText } from "../xml/intern.ts";
import { type ChildIndex, Stanza } from "./stanza.ts";

/** Insides that are remembered: those of one client's releases are the same for all its users. */
const insidesMax = 1024;
const sharedCharsMax = 1024;

interface Inside {
  readonly text: string;
  readonly children: ChildIndex;
}

const insides = new BoundedMap<string, Inside>(insidesMax);

/** An equal stanza that keeps no chunk of the network alive, and shares its inside with earlier ones that have the same. */
export function kept(stanza: Stanza): Stanza {
  const { kind, to, from, type, id, extra } = stanza;
  const { text, children } = insideOf(stanza);
  const ownId = id === undefined ? undefined : ownText(id);
  return new Stanza(kind, to, from, type, ownId, intern(extra, 0, extra.length), text, children);
}

function insideOf(stanza: Stanza): Inside {
  const { inner } = stanza;
  if (inner.length > sharedCharsMax) return { text: ownText(inner), children: stanza.children };
  let inside = insides.get(inner);
  if (inside === undefined) {
    inside = { text: ownText(inner), children: stanza.children };
    insides.set(inside.text, inside);
  }
  return inside;
}
