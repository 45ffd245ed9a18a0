/** What is addressed to the domain of the rooms and to rooms, and who answers it. */
import { drop, type MaybePromise, type Outcome } from "../../hooks/effect.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { Xml, xml } from "../../xml/xml.ts";
import type { Affiliation, AffiliationChange } from "./affiliations.ts";
import { answer, aside, asideOfService, block, checkCreation, done, requireBlocking } from "./answers.ts";
import type { LightRooms } from "./light-rooms.ts";
import type { LightRoom } from "./light-store.ts";
import { usersXml } from "./notices.ts";
import { knownVersion, readAffiliations, readBlocking, readCreation } from "./requests.ts";
import { configXml } from "./room-schema.ts";

export class LightService {
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
        return drop("rooms know no presence");
    }
  }

  #takeMessage(stanza: Stanza): MaybePromise<Outcome> {
    const to = stanza.to!;
    // What a room said could not be delivered, which changes nothing.
    if (stanza.type === "error") return drop("an error for a room");
    if (stanza.type !== "groupchat" || to.local === "" || to.resource !== "") {
      throw refused("What is said in a room is of type groupchat, and goes to the room");
    }
    return this.#rooms.say(stanza);
  }

  async #takeRequest(stanza: Stanza): Promise<Outcome> {
    const to = stanza.to!;
    const payload = stanza.firstChild();
    if (payload === undefined) throw refused("An iq request has exactly one child");
    if (to.resource !== "") throw new StanzaError("service-unavailable");
    const what = `${stanza.type} ${payload.ns} ${payload.name}`;
    if (what === `set ${ns.mucLightCreate} query`) return this.#create(stanza, payload);
    return to.local === "" ? this.#ofService(what, stanza, payload) : this.#ofRoom(what, stanza, payload);
  }

  /** The result comes from where the request went; which room it is the notice has told. */
  async #create(stanza: Stanza, query: Element): Promise<Outcome> {
    const rooms = this.#rooms;
    const name = stanza.to!.local === "" ? undefined : stanza.to!.local;
    checkCreation(rooms, stanza.from!, name);
    const { fields, occupants } = readCreation(query, (jid) => rooms.isUser(jid));
    const { config } = rooms.schema.read(fields);
    const { effects } = await rooms.create(stanza.from!, name, config, occupants, stanza.id!);
    return done(this.#rooms, stanza, effects);
  }

  // The service.

  async #ofService(what: string, stanza: Stanza, payload: Element): Promise<Outcome> {
    switch (what) {
      case `get ${ns.mucLightBlocking} query`:
        return this.#blocking(stanza);
      case `set ${ns.mucLightBlocking} query`:
        return this.#block(stanza, payload);
      default:
        return asideOfService(this.#rooms, what, stanza, payload, ns.mucLight);
    }
  }

  async #blocking(stanza: Stanza): Promise<Outcome> {
    requireBlocking(this.#rooms);
    const items = await this.#rooms.store.blocking(stanza.from!.bare);
    const elements = items.map(({ kind, jid }) => xml`<${new Xml(kind)} action='deny'>${jid}</${new Xml(kind)}>`);
    return answer(stanza, xml`<query xmlns='${ns.mucLightBlocking}'>${elements}</query>`);
  }

  async #block(stanza: Stanza, query: Element): Promise<Outcome> {
    requireBlocking(this.#rooms);
    await block(this.#rooms, stanza.from!, readBlocking(query.elements()));
    return answer(stanza);
  }

  // Rooms. Nobody but occupants learns anything of one, not even whether it is there.

  async #ofRoom(what: string, stanza: Stanza, payload: Element): Promise<Outcome> {
    const rooms = this.#rooms;
    const from = stanza.from!;
    const room = stanza.to!;
    switch (what) {
      case `get ${ns.mucLightConfiguration} query`:
        return this.#tell(stanza, payload, (state) => configXml(rooms.schema.texts(state.config)));
      case `get ${ns.mucLightAffiliations} query`:
        return this.#tell(stanza, payload, (state) => usersXml(usersIn(state)));
      case `get ${ns.mucLightInfo} query`:
        return this.#tell(stanza, payload, (state) => {
          const config = configXml(rooms.schema.texts(state.config));
          return `<configuration>${config}</configuration><occupants>${usersXml(usersIn(state))}</occupants>`;
        });
      case `set ${ns.mucLightConfiguration} query`:
        await rooms.occupancy.seenBy(from, room.local);
        return done(
          rooms,
          stanza,
          await rooms.configure(room, from, rooms.schema.read(payload.elements()), stanza.id!),
        );
      case `set ${ns.mucLightAffiliations} query`: {
        await rooms.occupancy.seenBy(from, room.local);
        const wishes = readAffiliations(payload.elements(), (jid) => rooms.isUser(jid));
        return done(rooms, stanza, await rooms.affiliate(room, from, wishes, stanza.id!));
      }
      case `set ${ns.mucLightDestroy} query`:
        return done(rooms, stanza, await rooms.destroy(room, from, stanza.id!));
      default:
        return aside(rooms, what, stanza, payload, ns.mucLight);
    }
  }

  /** An empty result tells whoever knows the version that it is the newest. */
  async #tell(stanza: Stanza, query: Element, inner: (state: LightRoom) => string): Promise<Outcome> {
    const state = await this.#rooms.roomFor(stanza.to!.local, stanza.from!);
    if (knownVersion(query) === state.version) return answer(stanza);
    return answer(
      stanza,
      xml`<query xmlns='${query.ns}'><version>${state.version}</version>${new Xml(inner(state))}</query>`,
    );
  }
}

function* usersIn({ occupants }: LightRoom): Iterable<AffiliationChange & { affiliation: Affiliation }> {
  for (const [jid, affiliation] of occupants) yield { jid, affiliation };
}

const refused = (text: string) => new StanzaError("bad-request", { text });
