/**
 * What a stanza costs between scanner and socket: a frame becomes a stanza, is stamped, passes the stages of every
 * module that ships, is routed, and is handed to the recipient's stream. Scanning and writing have their own benchmarks.
 */
import { loadConfig } from "../../src/config/load.ts";
import { moduleRegistry } from "../../src/config/option.ts";
import type { InstalledModule, ModuleDefinition } from "../../src/hooks/define-module.ts";
import { catalogue } from "../../src/modules/catalogue.ts";
import { runSessionEvent, takeFromClient } from "../../src/router/from-client.ts";
import { systemClock } from "../../src/runtime/bun/clock.ts";
import { systemRandom } from "../../src/runtime/bun/random.ts";
import { type Core, startCore } from "../../src/server/core.ts";
import { Session, type SessionLink } from "../../src/session/session.ts";
import { Jid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { openStore } from "../../src/store/store.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { bestOf, report } from "../measure/timing.ts";
import { modules as modulesOfBench } from "../servers/meerkat.ts";

const domain = "example.com";
const users = 1000;
const calls = 50_000;
const silent = () => {};
const log = {
  fatal: console.error,
  error: console.error,
  warn: silent,
  info: silent,
  debug: silent,
  trace: silent,
  child: () => log,
};
let delivered = 0;

async function coreWith(modules: readonly ModuleDefinition[]): Promise<Core> {
  const toml = `general.hosts = ["${domain}"]\n${modules.map(({ name }) => `[modules.${name}]`).join("\n")}`;
  const { settings } = loadConfig(toml, { file: "bench.toml", modules: moduleRegistry(catalogue) });
  const host = settings.hosts.get(domain)!;
  const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock: systemClock, log });
  return startCore({
    clock: systemClock,
    random: systemRandom,
    log,
    store,
    hosts: [
      {
        domain,
        modules: modules.map(
          (definition): InstalledModule => ({ definition, options: host.modules.get(definition.name)! }),
        ),
        access: host.access,
        hashes: ["sha1"],
        iterations: 4096,
        usersMax: users,
      },
    ],
    sessionsPerAccountMax: () => 10,
    requestsMax: 100,
    rememberedSessionsMax: 100,
    unacknowledgedBytesMax: 4 * 2 ** 20,
  });
}

async function sessionsOf(core: Core): Promise<Session[]> {
  const host = core.router.hosts.get(domain)!;
  const link: SessionLink = {
    send: () => void delivered++,
    close: silent,
    part: silent,
    remoteAddress: "127.0.0.1",
    remotePort: 1,
    secure: false,
    transport: "tcp",
  };
  const sessions: Session[] = [];
  for (let index = 0; index < users; index++) {
    const session = new Session(index, Jid.of(`user${index}`, domain, "phone"), host, link, 0);
    core.router.sessions.add(session);
    await runSessionEvent(core.router, host, "opened", session);
    const available = stanzaFromFrame(parseFrame("<presence/>", undefined, ns.client))!;
    await takeFromClient(core.router, host, session, available);
    sessions.push(session);
  }
  return sessions;
}

const usual = catalogue.filter(({ name }) => modulesOfBench.includes(name));
for (const [name, modules] of [
  ["no modules", []],
  ["all modules", usual],
] as const) {
  const core = await coreWith(modules);
  const host = core.router.hosts.get(domain)!;
  const sessions = await sessionsOf(core);
  for (const [kind, textFor] of [
    [
      "chat to a full address",
      (to: Jid) => `<message to='${to.full}' type='chat' id='m1'><body>Good night!</body></message>`,
    ],
    [
      "chat to an account",
      (to: Jid) => `<message to='${to.bare}' type='chat' id='m1'><body>Good night!</body></message>`,
    ],
    ["presence to a full address", (to: Jid) => `<presence to='${to.full}'><show>away</show></presence>`],
  ] as const) {
    const frames = sessions.map((_, index) => parseFrame(textFor(sessions[index ^ 1]!.jid), undefined, ns.client));
    const before = delivered;
    const waits: Promise<void>[] = [];
    const cost = bestOf(calls, () => {
      for (let call = 0; call < calls; call++) {
        const index = call % users;
        const done = takeFromClient(core.router, host, sessions[index]!, stanzaFromFrame(frames[index]!)!);
        if (done !== undefined) waits.push(done);
      }
    });
    await Promise.all(waits);
    if (delivered === before) throw new Error(`${kind}: nothing was delivered`);
    report(`${kind}, ${name}`, cost, "ns");
  }
  await core.stop();
}
process.exit(0);
