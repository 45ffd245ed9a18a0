/**
 * Rendezvous hashing: all who know the same nodes name the same one for a key, without talking, and a node that comes or goes moves
 * only the keys it gets or had.
 */

/** How a node ranks for a key; the highest of all is the one. Not for secrets. */
export function rendezvousRank(key: string, node: number): number {
  let hash = 0x811c9dc5 ^ node;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  // Without the mixing, keys that differ in the last letter only would rank the nodes alike.
  hash = Math.imul(hash ^ node ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The node that all name for this key; undefined when there is none to choose from. Equal ranks go to the higher number. */
export function rendezvous(key: string, nodes: Iterable<number>): number | undefined {
  let best: number | undefined;
  let bestRank = -1;
  for (const node of nodes) {
    const rank = rendezvousRank(key, node);
    if (rank < bestRank || (rank === bestRank && node < best!)) continue;
    best = node;
    bestRank = rank;
  }
  return best;
}
