/**
 * Several nodes of this clone that are one server: processes on one core, below one shell, so that their CPU is that of one tree. They share
 * a SQLite file, which no message of the scenarios touches.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startNats } from "./nats.ts";
import { freePort, type RunningServer, type StartPlan, startOnCore } from "./server.ts";

const readyTimeoutMs = 30_000;

/** The nodes end with the shell, and all of them with the input that it is given: that closes however the bench ends. */
function scriptOf(commands: readonly (readonly string[])[]): string {
  const quoted = commands.map((words) => words.map((word) => `'${word}'`).join(" "));
  const starts = quoted.map((command, at) => `${command} </dev/null & nodes="$nodes $!"; echo $! >n${at + 1}/pid`);
  return [
    "exec 3<&0",
    "trap 'kill -TERM $nodes' TERM",
    ...starts,
    "(cat <&3 >/dev/null; kill -KILL $nodes 2>/dev/null) & watch=$!",
    // A wait is cut short by the signal.
    "for node in $nodes; do while kill -0 $node 2>/dev/null; do wait $node; done; done",
    "kill $watch",
  ].join("\n");
}

export async function startCluster(
  plan: StartPlan,
  { nodes, fabric }: NonNullable<StartPlan["features"]["cluster"]>,
  configOf: (plan: StartPlan, plainPort: number, tlsPort: number, extra: string) => string,
  program: string,
): Promise<RunningServer> {
  const { folder, core, runtimeArguments = [] } = plan;
  const nats = fabric === "nats" ? await startNats(core, folder) : undefined;
  const commands: string[][] = [];
  const ports: { plain: number; tls: number; http: number }[] = [];
  for (let number = 1; number <= nodes; number++) {
    const own = join(folder, `n${number}`);
    mkdirSync(own, { recursive: true });
    const [plain, tls, http] = [await freePort(), await freePort(), await freePort()];
    ports.push({ plain, tls, http });
    const servers = nats === undefined ? "" : `[cluster.nats]\nservers = ["127.0.0.1:${nats.plainPort}"]\n`;
    const extra = `
[[listen.http]]
port = ${http}
ip_address = "127.0.0.1"
[[listen.http.handlers.meerkat_health_handler]]
path = "/health"
[cluster]
name = "bench"
node_name = "n${number}"
fabric = "${fabric}"
${servers}`;
    writeFileSync(join(own, "meerkat.toml"), configOf(plan, plain, tls, extra));
    const start = [program, "start", "--config", join(own, "meerkat.toml"), "--data", own];
    commands.push(start);
  }
  const [first] = ports as [(typeof ports)[number]];
  const args = ["-c", scriptOf(commands)];
  let server: RunningServer;
  try {
    const environment = { BUN_OPTIONS: runtimeArguments.join(" ") };
    const shared = { core, command: "sh", args, folder, held: true, environment };
    server = await startOnCore({ ...shared, plainPort: first.plain, tlsPort: first.tls });
  } catch (error) {
    await nats?.stop();
    throw error;
  }
  const stop = async (): Promise<void> => {
    await server.stop();
    await nats?.stop();
  };
  try {
    for (const { http } of ports) await untilReady(http);
  } catch (error) {
    await stop();
    throw error;
  }
  const pidOf = (number: number) => Number(readFileSync(join(folder, `n${number}`, "pid"), "utf8"));
  const apart: Record<string, number> = nats === undefined ? {} : { nats: nats.pid };
  for (let number = 2; number <= nodes; number++) apart[`n${number}`] = pidOf(number);
  return { ...server, ports: ports.map(({ plain }) => plain), apart, stop };
}

/** A node is ready when it has the tables of all others, so that they see it too. */
async function untilReady(http: number): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${http}/health/ready`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (performance.now() > deadline) throw new Error(`a node is not ready: ${await answer?.text()}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
