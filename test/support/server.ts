/** Starts the real server as a process of its own, on free ports with a fresh data folder, for tests from outside. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { askNode } from "../../src/cli/admin-client.ts";
import { catalogue } from "../../src/modules/catalogue.ts";

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));
/** Twenty may start at once, on a machine that does other things too. */
const startTimeoutMs = 100_000;

export interface TestServer {
  readonly c2sPort: number;
  readonly tlsPort: number;
  readonly httpPort: number;
  /** Of `https`; 0 without it. */
  readonly httpsPort: number;
  readonly dataDir: string;
  readonly pid: number;
  /** What the server has logged so far, a JSON object a line. */
  readonly log: readonly string[];
  /** Has the node run a command of `ctl`, without the process of one: for what is prepared or waited for, where the command is not the subject. */
  ask(category: string, command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Runs `meerkat ctl …`; resolves to what it printed, parsed. Throws what it complained of. */
  ctl(...args: string[]): Promise<unknown>;
  /** Makes an account with the password "secret". */
  register(username: string, domain?: string): Promise<void>;
  /** Ends the process with this signal and waits until it is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same data folder, after `kill`; ports may change. */
  restart(): Promise<void>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestServerPlan {
  /** Replaces the `[modules.…]` tables. */
  readonly modules?: string;
  /** TOML added to the end. */
  readonly extra?: string;
  readonly hosts?: readonly string[];
  /** TOML of `[outgoing_pools.rdbms.default.connection]`. */
  readonly database?: string;
  /** Lines inside `[general]`. */
  readonly general?: string;
  /** Lines inside each `[[listen.c2s]]`. */
  readonly c2s?: string;
  /** One node, also where tests run with several. */
  readonly alone?: boolean;
  /** Instead of free ones, in the order of the listeners; several processes share them. */
  readonly ports?: readonly number[];
  /** Handlers of the HTTP listener that are left out. */
  readonly without?: readonly string[];
  /** The whole text instead of all the above, with three listeners in the usual order; see `defaultConfig`. */
  readonly config?: string;
  /** Opens a WebSocket over TLS too. */
  readonly https?: boolean;
}

/**
 * Left out unless a test asks for them: registration by strangers; what needs services outside; what stands in for
 * offline messages; the archive, from which clients with Bind 2 read them instead (XEP-0386 section 4).
 */
export const onRequest: readonly string[] = [
  "mod_register",
  "mod_extdisco",
  "mod_push_service_mongoosepush",
  "mod_offline_stub",
  "mod_mam",
];

const allModules = catalogue
  .filter(({ name }) => !onRequest.includes(name))
  .map(({ name }) => `[modules.${name}]`)
  .join("\n");

const httpsText = `
[[listen.http]]
port = 0
ip_address = "127.0.0.1"
[listen.http.tls]
[[listen.http.handlers.mongoose_websocket_handler]]
path = "/ws-xmpp"
`;

/** What `npm start` uses, with free ports of this machine only, and strangers who may register as often as they like. */
export function defaultConfig(): string {
  return readFileSync(join(root, "meerkat.toml"), "utf8")
    .replace(/^loglevel = .*$/m, 'loglevel = "info"')
    .replace(/^registration_timeout = .*$/m, "registration_timeout = 0")
    .replace(/^port = \d+$/gm, "port = 0")
    .replace(/^ip_address = .*$/gm, 'ip_address = "127.0.0.1"')
    .replace(/^# \[modules\.mod_register\]$/m, "[modules.mod_register]");
}

export function configText(plan: TestServerPlan): string {
  if (plan.config !== undefined) return plan.config;
  let text = wholeConfigText(plan);
  for (const handler of plan.without ?? []) {
    text = text.replace(new RegExp(`\\[\\[listen\\.http\\.handlers\\.${handler}\\]\\]\\npath = .*\\n`), "");
  }
  return text;
}

function wholeConfigText(plan: TestServerPlan): string {
  const { hosts = ["localhost"], ports = [] } = plan;
  let listener = 0;
  const port = () => ports[listener++] ?? 0;
  return `
[general]
hosts = ${JSON.stringify(hosts)}
loglevel = "info"
${plan.general ?? ""}
[[listen.c2s]]
port = ${port()}
ip_address = "127.0.0.1"
${plan.c2s ?? ""}
[listen.c2s.tls]
mode = "starttls"
[[listen.c2s]]
port = ${port()}
ip_address = "127.0.0.1"
${plan.c2s ?? ""}
[listen.c2s.tls]
mode = "tls"
[[listen.http]]
port = ${port()}
ip_address = "127.0.0.1"
[[listen.http.handlers.mongoose_websocket_handler]]
path = "/ws-xmpp"
[[listen.http.handlers.meerkat_chat_handler]]
path = "/chat"
[[listen.http.handlers.meerkat_host_meta_handler]]
path = "/.well-known"
[[listen.http.handlers.meerkat_upload_handler]]
path = "/upload"
[[listen.http.handlers.meerkat_health_handler]]
path = "/health"
[[listen.http.handlers.mongoose_prometheus_handler]]
path = "/metrics"
${plan.https === true ? httpsText : ""}
[auth]
scram_iterations = 4096
[outgoing_pools.rdbms.default.connection]
${plan.database ?? 'driver = "sqlite"\ndatabase = "meerkat.sqlite"'}
${plan.modules ?? allModules}
${plan.extra ?? ""}
`;
}

/**
 * Starts a server. With `MEERKAT_TEST_NODES` in the environment it is several nodes of one cluster, and every look at a port gives that of the
 * next node: so the same tests run with their clients spread over nodes (test/cluster/spread.test.ts).
 */
export async function startServer(plan: TestServerPlan = {}): Promise<TestServer> {
  const nodes = Number(process.env.MEERKAT_TEST_NODES ?? 1);
  if (nodes > 1 && plan.alone !== true) return (await import("./spread-server.ts")).startSpreadServer(plan, nodes);
  const dataDir = mkdtempSync(join(tmpdir(), "meerkat-e2e-"));
  const config = join(dataDir, "meerkat.toml");
  writeFileSync(config, configText(plan));
  const server = new ServerProcess(dataDir, config, plan.https === true ? 4 : 3);
  try {
    await server.restart();
  } catch (error) {
    await server.kill("SIGKILL");
    rmSync(dataDir, { recursive: true, force: true });
    throw error;
  }
  return server;
}

class ServerProcess implements TestServer {
  c2sPort = 0;
  tlsPort = 0;
  httpPort = 0;
  httpsPort = 0;
  readonly dataDir: string;
  readonly log: string[] = [];
  readonly #config: string;
  readonly #listeners: number;
  #child: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();

  constructor(dataDir: string, config: string, listeners: number) {
    this.dataDir = dataDir;
    this.#config = config;
    this.#listeners = listeners;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  async restart(): Promise<void> {
    const args = [join(root, "src/main.ts"), "start", "--config", this.#config, "--data", this.dataDir];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let open = 0;
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => {
      complaint += chunk;
    });
    await new Promise<void>((ready, fail) => {
      const timer = setTimeout(
        () => fail(new Error(`the server did not start: ${complaint}${this.log.join("\n")}`)),
        startTimeoutMs,
      );
      this.#gone = new Promise((gone) => {
        child.once("exit", (code) => {
          clearTimeout(timer);
          fail(new Error(`the server ended with ${code}: ${complaint}${this.log.join("\n")}`));
          gone();
        });
      });
      createInterface({ input: child.stdout }).on("line", (line) => {
        this.log.push(line);
        const found = /"port":(\d+),"msg":"(c2s|c2s-tls|http) open"/.exec(line);
        if (found === null) return;
        const port = Number(found[1]);
        if (found[2] === "c2s") this.c2sPort = port;
        else if (found[2] === "c2s-tls") this.tlsPort = port;
        else if (open < 3) this.httpPort = port;
        else this.httpsPort = port;
        if (++open < this.#listeners) return;
        clearTimeout(timer);
        ready();
      });
    });
  }

  async ctl(...args: string[]): Promise<unknown> {
    const child = spawn(process.execPath, [join(root, "src/main.ts"), "ctl", ...args, "--data", this.dataDir], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let complaint = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      complaint += chunk;
    });
    const code = await new Promise<number | null>((done) => child.once("close", done));
    if (code !== 0) throw new Error(`ctl ${args.join(" ")} ended with ${code}: ${complaint}`);
    return JSON.parse(output);
  }

  ask(category: string, command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return askNode({ category, command, args }, { dataDir: this.dataDir });
  }

  async register(username: string, domain = "localhost"): Promise<void> {
    await this.ask("account", "registerUser", { domain, username, password: "secret" });
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#child?.kill(signal);
    await this.#gone;
  }

  async stop(): Promise<void> {
    await this.kill("SIGTERM");
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
