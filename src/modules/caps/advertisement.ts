/** What a client claims about itself in presence, by XEP-0115 1.6.0 or XEP-0390 0.3.2, and whether an answer bears it out. */
import {
  ambiguity,
  caps2Hash,
  capsVersion,
  type DiscoInfo,
  illFormed,
  isHashKnown,
  parseDiscoInfo,
} from "../../stanza/disco-info.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";

/** Longer ones are no hashes of ours (SHA-512 in base64 has 88 characters), and nodes are addresses of web pages. */
const hashCharsMax = 128;
const nodeCharsMax = 512;

/** The hash a client advertises, and the node at which it explains it. */
export interface Advertisement {
  readonly version: "v1" | "v2";
  /** Name of the hash function. */
  readonly algorithm: string;
  /** In base64. */
  readonly hash: string;
  readonly node: string;
}

/** Of two clients with the same key one answer is enough. */
export function keyOf({ version, algorithm, hash }: Advertisement): string {
  return `${version} ${algorithm} ${hash}`;
}

/** The node of XEP-0390 section 4.3. */
export function caps2Node(algorithm: string, hash: string): string {
  return `${ns.caps2}#${algorithm}.${hash}`;
}

/**
 * What a presence advertises; undefined when nothing that we could use. XEP-0390 goes first: it cannot be forged
 * (its section 7.2 forbids to believe XEP-0115 where both are there).
 */
export function advertisementIn(presence: Stanza, versions: readonly string[]): Advertisement | undefined {
  if (versions.includes("v2") && presence.hasNamespace(ns.caps2)) {
    const element = presence.child("c", ns.caps2);
    const found = element === undefined ? undefined : hashSetIn(element);
    if (found !== undefined) return found;
  }
  if (!versions.includes("v1") || !presence.hasNamespace(ns.caps)) return undefined;
  const element = presence.child("c", ns.caps);
  const algorithm = element?.attr("hash");
  const hash = element?.attr("ver");
  const node = element?.attr("node");
  // Without a hash function it is the format before version 1.4, whose answers nobody can verify.
  if (algorithm === undefined || !hash || !node || !isShort(algorithm, hash, node)) return undefined;
  return { version: "v1", algorithm, hash, node: `${node}#${hash}` };
}

/** The first hash of a XEP-0390 `<c/>` whose function we know. */
export function hashSetIn(element: Element): Advertisement | undefined {
  for (const child of element.childrenNamed("hash", ns.hashes)) {
    const algorithm = child.attr("algo") ?? "";
    const hash = child.text().trim();
    if (hash === "" || !isHashKnown(algorithm) || !isShort(algorithm, hash, "")) continue;
    return { version: "v2", algorithm, hash, node: caps2Node(algorithm, hash) };
  }
  return undefined;
}

function isShort(algorithm: string, hash: string, node: string): boolean {
  return algorithm.length <= hashCharsMax && hash.length <= hashCharsMax && node.length <= nodeCharsMax;
}

export interface Verdict {
  readonly features: readonly string[] | undefined;
  /** Whether it may be believed of every client with this hash, not only of the one that answered. */
  readonly shared: boolean;
  readonly reason: string;
}

/** Checks a client's answer (XEP-0115 section 5.4, XEP-0390 section 4.4). `lang` is the language of the answer's stanza. */
export function verdictOn(advertised: Advertisement, query: Element | undefined, lang: string): Verdict {
  const info = query === undefined ? undefined : parseDiscoInfo(query);
  if (info === undefined) return { features: undefined, shared: false, reason: "no disco#info" };
  const verdict = verdictOnInfo(advertised, info);
  if (verdict.features !== undefined || lang === "") return verdict;
  // By the letter a language inherited from the stanza counts; most clients leave it out.
  return verdictOnInfo(advertised, parseDiscoInfo(query!, lang)!);
}

function verdictOnInfo(advertised: Advertisement, info: DiscoInfo): Verdict {
  const { algorithm, hash } = advertised;
  if (advertised.version === "v2") {
    if (caps2Hash(info, algorithm) !== hash) return { features: undefined, shared: false, reason: "another hash" };
    return { features: info.features, shared: true, reason: "verified" };
  }
  if (!isHashKnown(algorithm)) return { features: info.features, shared: false, reason: "unknown hash function" };
  const problem = illFormed(info);
  if (problem !== undefined) return { features: undefined, shared: false, reason: problem };
  if (capsVersion(info, algorithm) !== hash) return { features: undefined, shared: false, reason: "another hash" };
  const doubt = ambiguity(info);
  return { features: info.features, shared: doubt === undefined, reason: doubt ?? "verified" };
}
