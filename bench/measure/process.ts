/** What a process with all its descendants has used, and what the machine has done beside: read from /proc (Linux). */
import { readdirSync, readFileSync } from "node:fs";

/** Linux counts CPU time for programs in these, on all its platforms. */
const ticksPerSecond = 100;

/** utime, stime, cutime and cstime of a line of /proc/PID/stat. The name in it may hold spaces and parentheses. */
export function ticksOfStat(line: string): { own: number; ended: number; parent: number } {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const at = (index: number) => Number(fields[index]);
  return { own: at(11) + at(12), ended: at(13) + at(14), parent: at(1) };
}

/** Kibibytes of a line such as `Rss:     1234 kB` of smaps_rollup or status. */
export function kibibytesOf(text: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1];
  return found === undefined ? 0 : Number(found);
}

/** Busy ticks of the first line of /proc/stat: everything but idle, waiting for disks, and stolen. */
export function busyTicksOf(stat: string): number {
  const [, user, nice, system, , , irq, softirq] = stat.slice(0, stat.indexOf("\n")).trim().split(/\s+/).map(Number);
  return user! + nice! + system! + irq! + softirq!;
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // It has ended since it was listed.
  }
}

/** This process and all that descend from it. */
export function processTree(root: number): number[] {
  const found = [root];
  for (let at = 0; at < found.length; at++) {
    let tasks: string[] = [];
    try {
      tasks = readdirSync(`/proc/${found[at]}/task`);
    } catch {
      continue; // It has ended since it was listed.
    }
    for (const task of tasks) {
      const children = readOrNothing(`/proc/${found[at]}/task/${task}/children`).trim();
      if (children !== "") found.push(...children.split(" ").map(Number));
    }
  }
  return found;
}

/** CPU seconds of the tree, with those of its members that have ended and were waited for. */
export function cpuSeconds(root: number): number {
  let ticks = 0;
  for (const pid of processTree(root)) {
    const line = readOrNothing(`/proc/${pid}/stat`);
    if (line === "") {
      if (pid === root) throw new Error(`process ${root} is gone`);
      continue;
    }
    const { own, ended } = ticksOfStat(line);
    ticks += own + ended;
  }
  return ticks / ticksPerSecond;
}

/** Resident bytes of the tree. Exact, and slow for a large process: it walks the page tables. */
export function residentBytes(root: number): number {
  let kibibytes = 0;
  for (const pid of processTree(root)) kibibytes += kibibytesOf(readOrNothing(`/proc/${pid}/smaps_rollup`), "Rss");
  return kibibytes * 1024;
}

export interface Snapshot {
  /** Milliseconds of a clock that only goes forward. */
  readonly at: number;
  readonly serverCpu: number;
  readonly loadCpu: number;
  readonly machineBusy: number;
  /** CPU of processes that are told apart, by what they are. */
  readonly apart?: Readonly<Record<string, number>>;
  /** Of those that are not in the server's tree, together. */
  readonly beside?: number;
}

/** CPU seconds of the whole machine since it started. */
export function machineBusySeconds(): number {
  return busyTicksOf(readFileSync("/proc/stat", "utf8")) / ticksPerSecond;
}

/** Taken in the process of the load generator, whose own CPU is what `loadCpu` says. */
export function snapshot(serverPid: number, apart: Readonly<Record<string, number>> = {}): Snapshot {
  const { user, system } = process.cpuUsage();
  const tree = new Set(processTree(serverPid));
  const cpuApart: Record<string, number> = {};
  let beside = 0;
  for (const [name, pid] of Object.entries(apart)) {
    const cpu = cpuSeconds(pid);
    cpuApart[name] = cpu;
    if (!tree.has(pid)) beside += cpu;
  }
  return {
    at: performance.now(),
    serverCpu: cpuSeconds(serverPid),
    loadCpu: (user + system) / 1e6,
    machineBusy: machineBusySeconds(),
    apart: cpuApart,
    beside,
  };
}

/** What happened between two snapshots; all CPU in seconds. */
export interface Usage {
  readonly seconds: number;
  readonly serverCpu: number;
  readonly loadCpu: number;
  /** Cores that neither server nor load used: much of it means that figures of time deserve little trust. */
  readonly otherCores: number;
  /** Of processes that are told apart, by what they are; nothing where there is none. */
  readonly apart?: Readonly<Record<string, number>>;
}

export function usage(before: Snapshot, after: Snapshot): Usage {
  const seconds = (after.at - before.at) / 1000;
  const serverCpu = after.serverCpu - before.serverCpu;
  const loadCpu = after.loadCpu - before.loadCpu;
  const beside = (after.beside ?? 0) - (before.beside ?? 0);
  const otherCores = Math.max(0, (after.machineBusy - before.machineBusy - serverCpu - loadCpu - beside) / seconds);
  const ends = Object.entries(after.apart ?? {});
  if (ends.length === 0) return { seconds, serverCpu, loadCpu, otherCores };
  const apart = Object.fromEntries(ends.map(([name, cpu]) => [name, cpu - (before.apart?.[name] ?? 0)]));
  return { seconds, serverCpu, loadCpu, otherCores, apart };
}
