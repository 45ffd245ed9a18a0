/** Several processes of one machine at the same ports, as `[general] processes` makes them. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { startServer } from "../support/server.ts";

test("one page of metrics has the numbers of all, each with its node", async () => {
  const ports = [await freePort(), await freePort(), await freePort()];
  const general = "processes = 2";
  await using server = await startServer({ alone: true, ports, general, extra: '[cluster]\nnode_name = "m"\n' });
  const page = async () => (await fetch(`http://127.0.0.1:${ports[2]}/metrics`)).text();
  const whole = await eventually(20_000, async () => {
    const text = await page();
    expect(text).toContain('meerkat_node_up{node="m-1"} 1');
    expect(text).toContain('meerkat_node_up{node="m-2"} 1');
    return text;
  });
  for (const node of ["m-1", "m-2"]) {
    expect(whole).toContain(`meerkat_sessions{node="${node}"} 0`);
    expect(whole).toContain(`meerkat_cluster_peers{node="${node}",state="up"} 1`);
  }
  const samples = whole.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  expect(samples.filter((line) => !/^[a-z_]+\{node="m-[12]"[,}]/.test(line))).toEqual([]);
  // A metric is declared once, however many processes have it.
  const declared = whole.split("\n").filter((line) => line.startsWith("# TYPE"));
  expect(new Set(declared).size).toBe(declared.length);

  // The second is started last.
  const pid = Number(readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, "utf8").trim().split(" ").at(-1));
  process.kill(pid, "SIGKILL");
  await eventually(20_000, async () => expect(await page()).toContain('meerkat_node_up{node="m-2"} 0'));
  await eventually(20_000, async () => expect(await page()).toContain('meerkat_node_up{node="m-2"} 1'));
}, 120_000);
