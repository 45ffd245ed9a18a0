/** How rooms are seen by accounts, for whoever keeps something of rooms and is asked for it: who may read it, and who may know who is there. */
import type { Placement } from "../../hooks/placement.ts";
import type { ArchiveViewer } from "../../hooks/services.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import type { MucOptions } from "./options.ts";
import type { Room } from "./room.ts";
import { readConfig } from "./room-config.ts";
import { type Affiliation, isAtLeast } from "./room-state.ts";
import type { RoomStore } from "./room-store.ts";

/** What one node asks the others. */
interface ViewerQuestion {
  readonly viewerOf?: { readonly room: string; readonly account: string };
}

export class RoomViewers {
  readonly #domain: string;
  readonly #store: RoomStore;
  readonly #placement: Placement;
  /** Of this node, by address. */
  readonly #rooms: ReadonlyMap<string, Room>;
  readonly #options: MucOptions;

  constructor(
    domain: string,
    store: RoomStore,
    placement: Placement,
    rooms: ReadonlyMap<string, Room>,
    options: MucOptions,
  ) {
    this.#domain = domain;
    this.#store = store;
    this.#placement = placement;
    this.#rooms = rooms;
    this.#options = options;
    placement.onQuestion((question) => {
      const { viewerOf } = question as ViewerQuestion;
      const account = viewerOf === undefined ? undefined : parseJid(viewerOf.account);
      return account === undefined ? undefined : this.#here(viewerOf!.room, account);
    });
  }

  /** One of the occupants, or affiliated to the room; undefined for everybody else. */
  async of(room: Jid, account: Jid): Promise<ArchiveViewer | undefined> {
    if (room.domain !== this.#domain || room.local === "") return undefined;
    if (this.#isHere(room.bare)) return this.#here(room.bare, account);
    if (this.#placement.home(room.bare) !== undefined) {
      const question: ViewerQuestion = { viewerOf: { room: room.bare, account: account.bare } };
      const answers = (await this.#placement.askOthers(question)) as readonly (Partial<ArchiveViewer> | null)[];
      const viewer = answers.find((answer) => typeof answer?.seesRealAddresses === "boolean");
      if (viewer !== undefined) return viewer as ArchiveViewer;
    }
    return this.#stored(room, account);
  }

  #isHere(room: string): boolean {
    return this.#rooms.get(room)?.over === false;
  }

  #here(address: string, account: Jid): ArchiveViewer | undefined {
    const room = this.#isHere(address) ? this.#rooms.get(address) : undefined;
    if (room === undefined) return undefined;
    const affiliation = room.affiliationOf(account);
    const occupants = room.state.occupantsOf(account.bare);
    if (affiliation === "outcast" || (affiliation === "none" && occupants.length === 0)) return undefined;
    const seesAddresses = occupants.some((occupant) => room.seesAddresses(occupant));
    return { seesRealAddresses: seesAddresses || mayAlwaysSee(affiliation, room.state.config.anonymous) };
  }

  /** Nobody is in a room that rests in the database. */
  async #stored(room: Jid, account: Jid): Promise<ArchiveViewer | undefined> {
    const found = await this.#store.load(room.local);
    const affiliation = found?.affiliations.find(({ jid }) => jid === account.bare)?.affiliation;
    if (found === undefined || affiliation === undefined || affiliation === "outcast") return undefined;
    return { seesRealAddresses: mayAlwaysSee(affiliation, readConfig(found.row.config, this.#options).anonymous) };
  }
}

function mayAlwaysSee(affiliation: Affiliation, anonymous: boolean): boolean {
  return !anonymous || isAtLeast(affiliation, "admin");
}
