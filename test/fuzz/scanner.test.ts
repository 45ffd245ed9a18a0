/**
 * Differential fuzzing of the XML scanner and the tree parser against saxes: the same verdict and the same tree for
 * every document, however it is cut. `MEERKAT_FUZZ_INPUTS` sets how many documents, `MEERKAT_FUZZ_SEED` which.
 */

import { expect, test } from "bun:test";
import type { Buffer } from "node:buffer";
import { Element, equalElements, parseContent, parseElement } from "../../src/xml/element.ts";
import { type Frame, parseFrame, Scanner, XmlError } from "../../src/xml/scanner.ts";
import { randomDocument, SeededRandom } from "./xml-documents.ts";
import { INCOMPARABLE, judge, type Verdict } from "./xml-judge.ts";

const INPUTS = Number(process.env.MEERKAT_FUZZ_INPUTS ?? 25_000);
const SEED = Number(process.env.MEERKAT_FUZZ_SEED ?? 20_240_229);

/** What the scanner made of a stream: the verdict, and everything it said as text. */
interface Outcome {
  readonly verdict: Verdict;
  readonly trace: string;
}

function scan(bytes: Buffer, random: SeededRandom, chunkMax: number, pausePercent: number): Outcome {
  let root: Element | undefined;
  let ended = false;
  let trace = "";
  const scanner = new Scanner({
    streamStart(frame) {
      root = elementOf(frame);
      trace += JSON.stringify(frame);
      return !random.chance(pausePercent);
    },
    element(frame) {
      root?.append(elementOf(frame));
      trace += JSON.stringify(frame);
      return !random.chance(pausePercent);
    },
    streamEnd() {
      ended = true;
      trace += "end";
    },
  });
  try {
    for (let pos = 0; pos < bytes.length; ) {
      const size = chunkMax === 0 ? bytes.length : 1 + random.below(chunkMax);
      // In memory of its own that is then overwritten: the caller of push may do so.
      const chunk = Uint8Array.from(bytes.subarray(pos, pos + size));
      scanner.push(chunk);
      chunk.fill(0x3c);
      pos += size;
      if (random.chance(50)) scanner.resume();
    }
    while (scanner.paused) scanner.resume();
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    return { verdict: undefined, trace: `${trace}refused` };
  }
  return { verdict: ended ? root : undefined, trace: ended ? trace : `${trace}refused` };
}

/** The tree of a frame, after checking that its children are where it says. */
function elementOf(frame: Frame): Element {
  const element = new Element(frame.name, frame.ns);
  for (let i = 0; i < frame.attributes.length; i += 2) {
    element.attributes.set(frame.attributes[i]!, frame.attributes[i + 1]!);
  }
  element.append(...parseContent(frame.inner, frame.ns));
  const children = element.elements();
  expect(frame.children.length).toBe(4 * children.length);
  for (let i = 0; i < children.length; i++) {
    const [name, ns, start, end] = frame.children.slice(4 * i, 4 * i + 4) as [string, string, number, number];
    const child = parseElement(frame.inner.slice(start, end), frame.ns);
    if (!child.is(name, ns) || !equalElements(child, children[i]!))
      throw new Error(`child ${i} is not where it should be`);
  }
  return element;
}

function sameVerdict(a: Verdict, b: Verdict): boolean {
  return a === undefined || b === undefined ? a === b : equalElements(a, b);
}

/** What `action` returns, or undefined when it refuses its input. */
function accepted<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    return undefined;
  }
}

/** What is wrong with the outcomes of a document for which saxes has given its verdict, or "". */
function complaint(bytes: Buffer, expected: ReturnType<typeof judge>, random: SeededRandom): string {
  const whole = scan(bytes, random, 0, 0);
  if (expected !== INCOMPARABLE && !sameVerdict(whole.verdict, expected)) {
    return `saxes says ${expected ?? "no"}, the scanner ${whole.verdict ?? "no"}`;
  }
  for (const [chunkMax, pausePercent] of [
    [1 + random.below(40), 0],
    [1 + random.below(8), 30],
  ] as const) {
    const cut = scan(bytes, random, chunkMax, pausePercent);
    if (cut.trace !== whole.trace) return `whole: ${whole.trace}\ncut:   ${cut.trace}`;
  }
  return "";
}

/** The scanner for one element and the tree parser must agree about any text. */
function complaintAboutElement(bytes: Buffer): string {
  // A tree is made from an element without the declaration that a message may have.
  // A message may have a declaration, a tree is made of an element alone.
  const text = bytes.toString("utf8").replace(/^(<\?xml[^>]*>)+/, "");
  const frame = accepted(() => parseFrame(text));
  const tree = accepted(() => parseElement(text));
  const framed = frame === undefined ? undefined : elementOf(frame);
  if (tree !== undefined && !equalElements(parseElement(tree.toXml()), tree)) return `written as ${tree} it is another`;
  if (tree !== undefined) tree.prefixes = undefined; // a frame does not tell what its own attributes' prefixes mean
  return sameVerdict(framed, tree) ? "" : `as a frame ${framed ?? "no"}, as a tree ${tree ?? "no"}`;
}

test(
  `${INPUTS} documents: the same verdict and tree as saxes, however they are cut`,
  () => {
    const random = new SeededRandom(SEED);
    let right = 0;
    let incomparable = 0;
    for (let i = 0; i < INPUTS; i++) {
      const bytes = randomDocument(random);
      const expected = judge(bytes);
      const found = complaint(bytes, expected, random) || complaintAboutElement(bytes);
      if (found !== "") {
        throw new Error(
          `document ${i} of seed ${SEED}: ${found}\n${JSON.stringify(bytes.toString("utf8"))}\n${bytes.toString("hex")}`,
        );
      }
      if (expected === INCOMPARABLE) incomparable++;
      else if (expected !== undefined) right++;
    }
    // The test would prove little if nearly all documents were right, or wrong.
    expect(right).toBeGreaterThan(INPUTS * 0.3);
    expect(right).toBeLessThan(INPUTS * 0.9);
    expect(incomparable).toBeLessThan(INPUTS * 0.01);
  },
  { timeout: 10_000 + INPUTS * 5 },
);
