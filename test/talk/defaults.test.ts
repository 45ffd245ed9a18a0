/** Every feature with the options that a file without any gives it: as they are resolved there, which is not how conversations make them. */
import { expect, test } from "bun:test";
import { AccessRules } from "../../src/config/access.ts";
import { loadConfig } from "../../src/config/load.ts";
import { moduleRegistry } from "../../src/config/option.ts";
import { catalogue } from "../../src/modules/catalogue.ts";
import { createLog } from "../../src/observe/log.ts";
import { SimClock } from "../../src/runtime/sim/clock.ts";
import { SimRandom } from "../../src/runtime/sim/random.ts";
import { startCore } from "../../src/server/core.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { openStore } from "../../src/store/store.ts";
import { onRequest } from "../support/server.ts";

const log = createLog("none");

test("a host with all of them starts, and its groups are those of the defaults", async () => {
  const names = catalogue.flatMap(({ name }) => (onRequest.includes(name) ? [] : [name]));
  const text = `general.hosts = ["localhost"]\n${names.map((name) => `[modules.${name}]\n`).join("")}`;
  const { settings } = loadConfig(text, { file: "m.toml", modules: moduleRegistry(catalogue), environment: {} });
  const options = settings.hosts.get("localhost")!.modules;
  const clock = new SimClock();
  const store = await openStore({ driver: "sqlite", path: ":memory:" }, { clock, log });
  const core = await startCore({
    clock,
    random: new SimRandom(1),
    log,
    store,
    hosts: [
      {
        domain: "localhost",
        modules: catalogue.flatMap((definition) => {
          const given = options.get(definition.name);
          return given === undefined ? [] : [{ definition, options: given as Record<string, unknown> }];
        }),
        access: new AccessRules("localhost", new Set(["localhost"]), new Map(), new Map()),
        hashes: ["sha256"],
        iterations: 4096,
        usersMax: Number.POSITIVE_INFINITY,
      },
    ],
    sessionsPerAccountMax: () => 10,
    requestsMax: 100,
    rememberedSessionsMax: 10,
    unacknowledgedBytesMax: 4 * 2 ** 20,
  });
  const rooms = core.router.hosts.get("localhost")!.registry.service("lightRooms")!;
  const made = await rooms.create(parseJid("alice@localhost")!, "den", []);
  expect(made).toMatchObject({ jid: "den@muclight.localhost", name: "Untitled", subject: "" });
  await core.stop();
  await store.close();
});
