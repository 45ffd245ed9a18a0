/** Where things live that one node has in memory, such as online rooms: tables of keys, and the way to a key's node. */

import { KeyedTable } from "../../cluster/keyed-table.ts";
import type { Link } from "../../cluster/link.ts";
import type { Replicator } from "../../cluster/replicator.ts";
import type { MaybePromise } from "../../hooks/effect.ts";
import type { Placement, RemoteHome } from "../../hooks/placement.ts";
import type { Router } from "../../router/route.ts";
import type { Origin } from "../../session/resource.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import { stanzaFromBytes, stanzaToBytes } from "../../stanza/stanza-bytes.ts";
import type { Clock } from "../../util/clock.ts";
import { Frame } from "./frames.ts";
import { Gathering } from "./gathering.ts";

/** Nodes may disagree for a moment on where a key lives; who gets a stanza that was sent on this often takes it. */
const forwardsMax = 2;
/** What found its node gone is routed anew after this, milliseconds. */
const rerouteMs = 20;

export class Placements {
  readonly #clock: Clock;
  readonly #tables = new Map<string, KeyedTable<true>>();
  readonly #conflicts = new Map<string, ((key: string) => void)[]>();
  #replicator: Replicator | undefined = undefined;
  #link: Link | undefined = undefined;
  #router: Router | undefined = undefined;
  /** How often the stanza being handled just now has been forwarded. */
  #forwards = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Before the cluster is joined. */
  placement(name: string): Placement {
    let table = this.#tables.get(name);
    if (table === undefined) {
      const handlers: ((key: string) => void)[] = [];
      this.#conflicts.set(name, handlers);
      table = new KeyedTable<true>({
        name: `place ${name}`,
        clock: this.#clock,
        conflict: (key) => {
          for (const handler of handlers) handler(key);
        },
      });
      this.#tables.set(name, table);
    }
    const places = table;
    return {
      home: (key) => this.#home(places, key),
      claim: (key) => places.set(key, true),
      release: (key) => places.delete(key),
      onConflict: (handler) => void this.#conflicts.get(name)!.push(handler),
    };
  }

  join(replicator: Replicator, link: Link, router: Router): void {
    this.#replicator = replicator;
    this.#link = link;
    this.#router = router;
    for (const table of this.#tables.values()) replicator.add(table);
  }

  #home(table: KeyedTable<true>, key: string): RemoteHome | undefined {
    const replicator = this.#replicator;
    if (replicator === undefined || this.#forwards >= forwardsMax) return undefined;
    const node = table.get(key)?.owner.number ?? replicator.createVia(key);
    if (node === replicator.self.number) return undefined;
    const forwards = this.#forwards + 1;
    return { forward: (stanza, origin) => this.#forward(node, forwards, stanza, origin) };
  }

  #forward(node: number, forwards: number, stanza: Stanza, origin: Origin | undefined): MaybePromise<void> {
    const link = this.#link!;
    const bytes = stanzaToBytes(Uint8Array.of(Frame.forward, forwards), stanza);
    const dealtWith = link.send(node, bytes, true)!.catch(async () => {
      // The node is gone, and with it the thing: its new home makes it anew. Not at once: tables may forget a node later than the link.
      await new Promise<void>((resolve) => this.#clock.after(rerouteMs, resolve));
      const gathering = new Gathering();
      await gathering.settled(this.#router!.route(stanza, gathering));
    });
    origin?.secure(dealtWith);
    return link.full(node) ? link.whenDrained(node) : undefined;
  }

  /** A stanza that another node has forwarded. The promise resolves when it is safe. */
  forwarded(bytes: Uint8Array): undefined | Promise<void> {
    const stanza = stanzaFromBytes(bytes, 2);
    const gathering = new Gathering();
    this.#forwards = bytes[1]!;
    try {
      return gathering.settled(this.#router!.route(stanza, gathering));
    } finally {
      this.#forwards = 0;
    }
  }
}
