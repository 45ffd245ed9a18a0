/** `legacy_mode`: what is asked of rooms in a part of XEP-0045, as MongooseIM has mapped it, and who answers it. */
import { drop, type MaybePromise, type Outcome, route } from "../../hooks/effect.ts";
import { submittedForm } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { formToFill } from "../../stanza/form-text.ts";
import { ns } from "../../stanza/ns.ts";
import { errorElement } from "../../stanza/reply.ts";
import { presence, type Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { xml } from "../../xml/xml.ts";
import { answer, aside, asideOfService, block, checkCreation, done, requireBlocking } from "./answers.ts";
import { legacyItem } from "./legacy-tongue.ts";
import type { LightRooms } from "./light-rooms.ts";
import { readItems, readPrivacyItems } from "./requests.ts";

/** Clients know the fields by the names that the form shows, and by those of XEP-0045. */
const fieldPrefix = "muc#roomconfig_";

export class LegacyService {
  readonly #rooms: LightRooms;

  constructor(rooms: LightRooms) {
    this.#rooms = rooms;
  }

  take(stanza: Stanza): MaybePromise<Outcome> {
    switch (stanza.kind) {
      case "message":
        return this.#takeMessage(stanza);
      case "iq":
        if (stanza.type === "get" || stanza.type === "set") return this.#takeRequest(stanza);
        return drop("an answer to no question");
      case "presence":
        if (stanza.type !== undefined || !stanza.has("x", ns.muc)) return drop("rooms know no presence");
        return this.#enter(stanza);
    }
  }

  #takeMessage(stanza: Stanza): MaybePromise<Outcome> {
    const to = stanza.to!;
    if (stanza.type === "error") return drop("an error for a room");
    if (stanza.type !== "groupchat" || to.local === "" || to.resource !== "") {
      throw refused("What is said in a room is of type groupchat, and goes to the room");
    }
    const isSubject = !stanza.has("body", ns.client) && !stanza.has("thread", ns.client);
    const subject = isSubject ? stanza.text("subject") : undefined;
    return subject === undefined ? this.#rooms.say(stanza) : this.#setSubject(stanza, subject);
  }

  async #setSubject(stanza: Stanza, subject: string): Promise<Outcome> {
    const rooms = this.#rooms;
    const room = stanza.to!;
    await rooms.occupancy.seenBy(stanza.from!, room.local);
    const change = rooms.schema.readTexts([["subject", subject]]);
    return rooms.configure(room, stanza.from!, change, stanza.id ?? rooms.context.random.id());
  }

  /** Nobody enters such a room: presence makes one, or meets what it meets in a room for members. */
  async #enter(stanza: Stanza): Promise<Outcome> {
    const rooms = this.#rooms;
    const to = stanza.to!;
    try {
      if (to.local === "" || to.resource === "") throw new StanzaError("jid-malformed");
      checkCreation(rooms, stanza.from!, to.local);
      const { effects } = await rooms.create(stanza.from!, to.local, {}, [], stanza.id ?? rooms.context.random.id());
      await rooms.context.told();
      return effects;
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error;
      const told = error.condition === "conflict" ? new StanzaError("registration-required") : error;
      const payload = xml`<x xmlns='${ns.muc}'/>${errorElement(told)}`;
      return route(presence({ type: "error", from: to, to: stanza.from, id: stanza.id, payload }));
    }
  }

  async #takeRequest(stanza: Stanza): Promise<Outcome> {
    const to = stanza.to!;
    const payload = stanza.firstChild();
    if (payload === undefined) throw refused("An iq request has exactly one child");
    // For clients that ask themselves whether they are in (XEP-0410) that says as much as that they are.
    if (to.resource !== "") throw new StanzaError("service-unavailable");
    const what = `${stanza.type} ${payload.ns} ${payload.name}`;
    return to.local === "" ? this.#ofService(what, stanza, payload) : this.#ofRoom(what, stanza, payload);
  }

  async #ofService(what: string, stanza: Stanza, payload: Element): Promise<Outcome> {
    switch (what) {
      case `get ${ns.privacy} query`:
        return this.#blocking(stanza);
      case `set ${ns.privacy} query`:
        return this.#block(stanza, payload);
      default:
        return asideOfService(this.#rooms, what, stanza, payload, ns.muc);
    }
  }

  async #blocking(stanza: Stanza): Promise<Outcome> {
    const rooms = this.#rooms;
    requireBlocking(rooms);
    const items = (await rooms.store.blocking(stanza.from!.bare)).map(({ kind, jid }) => {
      const value = kind === "room" ? jid : `${rooms.domain}/${jid}`;
      return xml`<item type='jid' value='${value}' action='deny' order='1'/>`;
    });
    return answer(stanza, xml`<query xmlns='${ns.privacy}'><list name='${ns.mucLight}'>${items}</list></query>`);
  }

  async #block(stanza: Stanza, query: Element): Promise<Outcome> {
    const rooms = this.#rooms;
    requireBlocking(rooms);
    const list = query.childrenNamed("list").find((one) => one.attr("name") === ns.mucLight);
    if (list === undefined) throw refused(`Expected <list name='${ns.mucLight}'/>`);
    await block(rooms, stanza.from!, readPrivacyItems(list.elements(), rooms.domain));
    return answer(stanza);
  }

  async #ofRoom(what: string, stanza: Stanza, payload: Element): Promise<Outcome> {
    const rooms = this.#rooms;
    const from = stanza.from!;
    const room = stanza.to!;
    switch (what) {
      case `get ${ns.mucAdmin} query`:
        return this.#occupants(stanza, payload);
      case `set ${ns.mucAdmin} query`: {
        await rooms.occupancy.seenBy(from, room.local);
        const wishes = readItems(payload.childrenNamed("item"), (jid) => rooms.isUser(jid));
        return done(rooms, stanza, await rooms.affiliate(room, from, wishes, stanza.id!));
      }
      case `get ${ns.mucOwner} query`:
        return this.#form(stanza);
      case `set ${ns.mucOwner} query`:
        if (payload.child("destroy") !== undefined) {
          return done(rooms, stanza, await rooms.destroy(room, from, stanza.id!));
        }
        return this.#configure(stanza, payload);
      default:
        return aside(rooms, what, stanza, payload, ns.muc);
    }
  }

  /** Those of the affiliations that were asked for, or all. */
  async #occupants(stanza: Stanza, query: Element): Promise<Outcome> {
    const { occupants } = await this.#rooms.roomFor(stanza.to!.local, stanza.from!);
    const wanted = new Set(query.childrenNamed("item").map((item) => item.attr("affiliation")));
    const shown = [...occupants].filter(([, affiliation]) => wanted.size === 0 || wanted.has(affiliation));
    const items = shown.map(([jid, affiliation]) => legacyItem({ jid, affiliation }));
    return answer(stanza, xml`<query xmlns='${ns.mucAdmin}'>${items}</query>`);
  }

  async #form(stanza: Stanza): Promise<Outcome> {
    const { schema } = this.#rooms;
    const { config } = await this.#rooms.roomFor(stanza.to!.local, stanza.from!);
    const form = formToFill({
      title: "Configuration form for the room",
      formType: ns.mucRoomConfig,
      fields: schema.texts(config).map(([name, text]) => ({ var: name, type: "text-single", values: [text] })),
    });
    return answer(stanza, xml`<query xmlns='${ns.mucOwner}'>${form}</query>`);
  }

  async #configure(stanza: Stanza, query: Element): Promise<Outcome> {
    const rooms = this.#rooms;
    const room = stanza.to!;
    await rooms.occupancy.seenBy(stanza.from!, room.local);
    if (query.child("x", ns.dataForms)?.attr("type") === "cancel") return answer(stanza);
    const values = submittedForm(query, ns.mucRoomConfig);
    if (values === undefined) throw refused("A form was expected");
    // Whoever accepts a room as it is, as clients do with one they have made.
    if (values.size === 0) return answer(stanza);
    const change = rooms.schema.readTexts(
      [...values].map(([name, texts]) => {
        if (texts.length > 1) throw refused(`${name.slice(0, 100)} has one value`);
        return [name.startsWith(fieldPrefix) ? name.slice(fieldPrefix.length) : name, texts[0] ?? ""];
      }),
    );
    return done(rooms, stanza, await rooms.configure(room, stanza.from!, change, stanza.id!));
  }
}

const refused = (text: string) => new StanzaError("bad-request", { text });
