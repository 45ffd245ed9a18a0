/** The `meerkat` command against the started server: what it prints, in a pipe and on a terminal, and how it ends. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { selfSigned } from "../../src/runtime/bun/certificate.ts";
import { configText, startServer, type TestServer } from "../support/server.ts";

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));
const command = join(root, "bin/meerkat");
/** util-linux's, which gives a program a terminal of its own. */
const script = "/usr/bin/script";

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

let server: TestServer;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "meerkat-cli-e2e-"));
  server = await startServer();
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

function meerkat(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { MEERKAT_DATA: _, MEERKAT_CONFIG: __, ...environment } = process.env;
  const child = spawn(command, args, { cwd: options.cwd ?? folder, env: { ...environment, ...options.env } });
  child.stdin.end(options.input ?? "");
  return ended(child);
}

function ended(child: ChildProcess): Promise<Ended> {
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    err += chunk;
  });
  return new Promise((done) => child.once("close", (code) => done({ code, out, err })));
}

/** The certificate that new connections get. */
function fingerprint(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(
      { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["xmpp-client"] },
      () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      },
    );
    socket.once("error", reject);
  });
}

/** `meerkat ctl` of the server of these tests. */
const ctl = (args: string, options: RunOptions = {}): Promise<Ended> =>
  meerkat(["ctl", ...args.split(" ")], { ...options, env: { MEERKAT_DATA: server.dataDir } });

async function result(args: string, options: RunOptions = {}): Promise<unknown> {
  const { code, out, err } = await ctl(args, options);
  expect(err).toBe("");
  expect(code).toBe(0);
  return JSON.parse(out);
}

/** The command on a terminal: what the screen showed, standard error included. */
function onTerminal(args: string, options: { type?: (child: ChildProcess, shown: string) => void } = {}) {
  const env = { ...process.env, MEERKAT_DATA: server.dataDir, TERM: "xterm", NO_COLOR: "1" };
  const child = spawn(script, ["-qefc", `stty cols 120; exec '${command}' ${args}`, "/dev/null"], { cwd: folder, env });
  let shown = "";
  child.stdout.on("data", (chunk: Buffer) => {
    shown += chunk;
    options.type?.(child, shown);
  });
  return new Promise<{ code: number | null; shown: string }>((done) =>
    child.once("close", (code) => done({ code, shown: shown.replaceAll("\r\n", "\n") })),
  );
}

/** A client over WebSocket (RFC 7395) that logs in with the password "secret", and then only listens. */
async function connect(username: string, resource: string): Promise<{ readonly streamError: Promise<string> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${server.httpPort}/ws-xmpp`, ["xmpp"]);
  const received: string[] = [];
  const waiting: { readonly part: string; take(frame: string): void }[] = [];
  socket.addEventListener("message", ({ data }) => {
    const at = waiting.findIndex(({ part }) => String(data).includes(part));
    if (at >= 0) waiting.splice(at, 1)[0]!.take(String(data));
    else received.push(String(data));
  });
  const frame = (part: string): Promise<string> => {
    const at = received.findIndex((text) => text.includes(part));
    if (at >= 0) return Promise.resolve(received.splice(at, 1)[0]!);
    return new Promise((take) => waiting.push({ part, take }));
  };
  await new Promise((opened, failed) => {
    socket.addEventListener("open", opened);
    socket.addEventListener("error", () => failed(new Error("the WebSocket did not open")));
  });
  const open = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="localhost" version="1.0"/>';
  socket.send(open);
  await frame("PLAIN</mechanism>");
  const plain = Buffer.from(`\0${username}\0secret`).toString("base64");
  socket.send(`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">${plain}</auth>`);
  await frame("<success");
  socket.send(open);
  await frame("urn:ietf:params:xml:ns:xmpp-bind");
  const bind = `<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><resource>${resource}</resource></bind>`;
  socket.send(`<iq xmlns="jabber:client" type="set" id="bind">${bind}</iq>`);
  await frame(`@localhost/${resource}</jid>`);
  return { streamError: frame("urn:ietf:params:xml:ns:xmpp-streams") };
}

describe("accounts", () => {
  test("are made with a password from standard input, and can log in with it", async () => {
    expect(
      await result("account registerUser --domain localhost --username alice --password -", { input: "grün\n" }),
    ).toEqual({ jid: "alice@localhost", message: "User alice@localhost successfully registered" });
    const check = "account checkPassword --user alice@localhost --password -";
    expect(await result(check, { input: "grün\n" })).toMatchObject({ correct: true });
    expect(await result(check, { input: "gruen\n" })).toMatchObject({ correct: false });
  });

  test("a password on the command line works, with a warning", async () => {
    const { code, out, err } = await ctl("account registerUser --domain localhost --username bob --password secret");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ jid: "bob@localhost" });
    expect(err).toContain("warning: --password on the command line is visible to other users");
  });

  test("one that exists is refused plainly", async () => {
    await ctl("account registerUser --domain localhost --username twice --password -", { input: "x\n" });
    const again = await ctl("account registerUser --domain localhost --username twice --password -", { input: "x\n" });
    expect(again).toEqual({ code: 1, out: "", err: "meerkat: twice@localhost exists already\n" });
  });

  test("change, are listed, counted and removed", async () => {
    await result("account registerUser --domain localhost --username zoe --password -", { input: "old\n" });
    await result("account changeUserPassword --user zoe@localhost --newPassword -", { input: "new\n" });
    expect(await result("account checkPassword --user zoe@localhost --password -", { input: "new\n" })).toMatchObject({
      correct: true,
    });
    const before = (await result("account listUsers --domain localhost")) as string[];
    expect(before).toContain("zoe@localhost");
    expect(await result("account countUsers --domain localhost")).toBe(before.length);
    await result("account removeUser --user zoe@localhost");
    expect(await result("account listUsers --domain localhost")).toEqual(
      before.filter((name) => name !== "zoe@localhost"),
    );
    expect(await ctl("account removeUser --user zoe@localhost")).toMatchObject({
      code: 1,
      err: "meerkat: There is no account zoe@localhost\n",
    });
  });

  test("of a domain we do not serve are refused", async () => {
    const { code, err } = await ctl("account countUsers --domain elsewhere.example");
    expect({ code, err }).toEqual({ code: 1, err: "meerkat: This server does not serve elsewhere.example\n" });
  });
});

describe("importing", () => {
  const lines = (count: number, name: string) =>
    Array.from({ length: count }, (_, index) => `${name}${index},localhost,secret${index}\n`).join("");

  test("takes a file named relative to the current folder, and tells what became of each record", async () => {
    const bad = "two,fields\nx,elsewhere.example,secret\nnopassword,localhost,\n@@,localhost,secret\n";
    writeFileSync(join(folder, "users.csv"), lines(200, "imported") + bad);
    expect(await result("account importUsers --filename users.csv")).toEqual({
      status: "Completed",
      created: 200,
      existing: [],
      notAllowed: ["x@elsewhere.example"],
      invalidJID: ["@@@localhost"],
      emptyPassword: ["nopassword@localhost"],
      invalidRecord: ["two"],
    });
    const check = "account checkPassword --user imported199@localhost --password -";
    expect(await result(check, { input: "secret199\n" })).toMatchObject({ correct: true });
    expect(await result("account importUsers --filename users.csv")).toMatchObject({
      created: 0,
      existing: expect.arrayContaining(["imported0@localhost", "imported199@localhost"]),
    });
  });

  test("a file that is not there is named", async () => {
    const { code, err } = await ctl("account importUsers --filename nothing.csv");
    expect(code).toBe(1);
    expect(err).toBe(`meerkat: ${join(folder, "nothing.csv")} cannot be read: no such file or directory\n`);
  });

  test.skipIf(!existsSync(script))("shows a bar on a terminal", async () => {
    writeFileSync(join(folder, "more.csv"), lines(600, "more"));
    const { code, shown } = await onTerminal("ctl account importUsers --filename more.csv");
    expect(code).toBe(0);
    expect(shown).toContain("0% | 0 of 600");
    expect(shown).toContain("100% | 600 of 600");
    expect(shown).toMatch(/\ncreated +600\n/);
  });

  // It takes the whole machine for about a minute, so it exists only when asked for: no skipped test in CI.
  if (process.env.MEERKAT_SLOW_TESTS === "1") {
    test("100,000 users in under a minute", async () => {
      writeFileSync(join(folder, "many.csv"), lines(100_000, "many"));
      const started = performance.now();
      expect(await result("account importUsers --filename many.csv")).toMatchObject({ created: 100_000 });
      const seconds = (performance.now() - started) / 1000;
      console.log(`100,000 users imported in ${seconds.toFixed(1)} s`);
      expect(seconds).toBeLessThan(60);
    }, 180_000);
  }
});

describe("sessions", () => {
  test("are listed, and kicked with a reason", async () => {
    await ctl("account registerUser --domain localhost --username carol --password -", { input: "secret\n" });
    const carol = await connect("carol", "phone");
    expect(await result("session listUserSessions --user carol@localhost")).toEqual([
      expect.objectContaining({ user: "carol@localhost/phone", ip: "127.0.0.1", port: expect.any(Number) }),
    ]);
    if (existsSync(script)) {
      const { shown } = await onTerminal("ctl session listSessions");
      expect(shown).toMatch(/^user +connection +ip +port +priority +node +uptime$/m);
      expect(shown).toMatch(/^carol@localhost\/phone +\S+ +127\.0\.0\.1 +\d+ +/m);
    }
    expect(await result("session kickUser --user carol@localhost --reason maintenance")).toEqual([
      { jid: "carol@localhost/phone", kicked: true, message: "Session kicked" },
    ]);
    expect(await carol.streamError).toContain("maintenance");
    expect(await result("session countUserResources --user carol@localhost")).toBe(0);
  });
});

describe("the cluster", () => {
  test("is off, and the overview says so", async () => {
    expect(await result("cluster")).toMatchObject({
      cluster: null,
      note: expect.stringContaining("the cluster is off"),
      nodes: [{ state: "self", version: "0.1.0" }],
      problems: [],
    });
    if (!existsSync(script)) return;
    const { shown } = await onTerminal("ctl cluster");
    expect(shown).toMatch(/^note +This node is alone/m);
    expect(shown).toMatch(/^name +version +state +sessions +uptime$/m);
    expect(JSON.parse((await onTerminal("ctl cluster --json")).shown)).toMatchObject({ cluster: null, tables: [] });
  });
});

describe("how it ends", () => {
  test("0: status, in a pipe and on a terminal", async () => {
    const { code, out } = await meerkat(["status", "--data", server.dataDir]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ statusCode: "RUNNING", version: "0.1.0", dataDir: server.dataDir });
    if (!existsSync(script)) return;
    const { shown } = await onTerminal("status");
    expect(shown).toMatch(/^Node \S+ is running \(Meerkat 0\.1\.0, .*\)\n$/);
    expect(JSON.parse((await onTerminal("status --json")).shown)).toMatchObject({ statusCode: "RUNNING" });
  });

  test("2: used wrongly, before the node is asked", async () => {
    const { code, err } = await ctl("acount listUsers --domain localhost");
    expect(code).toBe(2);
    expect(err).toContain("Did you mean 'meerkat ctl account'?");
    expect((await ctl("account listUsers")).err).toContain("--domain: one of the server's hosts");
  });

  test("3: no node there", async () => {
    const dataDir = join(folder, "empty");
    for (const args of [["status"], ["stop"], ["ctl", "server", "status"]]) {
      const { code, out, err } = await meerkat([...args, "--data", dataDir]);
      expect({ code, out }).toEqual({ code: 3, out: "" });
      expect(err).toContain(`no node is running with the data folder ${dataDir}`);
    }
  });

  test("a clone's own data folder is meant from anywhere", async () => {
    // Whether somebody runs that node is not for this test to know; both answers name the folder.
    const { out, err } = await meerkat(["status"], { cwd: "/" });
    expect(out + err).toContain(join(root, "data"));
  });

  test("a reader that goes away is no failure", async () => {
    const child = spawn("sh", ["-c", `'${command}' ctl account listUsers --domain localhost | head -n 1`], {
      env: { ...process.env, MEERKAT_DATA: server.dataDir },
    });
    expect(await ended(child)).toEqual({ code: 0, out: "[\n", err: "" });
  });

  test("the socket is its owner's alone", () => {
    expect(statSync(join(server.dataDir, "meerkat.sock")).mode & 0o777).toBe(0o600);
    expect(statSync(server.dataDir).mode & 0o077).toBe(0);
  });

  test("help and version", async () => {
    const version = await meerkat(["--version"]);
    expect(version).toEqual({ code: 0, out: "0.1.0\n", err: "" });
    const help = await meerkat(["ctl", "account", "registerUser", "--help"]);
    expect(help.code).toBe(0);
    expect(help.out).toContain("$ echo secret | meerkat ctl account registerUser --domain localhost");
    const nothing = await meerkat([]);
    expect(nothing).toMatchObject({ code: 2, out: "" });
    expect(nothing.err).toContain("Usage: meerkat");
  });
});

describe.skipIf(!existsSync(script))("a password typed on a terminal", () => {
  test("is not asked for when there is no node", async () => {
    const dataDir = join(folder, "empty");
    const args = `ctl --data '${dataDir}' account registerUser --domain localhost --password -`;
    const { code, shown } = await onTerminal(args);
    expect(code).toBe(3);
    expect(shown).toStartWith(`meerkat: no node is running with the data folder ${dataDir}\n`);
  });

  test("is asked for twice, and never shown", async () => {
    let answered = 0;
    const { code, shown } = await onTerminal(
      "ctl account registerUser --domain localhost --username typed --password -",
      {
        type(child, screen) {
          const asked = screen.match(/--password( again)?: /g)?.length ?? 0;
          if (asked > answered) {
            answered = asked;
            child.stdin!.write("hidden-word\r");
          }
        },
      },
    );
    expect(shown).toContain("--password: \n--password again: \n");
    expect(shown).not.toContain("hidden-word");
    expect(code).toBe(0);
    const check = "account checkPassword --user typed@localhost --password -";
    expect(await result(check, { input: "hidden-word\n" })).toMatchObject({ correct: true });
  });
});

describe("config", () => {
  function file(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  test("check names every problem with its place", async () => {
    const good = file("good.toml", configText({}));
    expect(await meerkat(["config", "check", good])).toMatchObject({ code: 0, out: `${good}: nothing wrong\n` });
    const bad = file("bad.toml", '[general]\nhosts = ["localhost"]\nloglevel = "loud"\n[limits]\ndepth_maxx = 3\n');
    const { code, out, err } = await meerkat(["config", "check", bad]);
    expect(code).toBe(1);
    expect(out).toStartWith(`${bad}:3:1: general.loglevel: found "loud"; allowed: "none"`);
    expect(out).toMatch(/:5:1: limits\.depth_maxx: unknown option; did you mean "depth_max"\?/);
    expect(err).toBe(`meerkat: 2 problems in ${bad}\n`);
    expect((await meerkat(["config", "check", "bad.toml"])).out).toStartWith("bad.toml:3:1: ");
  });

  test("show masks secrets and tells where values come from", async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the configuration's own way to name the environment
    const database = 'driver = "pgsql"\nhost = "db"\ndatabase = "m"\nusername = "m"\npassword = "${DB_PASSWORD}"';
    const path = file("secret.toml", configText({ database }));
    const env = { DB_PASSWORD: "not-to-be-seen" };
    const json = await meerkat(["config", "show", "--config", path, "--json"], { env });
    expect(json.code).toBe(0);
    const shown = new Map<string, { value: unknown; origin: string }>(
      JSON.parse(json.out).map((entry: { option: string; value: unknown; origin: string }) => [entry.option, entry]),
    );
    expect(shown.get("general.hosts")).toMatchObject({ value: ["localhost"], origin: `${path}:3` });
    expect(shown.get("outgoing_pools.rdbms.default.connection.password")).toMatchObject({ value: "********" });
    expect(shown.get("general.language")?.origin).toBe("default");
    const text = await meerkat(["config", "show", "--config", path], { env });
    expect(text.out).toMatch(/^password = "\*+" +# environment DB_PASSWORD /m);
    expect(text.out + json.out).not.toContain("not-to-be-seen");
    expect(await meerkat(["config", "show", "--config", path])).toMatchObject({
      code: 1,
      err: expect.stringContaining("the environment variable DB_PASSWORD is not set"),
    });
  });
});

describe("start and stop", () => {
  function start(config: string, data: string): ChildProcess & { readonly end: Promise<Ended> } {
    const child = spawn(command, ["start", "--config", config, "--data", data], { stdio: ["ignore", "pipe", "pipe"] });
    return Object.assign(child, { end: ended(child) });
  }

  async function answers(data: string): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      if ((await meerkat(["status", "--data", data])).code === 0) return;
    }
    throw new Error("the node never answered");
  }

  test("a second start keeps all data, and stop waits for the end", async () => {
    const config = join(folder, "twice.toml");
    const data = join(folder, "twice");
    writeFileSync(config, configText({}));
    const first = start(config, data);
    await answers(data);
    await meerkat(["ctl", "account", "registerUser", "--domain", "localhost", "--username", "ann", "--password", "-"], {
      input: "secret\n",
      env: { MEERKAT_DATA: data },
    });

    const rival = await start(config, data).end;
    expect(rival.code).toBe(1);
    expect(rival.err).toContain("is running already with this data folder");

    const pid = Number(readFileSync(join(data, "meerkat.pid"), "utf8"));
    expect(pid).toBe(first.pid!);
    expect(await meerkat(["stop", "--data", data])).toEqual({ code: 0, out: "", err: "" });
    expect(existsSync(join(data, "meerkat.sock"))).toBe(false);
    expect(existsSync(join(data, "meerkat.pid"))).toBe(false);
    expect((await first.end).code).toBe(0);

    const second = start(config, data);
    await answers(data);
    const listed = await meerkat(["ctl", "account", "listUsers", "--domain", "localhost", "--data", data]);
    expect(JSON.parse(listed.out)).toEqual(["ann@localhost"]);
    second.kill("SIGTERM");
    expect((await second.end).code).toBe(0);
  });

  test("SIGHUP reads certificates and the log level again, and says what has to wait", async () => {
    await using own = await startServer();
    const config = join(own.dataDir, "meerkat.toml");
    const before = await fingerprint(own.tlsPort);
    const made = await selfSigned(["localhost"]);
    writeFileSync(join(own.dataDir, "tls/self-signed.key"), made.key);
    writeFileSync(join(own.dataDir, "tls/self-signed.crt"), made.certificate);
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace('loglevel = "info"', 'loglevel = "debug"\nlanguage = "de"'));
    process.kill(own.pid, "SIGHUP");
    const logged = (part: string) => own.log.find((line) => line.includes(part));
    // Each question is an answer later than the signal.
    for (let tries = 0; tries < 50 && logged("read again;") === undefined; tries++) await own.ctl("server", "status");
    expect(logged("these options need a restart")).toContain('"options":["general.language"]');
    expect(await own.ctl("server", "getLoglevel")).toBe("DEBUG");
    expect(await fingerprint(own.tlsPort)).not.toBe(before);

    writeFileSync(config, "[general]\nhosts = 3\n");
    process.kill(own.pid, "SIGHUP");
    for (let tries = 0; tries < 50 && logged("was not read again") === undefined; tries++)
      await own.ctl("server", "status");
    expect(logged("was not read again")).toContain("general.hosts: found 3");
  });

  test("a bad configuration is refused without a stack trace", async () => {
    const config = join(folder, "refused.toml");
    writeFileSync(config, "[general]\nhosts = 3\n");
    const { code, out, err } = await start(config, join(folder, "refused")).end;
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(`${config}:2:1: general.hosts: found 3; allowed: an array of at least 1`);
    expect(err).not.toContain("    at ");
    expect(existsSync(join(folder, "refused"))).toBe(false);
  });

  test("a port that is taken is named with its option", async () => {
    const rival = createServer();
    await new Promise<void>((listening) => rival.listen(0, "127.0.0.1", listening));
    const { port } = rival.address() as { port: number };
    const config = join(folder, "taken.toml");
    writeFileSync(config, configText({}).replace("port = 0", `port = ${port}`));
    const { code, err } = await start(config, join(folder, "taken")).end;
    rival.close();
    expect(code).toBe(1);
    expect(err).toContain(`port ${port} of 127.0.0.1 is taken by another program\n`);
    expect(err).toMatch(/listen\.c2s\[0\]\.port changes it \(.*\/taken\.toml:\d+\)/);
    expect(err).not.toContain("    at ");
  });

  test.skipIf(!existsSync(script))("on a terminal it says what is open, and Ctrl-C stops it", async () => {
    const config = join(folder, "shown.toml");
    writeFileSync(config, configText({}));
    let pressed = false;
    const { code, shown } = await onTerminal(`start --config '${config}' --data '${join(folder, "shown")}'`, {
      type(child, screen) {
        if (pressed || !screen.includes("Stop with Ctrl-C")) return;
        pressed = true;
        child.stdin!.write("\u0003");
      },
    });
    expect(code).toBe(0);
    expect(shown).toMatch(/127\.0\.0\.1:\d+ +XMPP clients \(STARTTLS\)/);
    expect(shown).toContain("Stopping; press Ctrl-C again");
  });
});
