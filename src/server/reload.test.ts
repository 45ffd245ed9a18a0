/** Reading again: what is taken up, what is named as waiting, and what a bad file or certificate leaves alone. */
import { expect, test } from "bun:test";
import { type Config, loadConfig } from "../config/load.ts";
import { moduleRegistry } from "../config/option.ts";
import { catalogue } from "../modules/catalogue.ts";
import { createLog } from "../observe/log.ts";
import { reload } from "./reload.ts";

const toml = (general: string, more = "") => `
[general]
hosts = ["localhost"]
${general}
[[listen.c2s]]
port = 5222
${more}
`;
const config = (text: string): Config => loadConfig(text, { modules: moduleRegistry(catalogue) });

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly options?: readonly string[];
  readonly problems?: readonly string[];
}

function reloaded(before: string, after: string, certificates: () => void = () => undefined) {
  const lines: Line[] = [];
  const log = createLog("info", { pretty: false, destination: { write: (line) => void lines.push(JSON.parse(line)) } });
  reload({ running: config(before), log, certificates: { reload: certificates }, load: () => config(after) });
  return { lines, level: log.level };
}

test("the log level and certificates are taken up", () => {
  let certificates = 0;
  const { lines, level } = reloaded(toml('loglevel = "info"'), toml('loglevel = "debug"'), () => certificates++);
  expect(level).toBe("debug");
  expect(certificates).toBe(1);
  expect(lines.map((line) => line.msg)).toEqual(["certificates were read again", "the configuration was read again"]);
});

test("what needs a restart is named", () => {
  const after = toml(
    'language = "de"',
    "max_stanza_size = 20000\n[[listen.c2s]]\nport = 5300\n[modules.mod_roster]\n[shaper.slow]\nmax_rate = 1000",
  );
  const { lines } = reloaded(toml("", "[modules.mod_ping]"), after);
  expect(lines.at(-1)).toMatchObject({
    level: "warn",
    loglevel: "warning",
    msg: "the configuration was read again; these options need a restart",
  });
  const options = lines.at(-1)!.options!;
  for (const option of [
    "general.language",
    "listen.c2s[0].max_stanza_size",
    "listen.c2s[1]",
    "modules.mod_roster",
    "modules.mod_ping",
    "shaper",
  ])
    expect(options).toContain(option);
  expect(options).not.toContain("listen.c2s[0].port");
  expect(options).not.toContain("general");
});

test("a bad file changes nothing and says what is wrong with it", () => {
  const { lines, level } = reloaded(toml(""), toml('loglevel = "loud"'));
  expect(level).toBe("info");
  expect(lines.at(-1)).toMatchObject({ level: "error" });
  expect(lines.at(-1)!.problems![0]).toContain('general.loglevel: found "loud"');
});

test("a bad certificate leaves the old ones, and the rest is read", () => {
  const { lines, level } = reloaded(toml(""), toml('loglevel = "warning"'), () => {
    throw new Error("no certificate in it");
  });
  expect(lines[0]).toMatchObject({ level: "error", msg: "a certificate cannot be used; the old ones stay" });
  expect(level).toBe("warning");
});
