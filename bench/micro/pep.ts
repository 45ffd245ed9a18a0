/**
 * What publishing to a personal node costs in CPU: an account with 100 contacts online whose clients want the node, all
 * on this node, on SQLite in memory; and the same number of plain headlines handed to the same sessions.
 */
import { loadConfig } from "../../src/config/load.ts";
import { moduleRegistry } from "../../src/config/option.ts";
import type { InstalledModule } from "../../src/hooks/define-module.ts";
import { catalogue } from "../../src/modules/catalogue.ts";
import { runSessionEvent, takeFromClient } from "../../src/router/from-client.ts";
import { systemClock } from "../../src/runtime/bun/clock.ts";
import { systemRandom } from "../../src/runtime/bun/random.ts";
import { startCore } from "../../src/server/core.ts";
import { Session, type SessionLink } from "../../src/session/session.ts";
import { Jid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { message, stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { openStore } from "../../src/store/store.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { raw } from "../../src/xml/xml.ts";
import { report } from "../measure/timing.ts";

const domain = "example.com";
const contacts = 100;
const publications = 500;
const rounds = 5;
const node = "urn:example:tune";
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

const wanted = new Set([
  "mod_disco",
  "mod_caps",
  "mod_roster",
  "mod_presence",
  "mod_blocking",
  "mod_pubsub",
  "mod_csi",
]);
const modules = catalogue.filter(({ name }) => wanted.has(name));
const toml = `general.hosts = ["${domain}"]\n${modules.map(({ name }) => `[modules.${name}]`).join("\n")}`;
const { settings } = loadConfig(toml, { file: "bench.toml", modules: moduleRegistry(catalogue) });
const plan = settings.hosts.get(domain)!;
const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock: systemClock, log });
const core = await startCore({
  clock: systemClock,
  random: systemRandom,
  log,
  store,
  hosts: [
    {
      domain,
      modules: modules.map(
        (definition): InstalledModule => ({ definition, options: plan.modules.get(definition.name)! }),
      ),
      access: plan.access,
      hashes: ["sha1"],
      iterations: 4096,
      usersMax: contacts + 1,
    },
  ],
  sessionsPerAccountMax: () => 10,
  requestsMax: 1000,
  rememberedSessionsMax: 100,
  unacknowledgedBytesMax: 4 * 2 ** 20,
});
const host = core.router.hosts.get(domain)!;
const link: SessionLink = {
  send: (stanza) => {
    delivered += stanza.toXml().length > 0 ? 1 : 0;
  },
  close: silent,
  part: silent,
  remoteAddress: "127.0.0.1",
  remotePort: 1,
  secure: false,
  transport: "tcp",
};
const sessions: Session[] = [];
const roster = host.registry.service("roster")!;
const owner = Jid.of("owner", domain);
// What clients want is told by their capabilities; here all of them have said so already.
const features = [`${node}+notify`];
const questions = host.registry as unknown as { ask(name: string, ...args: unknown[]): unknown };
const ask = questions.ask.bind(questions);
questions.ask = (name, ...args) => (name === "clientFeatures" ? features : ask(name, ...args));

for (let index = 0; index <= contacts; index++) {
  const account = index === contacts ? owner : Jid.of(`user${index}`, domain);
  await core.accounts.register(account, "secret");
  const session = new Session(index, account.withResource("phone"), host, link, 0);
  core.router.sessions.add(session);
  await runSessionEvent(core.router, host, "opened", session);
  await takeFromClient(core.router, host, session, stanzaFromFrame(parseFrame("<presence/>", undefined, ns.client))!);
  sessions.push(session);
  if (account !== owner) await roster.setMutual({ account: owner }, { account }, "connect").catch(() => undefined);
}
for (const { account } of sessions.slice(0, contacts)) {
  await roster.setMutual({ account: owner }, { account }, "connect");
}

const publisher = sessions[contacts]!;
const payload = `<tune xmlns='${node}'><artist>Finzi</artist><title>Introduction (Allegro vigoroso)</title></tune>`;
const request = `<iq type='set' id='p'><pubsub xmlns='${ns.pubsub}'><publish node='${node}'><item id='current'>${payload}</item></publish></pubsub></iq>`;

/** CPU milliseconds of this process for one call, the best of some rounds. */
async function cpuOf(run: () => Promise<void> | void): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    for (let call = 0; call < publications; call++) await run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000 / publications);
  }
  return best;
}

const publish = () =>
  takeFromClient(core.router, host, publisher, stanzaFromFrame(parseFrame(request, undefined, ns.client))!);
await publish();
delivered = 0;
const whole = await cpuOf(publish);
// Each publication reaches the contacts and the publisher, who also gets the answer.
if (delivered !== (contacts + 2) * publications * rounds) throw new Error(`${delivered} stanzas were delivered`);
const headline = message({ from: owner, type: "headline", id: "x", payload: raw(payload) });
void headline.children;
const plain = await cpuOf(() => {
  for (const session of sessions) session.deliver(headline.withTo(session.jid));
});
report(`publication to ${contacts} contacts`, whole * 1000, "us CPU");
report(`${contacts} plain headlines`, plain * 1000, "us CPU");
report("of a publication, for each contact", (whole * 1000) / contacts, "us CPU", 1);
await core.stop();
process.exit(0);
