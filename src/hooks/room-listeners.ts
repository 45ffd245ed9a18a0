/** Those who listen to what happens in the rooms of a host. */
import type { Jid } from "../stanza/jid.ts";
import type { Effect } from "./effect.ts";
import type { RoomEventName, RoomEvents, RoomHandlers, RoomMessage } from "./points.ts";

const nothing: readonly Effect[] = [];

export class RoomListeners implements RoomEvents {
  readonly #handlers: { readonly [Name in RoomEventName]: RoomHandlers[Name][] } = {
    said: [],
    parted: [],
    destroyed: [],
  };

  add<Name extends RoomEventName>(name: Name, handler: RoomHandlers[Name]): void {
    this.#handlers[name].push(handler);
  }

  get unheard(): boolean {
    return this.#handlers.said.length === 0;
  }

  said(message: RoomMessage): readonly Effect[] {
    let effects: Effect[] | undefined;
    for (const handler of this.#handlers.said) {
      const outcome = handler(message);
      if (outcome === undefined) continue;
      effects ??= [];
      if ("length" in outcome) effects.push(...outcome);
      else effects.push(outcome);
    }
    return effects ?? nothing;
  }

  async parted(room: Jid, account: string): Promise<void> {
    for (const handler of this.#handlers.parted) await handler(room, account);
  }

  async destroyed(room: Jid): Promise<void> {
    for (const handler of this.#handlers.destroyed) await handler(room);
  }
}
