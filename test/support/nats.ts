/** NATS for tests: the server that runs here, or one started out of an installed binary; and servers of a test's own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "./databases.ts";
import { freePort } from "./free-port.ts";

const binary = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"].find(existsSync);
const startTimeoutMs = 30_000;

/** Whether tests can start servers of their own. */
export const natsInstalled = binary !== undefined;

/** A server of a test's own, which can be killed, paused and started again on the same port. */
export class OwnNats {
  readonly port: number;
  readonly #folder: string;
  #process: ChildProcess | undefined = undefined;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
  }

  /** With the lines of a configuration file; FOLDER in them is replaced by that of `files`. */
  static async start(config = "", files: Readonly<Record<string, string>> = {}): Promise<OwnNats> {
    const folder = mkdtempSync(join(tmpdir(), "meerkat-nats-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const nats = new OwnNats(await freePort(), folder);
    await nats.up(config);
    return nats;
  }

  get url(): string {
    return `127.0.0.1:${this.port}`;
  }

  path(file: string): string {
    return join(this.#folder, file);
  }

  async up(config = ""): Promise<void> {
    const file = this.path("nats.conf");
    writeFileSync(file, `host: "127.0.0.1"\nport: ${this.port}\n${config.replaceAll("FOLDER", this.#folder)}\n`);
    this.#process = spawn(binary!, ["-c", file, "-l", this.path("log")], { stdio: "ignore" });
    await untilAnswers(this.port, this.#process);
  }

  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined) return;
    const gone = new Promise<void>((resolve) => process.once("exit", () => resolve()));
    process.kill("SIGCONT");
    process.kill("SIGKILL");
    await gone;
  }

  pause(): void {
    this.#process!.kill("SIGSTOP");
  }

  resume(): void {
    this.#process!.kill("SIGCONT");
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export interface SharedNats {
  readonly servers: readonly string[];
  /** Why there is none here; undefined when there is. */
  readonly unavailable: string | undefined;
}

let shared: Promise<SharedNats> | undefined;

/** One for all tests of this process that only need some server. */
export function sharedNats(): Promise<SharedNats> {
  shared ??= findOrStart();
  return shared;
}

async function findOrStart(): Promise<SharedNats> {
  if (await answers(4222)) return { servers: ["127.0.0.1:4222"], unavailable: undefined };
  if (binary === undefined) return { servers: [], unavailable: "no NATS server runs here and none is installed" };
  const port = await freePort();
  // It ends when the pipe to it closes, and that happens however this process ends.
  const watch = `"$@" & server=$!; cat >/dev/null; kill -9 $server 2>/dev/null`;
  const keeper = spawn("sh", ["-c", watch, "sh", binary, "-a", "127.0.0.1", "-p", String(port)], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  keeper.unref();
  (keeper.stdin as unknown as { unref?(): void } | null)?.unref?.();
  await untilAnswers(port, keeper);
  return { servers: [`127.0.0.1:${port}`], unavailable: undefined };
}

/** A certificate for localhost and its key, made with openssl; undefined where that is not installed. */
export function selfSigned(): { cert: string; key: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "meerkat-tls-"));
  const [cert, key] = [join(folder, "c.pem"), join(folder, "k.pem")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const { status } = spawnSync("openssl", [...args, ...names, "-keyout", key, "-out", cert], { stdio: "ignore" });
  if (status !== 0) return undefined;
  return { cert, key };
}

function answers(port: number): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function untilAnswers(port: number, process: ChildProcess): Promise<void> {
  const deadline = performance.now() + startTimeoutMs;
  while (!(await answers(port))) {
    if (process.exitCode !== null || performance.now() > deadline) throw new Error("nats-server did not start");
    await new Promise<void>((resolve) => realClock.after(20, resolve));
  }
}
