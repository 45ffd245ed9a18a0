/** Who may change whose affiliation to a room, and what becomes of owners: pure rules. */
import { StanzaError } from "../../stanza/errors.ts";

export type Affiliation = "owner" | "member";

/** Bare addresses, in order. */
export type Occupants = ReadonlyMap<string, Affiliation>;

export interface AffiliationChange {
  readonly jid: string;
  readonly affiliation: Affiliation | "none";
}

export interface OwnerRules {
  /** `allow_multiple_owners` */
  readonly multipleOwners: boolean;
  /** `promote_on_last_owner_leave` */
  readonly promotes: boolean;
}

/** A change that was thought through. */
export interface OccupantsChanged {
  readonly before: Occupants;
  readonly after: Occupants;
  /** All that changed, also what nobody asked for: owners who were replaced, members who became owners. */
  readonly changes: readonly AffiliationChange[];
}

/** What a member asks for, who can do little. @throws StanzaError not-allowed. */
export function checkMember(
  before: Occupants,
  wishes: readonly AffiliationChange[],
  member: string,
  mayInvite: boolean,
): void {
  for (const { jid, affiliation } of wishes) {
    if (affiliation === "none" && jid === member) continue;
    if (affiliation === "member" && mayInvite && before.get(jid) !== "owner") continue;
    throw new StanzaError("not-allowed", { text: "That is for the owner of the room" });
  }
}

/** Carries out what was asked for and allowed. @throws StanzaError bad-request for what makes no sense. */
export function changeOccupants(
  before: Occupants,
  wishes: readonly AffiliationChange[],
  rules: OwnerRules,
): OccupantsChanged {
  const after = new Map<string, Affiliation>(before);
  const asked = new Map<string, AffiliationChange>();
  for (const wish of wishes) {
    if (asked.has(wish.jid)) throw meaningless("Each user stands in a request once");
    if ((before.get(wish.jid) ?? "none") === wish.affiliation) throw meaningless("That would change nothing");
    asked.set(wish.jid, wish);
    if (wish.affiliation === "none") after.delete(wish.jid);
    else after.set(wish.jid, wish.affiliation);
  }
  const hadOwner = ownersIn(before).length > 0;
  if (!hadOwner && ownersIn(after).length > 0) throw meaningless("In this room all are equal");
  const implied: AffiliationChange[] = [];
  if (hadOwner) {
    if (!rules.multipleOwners) implied.push(...demote(after, asked));
    const heir = heirOf(after, asked, before, rules.promotes);
    if (heir !== undefined) {
      after.set(heir, "owner");
      // Who gives ownership away and gets it back has not changed.
      if (asked.delete(heir) && before.get(heir) === "owner") return changed(before, after, implied, asked);
      implied.push({ jid: heir, affiliation: "owner" });
    }
  }
  return changed(before, after, implied, asked);
}

function changed(
  before: Occupants,
  after: Map<string, Affiliation>,
  implied: readonly AffiliationChange[],
  asked: ReadonlyMap<string, AffiliationChange>,
): OccupantsChanged {
  const changes = [...implied, ...asked.values()];
  if (changes.length === 0) throw meaningless("That would change nothing");
  return { before, after: inOrder(after), changes };
}

/** A new owner takes the place of the old. */
function demote(after: Map<string, Affiliation>, asked: ReadonlyMap<string, AffiliationChange>): AffiliationChange[] {
  const owners = ownersIn(after);
  const old = owners.filter((jid) => !asked.has(jid));
  if (old.length === owners.length) return [];
  if (owners.length - old.length > 1) throw meaningless("A room has one owner");
  for (const jid of old) after.set(jid, "member");
  return old.map((jid) => ({ jid, affiliation: "member" }));
}

/** Who becomes owner where none is left: one who was there before, else a newcomer, else who was owner. */
function heirOf(
  after: ReadonlyMap<string, Affiliation>,
  asked: ReadonlyMap<string, AffiliationChange>,
  before: Occupants,
  promotes: boolean,
): string | undefined {
  if (after.size === 0 || ownersIn(after).length > 0) return undefined;
  if (!promotes) throw meaningless("The last owner stays until there is another");
  const all = [...inOrder(after).keys()];
  return all.find((jid) => !asked.has(jid)) ?? all.find((jid) => !before.has(jid)) ?? all[0];
}

function ownersIn(occupants: Occupants): string[] {
  const owners: string[] = [];
  for (const [jid, affiliation] of occupants) if (affiliation === "owner") owners.push(jid);
  return owners;
}

export function inOrder(occupants: ReadonlyMap<string, Affiliation>): Occupants {
  return new Map([...occupants].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function meaningless(text: string): StanzaError {
  return new StanzaError("bad-request", { text });
}
