/**
 * Several processes of one machine that act as one server: one that watches, and nodes that share the listening ports. The first node is up
 * before the others start, so that folders, certificate and tables are made once. A node that dies is started again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import type { Log } from "../observe/log.ts";
import type { Clock } from "../util/clock.ts";
import { processVariable } from "../util/process-variable.ts";

/** What a node tells the process that watches it. */
export type NodeReport =
  | { readonly ready: readonly string[] }
  /** Somebody has asked this node to stop the whole server. */
  | { readonly stop: string };

/** What the watching process tells a node. */
export type NodeOrder = { readonly stop: string };

/** A node that dies again and again is started after longer and longer pauses, milliseconds. */
const restartMsMin = 500;
const restartMsMax = 30_000;
/** One that lived so long died for a new reason. */
const livedMs = 60_000;

export interface ProcessesParts {
  readonly count: number;
  /** The program and its arguments that start a node. */
  readonly command: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** The first node is up: what it says to people. */
  readonly ready: (summary: readonly string[]) => void;
}

/** How many processes the configuration asks for. */
export function processCount(wanted: number | "auto"): number {
  return wanted === "auto" ? availableParallelism() : wanted;
}

interface Seat {
  readonly number: number;
  child: ChildProcess | undefined;
  startedAt: number;
  pauseMs: number;
}

export class Processes {
  readonly #parts: ProcessesParts;
  readonly #seats: Seat[];
  #stopping: string | undefined = undefined;
  #over: (code: number) => void = () => undefined;
  /** Resolves to the exit code when all nodes have ended. */
  readonly ended: Promise<number>;

  constructor(parts: ProcessesParts) {
    this.#parts = parts;
    this.#seats = Array.from({ length: parts.count }, (_, at) => ({
      number: at + 1,
      child: undefined,
      startedAt: 0,
      pauseMs: restartMsMin,
    }));
    this.ended = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  start(): void {
    this.#start(this.#seats[0]!, true);
  }

  /** All nodes stop cleanly. */
  stop(reason: string): void {
    if (this.#stopping !== undefined) return;
    this.#stopping = reason;
    let running = 0;
    for (const { child } of this.#seats) {
      if (child === undefined) continue;
      running++;
      child.send({ stop: reason } satisfies NodeOrder);
    }
    if (running === 0) this.#over(0);
  }

  /** Hands a signal on to every node. */
  signal(signal: NodeJS.Signals): void {
    for (const { child } of this.#seats) child?.kill(signal);
  }

  #start(seat: Seat, first: boolean): void {
    const { command, clock, log } = this.#parts;
    const child = spawn(command[0]!, command.slice(1), {
      env: { ...process.env, [processVariable]: String(seat.number) },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    seat.child = child;
    seat.startedAt = clock.monotonic();
    let wasReady = false;
    child.on("message", (message: NodeReport) => {
      if ("stop" in message) return this.stop(message.stop);
      wasReady = true;
      log.info({ process: seat.number, pid: child.pid }, "process up");
      if (!first) return;
      this.#parts.ready(message.ready);
      for (const other of this.#seats.slice(1)) this.#start(other, false);
    });
    child.on("error", (error) => log.error({ err: error, process: seat.number }, "a process could not be started"));
    child.on("exit", (code, signal) => {
      seat.child = undefined;
      if (this.#stopping !== undefined) {
        if (this.#seats.every((other) => other.child === undefined)) this.#over(0);
        return;
      }
      // What keeps the first one from coming up at all keeps it from ever coming up.
      if (first && !wasReady) return this.#over(code ?? 1);
      const lived = clock.monotonic() - seat.startedAt;
      seat.pauseMs = lived > livedMs ? restartMsMin : Math.min(seat.pauseMs * 2, restartMsMax);
      log.error({ process: seat.number, code, signal, pauseMs: seat.pauseMs }, "a process died, it is started again");
      clock.after(seat.pauseMs, () => {
        if (this.#stopping === undefined) this.#start(seat, false);
      });
    });
  }
}
