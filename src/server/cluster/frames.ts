/**
 * What nodes say to each other about sessions. Frames travel on the link, in order and without loss; a frame is acknowledged when it has
 * been dealt with. Calls are questions with one answer. docs/cluster.md lists them for people.
 */
import { WireError } from "../../cluster/bytes.ts";
import { readU32, writeU32 } from "../../cluster/fabric/envelope.ts";
import type { SessionEnd } from "../../hooks/points.ts";
import type { MovingSession } from "../../stream/hand-over.ts";

/** The first byte of a frame. Numbers are never used again for anything else. */
export const Frame = {
  /** u32 serial of a session there; stanza. */
  deliver: 1,
  /** u8 how often it was forwarded; stanza for a domain that a module serves. */
  forward: 2,
  /** JSON `PresentFrame`. */
  present: 3,
  /** JSON `CloseFrame`. */
  close: 4,
  /** JSON `FreezeFrame`. */
  freeze: 5,
  /** JSON `FrozenFrame`. */
  frozen: 6,
  /** JSON `MovedFrame`. */
  moved: 7,
  /** Nothing more: who acknowledges it has dealt with all that came before, on whichever channel. */
  told: 8,
  /** Nothing more: the sender is on its way out; nothing is to be made there any more. */
  draining: 9,
  /** JSON `FreezePlacesFrame`; answered by `frozen`. */
  freezePlaces: 10,
  /** JSON `MovedPlacesFrame`. */
  movedPlaces: 11,
} as const;

/** The session shows its presence to somebody. */
export interface PresentFrame {
  readonly serial: number;
  readonly account: string;
  readonly to: string;
}

/** The session ends with a stream error. */
export interface CloseFrame {
  readonly serial: number;
  readonly account: string;
  readonly how: SessionEnd;
  readonly condition: string;
  readonly text: string;
}

/** These sessions of the sender are about to move: keep what is for them, and answer `frozen` behind all that was sent before. */
export interface FreezeFrame {
  readonly move: number;
  readonly serials: readonly number[];
}

export interface FrozenFrame {
  readonly move: number;
}

/** The move is over: what was kept goes to the new places, or (no target) to the old ones. */
export interface MovedFrame {
  readonly move: number;
  readonly target: number | undefined;
  /** By old serial: the new one, or 0 for a session that is over. */
  readonly serials: Readonly<Record<string, number>>;
}

/** These things of the sender are about to move: keep what is for them, and answer `frozen` behind all that was sent before. */
export interface FreezePlacesFrame {
  readonly move: number;
  readonly place: string;
  readonly keys: readonly string[];
}

/** The move is over: what was kept goes to the new node, or (no target) to wherever the things are found. */
export interface MovedPlacesFrame {
  readonly place: string;
  readonly target: number | undefined;
  readonly keys: readonly string[];
}

/** Questions, by their first byte. */
export const Call = {
  /** JSON `FetchCall`; answer: `true` when the session has been moved to the asker. */
  fetch: 1,
  /** JSON `TakeCall`; answer: JSON array of serials, 0 for a session that was not wanted. */
  take: 2,
  /** JSON `AdminCall`; answer: its result. */
  admin: 3,
  /** Nothing more; answer: the page of metrics as text. */
  metrics: 4,
  /** JSON `TakePlaceCall`; answer: JSON, whether the thing is here now. */
  takePlace: 5,
  /** Nothing more; answered with nothing, once all that the asker has written to its tables before is known. */
  seen: 6,
  /** Nothing more; answered with nothing, once the database has what the node took in before. */
  write: 7,
  /** JSON `AskPlaceCall`; answer: a JSON array of what its modules say. */
  askPlace: 8,
} as const;

export interface FetchCall {
  readonly resumeId: string;
  readonly account: string;
}

export interface TakeCall {
  readonly sessions: readonly MovingSession[];
}

export interface TakePlaceCall {
  readonly place: string;
  readonly key: string;
  readonly data: unknown;
}

export interface AskPlaceCall {
  readonly place: string;
  readonly question: unknown;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One byte of kind, then JSON. */
export function withJson(kind: number, value: unknown): Uint8Array {
  const text = encoder.encode(JSON.stringify(value));
  const bytes = new Uint8Array(text.length + 1);
  bytes[0] = kind;
  bytes.set(text, 1);
  return bytes;
}

/** What follows the byte of kind. Throws `WireError`. */
export function jsonOf<T>(bytes: Uint8Array): T {
  try {
    return JSON.parse(decoder.decode(bytes.subarray(1))) as T;
  } catch (cause) {
    throw new WireError(`a frame that is no JSON: ${(cause as Error).message}`);
  }
}

const head = new Uint8Array(5);

/** Valid until the next call. */
export function deliverHead(serial: number): Uint8Array {
  head[0] = Frame.deliver;
  writeU32(head, 1, serial);
  return head;
}

export function serialOf(bytes: Uint8Array): number {
  if (bytes.length < 6) throw new WireError("a delivery cut short");
  return readU32(bytes, 1);
}
