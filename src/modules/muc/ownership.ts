/** XEP-0045 section 10, owner use cases: configuring a room, and destroying it. */
import { type Effect, type MaybePromise, type Outcome, reply, spread } from "../../hooks/effect.ts";
import { submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { presence, type Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { attributes, raw, xml } from "../../xml/xml.ts";
import {
  affiliatedBy,
  affiliateNow,
  changeRoles,
  keepsAnOwner,
  type NewAffiliation,
  withinLimit,
} from "./affiliations.ts";
import { putOut } from "./entering.ts";
import type { Room } from "./room.ts";
import { type ConfigChange, changeCodes, configForm, type RoomConfig, readConfigForm } from "./room-config.ts";
import { isShown, itemXml, mucUserXml, notice, tellOthers, withdraw } from "./room-presence.ts";
import { affiliationRow, type Occupant, occupantIdXml } from "./room-state.ts";
import type { AffiliationRow } from "./room-store.ts";

const reasonCharsMax = 1_000;

export function getConfiguration(room: Room, from: Jid): Outcome {
  room.requireAffiliation(from, "owner");
  const around = {
    limits: room.house.options,
    archives: room.house.archive() !== undefined,
    owners: affiliated(room, "owner"),
    admins: affiliated(room, "admin"),
  };
  return reply(xml`<query xmlns='${ns.mucOwner}'>${configForm(room.jid, room.state.config, around)}</query>`);
}

function affiliated(room: Room, affiliation: "owner" | "admin"): string[] {
  return room.state.affiliationRows().flatMap((row) => (row.affiliation === affiliation ? [row.jid] : []));
}

export function setConfiguration(room: Room, from: Jid, query: Element): MaybePromise<Outcome> {
  room.requireAffiliation(from, "owner");
  const destroyed = query.child("destroy");
  if (destroyed !== undefined) return destroy(room, destructionOf(destroyed));
  const form = query.child("x", ns.dataForms);
  if (form === undefined) throw new StanzaError("bad-request", { text: "A form was expected" });
  if (form.attr("type") === "cancel") return room.state.locked ? destroy(room, {}) : [];
  const values = submittedForm(query, ns.mucRoomConfig)!;
  return room.inOrder(() => {
    room.requireAffiliation(from, "owner");
    return configure(room, from, readConfigForm(values, room.state.config, room.house.options));
  });
}

/** Stores a new configuration and lets it take effect. Throws `StanzaError`. */
export async function configure(
  room: Room,
  from: Jid,
  { config, owners, admins }: ConfigChange,
  byOperator = false,
): Promise<Effect[]> {
  const { house, state } = room;
  const { options, access, store } = house;
  const becomesPersistent = config.persistent && !(state.config.persistent && !state.locked);
  if (!byOperator && config.persistent && !state.config.persistent && !access.allow(options.accessPersistent, from)) {
    throw new StanzaError("not-allowed", { text: "You may not make rooms persistent" });
  }
  const changes = listChanges(room, owners, admins);
  keepsAnOwner(room, changes);
  withinLimit(room, changes);
  const rows = changes.map((change) => {
    const next = affiliatedBy(room, change);
    return { jid: change.jid.bare, row: next === undefined ? undefined : affiliationRow(change.jid.bare, next) };
  });
  if (becomesPersistent) {
    await store.create(room.row(config), merged(room, rows));
    if (state.vcard !== undefined) await store.setVcard(room.jid.local, state.vcard);
    state.vcard = undefined;
  } else if (config.persistent) await store.change(room.jid.local, room.row(config), rows);
  else if (room.isStored) {
    state.vcard = await store.vcard(room.jid.local);
    await store.remove(room.jid.local);
  }
  if (room.over) return [];
  return takeEffect(room, config, changes);
}

/** Who is to be owner or admin by the lists of a form, and who no more. */
function listChanges(
  room: Room,
  owners: readonly Jid[] | undefined,
  admins: readonly Jid[] | undefined,
): NewAffiliation[] {
  const changes = new Map<string, NewAffiliation>();
  const take = (list: readonly Jid[] | undefined, affiliation: "owner" | "admin") => {
    if (list === undefined) return;
    const names = new Set(list.map((jid) => jid.bare));
    for (const row of room.state.affiliationRows()) {
      if (row.affiliation !== affiliation || names.has(row.jid) || changes.has(row.jid)) continue;
      const jid = parseJid(row.jid);
      if (jid !== undefined) changes.set(row.jid, { jid, affiliation: "none" });
    }
    for (const jid of list) {
      if (room.ownAffiliationOf(jid) !== affiliation || changes.has(jid.bare)) {
        if (affiliation === "admin" && changes.get(jid.bare)?.affiliation === "owner") continue;
        changes.set(jid.bare, { jid, affiliation });
      }
    }
  };
  take(owners, "owner");
  take(admins, "admin");
  return [...changes.values()];
}

function merged(room: Room, changes: readonly { jid: string; row: AffiliationRow | undefined }[]): AffiliationRow[] {
  const rows = new Map(room.state.affiliationRows().map((row) => [row.jid, row]));
  for (const { jid, row } of changes) {
    if (row === undefined) rows.delete(jid);
    else rows.set(jid, row);
  }
  return [...rows.values()];
}

function takeEffect(room: Room, config: RoomConfig, changes: readonly NewAffiliation[]): Effect[] {
  const { state } = room;
  const before = state.config;
  const shownBefore = new Map<Occupant, boolean>();
  for (const occupant of state.occupants.values()) shownBefore.set(occupant, isShown(room, occupant.role));
  state.config = config;
  const opened = state.locked;
  state.locked = false;
  room.house.configured(room);
  const effects = affiliateNow(room, undefined, changes);
  for (const occupant of [...state.occupants.values()]) {
    if (config.membersOnly && room.affiliationOf(occupant.account) === "none") {
      effects.push(...putOut(room, occupant, { codes: [322] }));
      continue;
    }
    const shown = isShown(room, occupant.role);
    if (shown === shownBefore.get(occupant)) continue;
    effects.push(...(shown ? tellOthers(room, occupant) : withdraw(room, occupant)));
  }
  if (before.moderated && !config.moderated) {
    const silent = [...state.occupants.values()].filter(({ role }) => role === "visitor");
    effects.push(
      ...changeRoles(
        room,
        undefined,
        silent.map(({ nick }) => ({ nick, role: "participant" as const })),
      ),
    );
  }
  const codes = changeCodes(before, config);
  if (codes.length > 0 && !opened) effects.push(...notice(room, "", codes));
  if (state.size === 0) room.house.emptied(room);
  return effects;
}

export interface Destruction {
  readonly venue?: Jid | undefined;
  readonly password?: string | undefined;
  readonly reason?: string | undefined;
}

/** Throws `StanzaError` jid-malformed. */
function destructionOf(element: Element): Destruction {
  const address = element.attr("jid");
  const venue = address === undefined || address === "" ? undefined : parseJid(address);
  if (venue === undefined && address !== undefined && address !== "") {
    throw new StanzaError("jid-malformed", { text: "The alternate venue is no address" });
  }
  return {
    venue,
    password: element.childText("password"),
    reason: element.childText("reason")?.slice(0, reasonCharsMax),
  };
}

/** Section 10.9: everybody is told once, and the room is gone. */
export async function destroy(room: Room, { venue, password, reason }: Destruction): Promise<Effect[]> {
  const { house, state } = room;
  await house.destroyed(room);
  const words = reason === undefined ? undefined : xml`<reason>${reason}</reason>`;
  const key = password === undefined ? undefined : xml`<password>${password}</password>`;
  const element = xml`<destroy${attributes({ jid: venue?.bare })}>${key}${words}</destroy>`.text;
  const effects: Effect[] = [];
  for (const occupant of [...state.occupants.values()]) {
    effects.push(
      spread(
        [farewell(occupant, element)],
        occupant.sessions.map((session) => session.jid),
      ),
    );
    state.remove(occupant);
    house.conferences.left(occupant.account.bare);
  }
  return effects;
}

function farewell(occupant: Occupant, element: string): Stanza {
  const x = mucUserXml(itemXml({ affiliation: "none", role: "none" }) + element, [110]);
  return presence({ from: occupant.address, type: "unavailable", payload: raw(x + occupantIdXml(occupant.id)) });
}
