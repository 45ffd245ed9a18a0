/** What somebody who misspelt a name probably meant. */

/**
 * The nearest of `known`, when it is near enough to be worth proposing: at most one edit in three characters.
 * An edit is a character more, less, or other, or two neighbours swapped.
 */
export function guess(found: string, known: Iterable<string>): string | undefined {
  const wanted = found.toLowerCase();
  let best: string | undefined;
  let bestEdits = Number.POSITIVE_INFINITY;
  for (const name of known) {
    const farthest = Math.max(1, Math.floor(Math.max(name.length, wanted.length) / 3));
    if (Math.abs(name.length - wanted.length) > farthest) continue;
    const edits = editDistance(wanted, name.toLowerCase());
    if (edits <= farthest && edits < bestEdits) {
      best = name;
      bestEdits = edits;
    }
  }
  return best;
}

/** Damerau and Levenshtein's distance, in its "optimal string alignment" form. */
export function editDistance(from: string, to: string): number {
  let twoAbove: number[] = [];
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let edits = Math.min(above[column]! + 1, current[column - 1]! + 1, above[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) edits = Math.min(edits, twoAbove[column - 2]! + 1);
      current.push(edits);
    }
    twoAbove = above;
    above = current;
  }
  return above[to.length]!;
}
