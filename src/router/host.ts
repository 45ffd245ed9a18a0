/** One domain this node serves: its modules' handlers, and the last step before a stanza is written to a session. */
import type { InstalledModule } from "../hooks/define-module.ts";
import { Registry } from "../hooks/registry.ts";
import type { Session, SessionHost } from "../session/session.ts";
import { Jid } from "../stanza/jid.ts";
import type { Stanza } from "../stanza/stanza.ts";
import { runSessionEvent } from "./from-client.ts";
import type { Router } from "./route.ts";
import { runStage } from "./stages.ts";

export class Host implements SessionHost {
  readonly domain: string;
  readonly address: Jid;
  readonly registry = new Registry();
  /** In the order of the catalogue. */
  readonly installed: InstalledModule[] = [];
  readonly #router: Router;

  constructor(domain: string, router: Router) {
    this.domain = domain;
    this.address = Jid.of("", domain, "");
    this.#router = router;
  }

  /** The options of an installed module; undefined when the host does not have it. */
  moduleOptions(name: string): Readonly<Record<string, unknown>> | undefined {
    for (const module of this.installed) if (module.definition.name === name) return module.options;
    return undefined;
  }

  deliver(stanza: Stanza, session: Session): void {
    const filters = this.registry.stages.delivering[stanza.kind];
    if (filters.length === 0) {
      session.write(stanza);
      return;
    }
    const passed = runStage(filters, stanza, session, undefined, this.#router, undefined);
    if (passed === undefined) return;
    if (passed instanceof Promise) throw new Error("A handler of the stage 'delivering' must not wait");
    session.write(passed);
  }

  changed(session: Session): void {
    this.#router.elsewhere?.changed(session);
  }

  present(session: Session, to: Jid): undefined | Promise<void> {
    if (session.presence === undefined) return undefined;
    const done = runSessionEvent(this.#router, this, "asked", session, to);
    return done instanceof Promise ? done : undefined;
  }
}
