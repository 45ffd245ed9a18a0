/** What the bench needs of a server, and what all servers get alike. */
import { type ChildProcess, spawn } from "node:child_process";
import { connect as connectTo, createServer } from "node:net";

export const domain = "localhost";
export const password = "p";
/** Of stored SCRAM keys, the same on every server; ejabberd's cannot be changed. */
export const scramIterations = 4096;

/** What a run needs beyond what is always on. */
export interface Features {
  /** Keep messages in an archive (XEP-0313). */
  readonly archive?: boolean;
  /** Keep it in PostgreSQL. */
  readonly postgres?: boolean;
  /** Rooms (XEP-0045). */
  readonly rooms?: boolean;
  /** Rooms of MUC Light. */
  readonly lightRooms?: boolean;
  /** Several nodes that are one server, all on the one core. */
  readonly cluster?: { readonly nodes: number; readonly fabric: "local" | "nats" };
}

export interface StartPlan {
  /** Existing folder of its own, with or without data of an earlier run. */
  readonly folder: string;
  /** PEM files, the same for every server. */
  readonly certificate: string;
  readonly key: string;
  /** The one core it may use. */
  readonly core: number;
  readonly features: Features;
  /** Put before the arguments of the runtime, for profiles. Meerkat only. */
  readonly runtimeArguments?: readonly string[];
}

export interface RunningServer {
  readonly pid: number;
  /** In clear, and STARTTLS where wanted. */
  readonly plainPort: number;
  /** TLS from the first byte on. */
  readonly tlsPort: number;
  /** The plain ports of all nodes, where it is a cluster. */
  readonly ports?: readonly number[];
  /** Processes whose CPU is to be told apart, by what they are. */
  readonly apart?: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

export interface ServerKind {
  readonly name: string;
  /** How to have it, for who has not. */
  readonly hint: string;
  /** Its version; undefined if it is not installed. */
  version(): Promise<string | undefined>;
  start(plan: StartPlan): Promise<RunningServer>;
  /**
   * Gives `u1` … the account data of `u0`, whom the stopped server of this folder knows: registering each would take
   * minutes, since keys are derived for every one. None if the server takes anybody.
   */
  copyAccounts?(folder: string, users: number): Promise<void>;
}

const readyTimeoutMs = 30_000;
const stopTimeoutMs = 60_000;

/** A port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connectTo(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}

/** Servers that run now; none outlives the bench, however that ends. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts a program on one core and waits until it listens on `ports`; throws its output if it ends before. */
export async function startOnCore(plan: {
  core: number;
  command: string;
  args: readonly string[];
  folder: string;
  environment?: NodeJS.ProcessEnv;
  plainPort: number;
  tlsPort: number;
  /** Its input stays open as long as this process lives, so that it notices the end of it. */
  held?: boolean;
}): Promise<RunningServer> {
  const child = spawn("taskset", ["-c", String(plan.core), plan.command, ...plan.args], {
    cwd: plan.folder,
    env: { ...process.env, HOME: plan.folder, ...plan.environment },
    stdio: [plan.held === true ? "pipe" : "ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  const keep = (chunk: Buffer) => {
    output = (output + chunk).slice(-4000);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  let ended = false;
  const gone = new Promise<void>((done) => {
    const finish = () => {
      ended = true;
      running.delete(child);
      done();
    };
    child.once("exit", finish);
    child.once("error", (error) => {
      output += error.message;
      finish();
    });
  });
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await gone;
    clearTimeout(timer);
  };
  const deadline = performance.now() + readyTimeoutMs;
  while (!((await answers(plan.plainPort)) && (await answers(plan.tlsPort)))) {
    if (ended) throw new Error(`${plan.command} ended:\n${output}`);
    if (performance.now() > deadline) {
      await stop();
      throw new Error(`${plan.command} does not listen:\n${output}`);
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  return { pid: child.pid!, plainPort: plan.plainPort, tlsPort: plan.tlsPort, stop };
}

/** What a command prints; undefined if it cannot be run or fails. */
export function outputOf(command: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk;
    });
    child.once("error", () => done(undefined));
    child.once("close", (code) => done(code === 0 ? output.trimEnd() : undefined));
  });
}

/** The first line of it. */
export async function firstLineOf(command: string, args: readonly string[]): Promise<string | undefined> {
  return (await outputOf(command, args))?.split("\n")[0];
}

/** The version of an installed Debian package. */
export async function packageVersion(name: string): Promise<string | undefined> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg's
  const line = await firstLineOf("dpkg-query", ["-W", "-f", "${Version} ${db:Status-Status}", name]);
  return line?.endsWith(" installed") ? line.split("-")[0] : undefined;
}
