/** The behaviour all sockets share, on the pair in memory: turns, bounds, ends. */
import { describe, expect, test } from "bun:test";
import { SimClock } from "../runtime/sim/clock.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { type MemoryPairOptions, type MemorySocket, memoryPair } from "./memory-pair.ts";
import type { SocketHandler } from "./socket.ts";
import { WriteBatch } from "./write-batch.ts";

class Recorder implements SocketHandler {
  readonly log: string[] = [];
  onReceived: (text: string) => void = () => {};
  received(chunk: Uint8Array): void {
    const text = Buffer.from(chunk).toString();
    this.log.push(text.length > 20 ? `${text.length} bytes` : text);
    this.onReceived(text);
  }
  receivedMessage(text: string): void {
    this.log.push(`message ${text}`);
  }
  secured(): void {
    this.log.push("secured");
  }
  drained(): void {
    this.log.push("drained");
  }
  overflowed(): void {
    this.log.push("overflowed");
  }
  closed(reason: Error | undefined): void {
    this.log.push(reason === undefined ? "closed" : `closed: ${reason.message}`);
  }
}

interface World {
  readonly near: MemorySocket;
  readonly far: MemorySocket;
  readonly nearLog: string[];
  readonly farLog: string[];
  readonly nearHandler: Recorder;
  readonly farHandler: Recorder;
  readonly clock: SimClock;
  readonly failures: unknown[];
  /** Runs turns until nothing is left to do. */
  settle(): void;
  /** Runs one turn. */
  turn(): void;
}

function world(options: MemoryPairOptions & { writeQueueBytesMax?: number } = {}): World {
  const clock = new SimClock();
  const failures: unknown[] = [];
  const failed = (error: unknown) => void failures.push(error);
  let waiting: (() => void) | undefined;
  const batch = new WriteBatch((flush) => {
    waiting = flush;
  }, failed);
  const wheel = new TimerWheel(clock, failed);
  const writeQueueBytesMax = options.writeQueueBytesMax ?? 1000;
  const [near, far] = memoryPair({ batch, wheel, writeQueueBytesMax, lingerMs: 2000, failed }, options);
  const [nearHandler, farHandler] = [new Recorder(), new Recorder()];
  near.attach(nearHandler);
  far.attach(farHandler);
  const turn = () => {
    const flush = waiting;
    waiting = undefined;
    flush?.();
  };
  const settle = () => {
    for (let turns = 0; waiting !== undefined; turns++) {
      expect(turns).toBeLessThan(1000);
      turn();
    }
  };
  return {
    near,
    far,
    nearHandler,
    farHandler,
    nearLog: nearHandler.log,
    farLog: farHandler.log,
    clock,
    failures,
    settle,
    turn,
  };
}

describe("a turn", () => {
  test("all that is written in it arrives as one chunk", () => {
    const { near, farLog, settle } = world();
    near.write("one ");
    near.write("");
    near.write("twö");
    expect(farLog).toEqual([]);
    settle();
    expect(farLog).toEqual(["one twö"]);
    expect(near.queuedBytes).toBe(0);
  });

  test("flush does not wait for its end", () => {
    const { near, farLog, settle } = world();
    near.write("first");
    near.flush();
    near.write("second");
    settle();
    expect(farLog).toEqual(["first", "second"]);
  });

  test("what a handler answers leaves in the next one", () => {
    const { near, far, farHandler, nearLog, settle } = world();
    farHandler.onReceived = (text) => far.write(`re: ${text}`);
    near.write("hi");
    settle();
    expect(nearLog).toEqual(["re: hi"]);
  });

  test("frames of a message socket stay apart", () => {
    const { near, farLog, settle } = world({ framing: "message" });
    near.write("<a/>");
    near.write("<b/>");
    settle();
    expect(farLog).toEqual(["message <a/>", "message <b/>"]);
  });
});

for (const framing of ["stream", "message"] as const) {
  describe(`a ${framing} peer that does not read`, () => {
    test("slows its writer, which is told when the queue is empty again", () => {
      const { near, far, nearLog, farLog, settle } = world({ framing, capacityBytes: 10 });
      far.pause();
      near.write("0123456789");
      settle();
      near.write("abc");
      settle();
      expect(near.queuedBytes).toBe(3);
      expect(farLog).toEqual([]);
      far.resume();
      settle();
      expect(farLog.join("").replaceAll("message ", "")).toBe("0123456789abc");
      expect(nearLog).toEqual(["drained"]);
      expect(near.queuedBytes).toBe(0);
    });

    test("overflows the queue once, at the end of the turn; what is written after that is dropped", () => {
      const { near, far, nearLog, settle } = world({ framing, capacityBytes: 10, writeQueueBytesMax: 30 });
      far.pause();
      for (let index = 0; index < 10; index++) near.write("0123456789");
      expect(nearLog).toEqual([]);
      expect(near.queuedBytes).toBe(40);
      settle();
      near.write("more");
      settle();
      expect(nearLog).toEqual(["overflowed"]);
      expect(near.queuedBytes).toBe(40);
      near.abort();
      settle();
      expect(nearLog).toEqual(["overflowed", "closed"]);
    });
  });
}

test("a burst above the maximum is no overflow as long as the peer takes it", () => {
  const { near, nearLog, farLog, settle } = world({ writeQueueBytesMax: 30 });
  for (let index = 0; index < 10; index++) near.write("0123456789");
  settle();
  expect(nearLog).toEqual([]);
  expect(farLog.length).toBeGreaterThan(0);
});

describe("the end", () => {
  test("close sends what is queued, and both are told when both halves are closed", () => {
    const { near, nearLog, farLog, settle, clock } = world();
    near.write("good bye");
    near.close();
    near.write("too late");
    settle();
    expect(farLog).toEqual(["good bye", "closed"]);
    expect(nearLog).toEqual(["closed"]);
    clock.advance(10_000);
    settle();
    expect(nearLog).toEqual(["closed"]);
  });

  test("what still comes after a close is read and thrown away", () => {
    const { near, far, nearLog, farHandler, settle } = world();
    farHandler.onReceived = () => far.write("did not hear");
    near.write("bye");
    near.flush();
    near.close();
    settle();
    expect(nearLog).toEqual(["closed"]);
  });

  test("a peer that does not read its rest is cut off when the linger time is over", () => {
    const { near, far, nearLog, farLog, settle, clock } = world({ capacityBytes: 5 });
    far.pause();
    near.write("0123456789");
    near.close();
    settle();
    expect(nearLog).toEqual([]);
    clock.advance(3000);
    settle();
    expect(nearLog).toEqual(["closed"]);
    far.resume();
    settle();
    expect(farLog).toEqual(["closed: the peer reset the connection"]);
  });

  test("abort is told to both, at the end of the turn, once", () => {
    const { near, nearLog, farLog, settle } = world();
    near.write("lost");
    near.abort();
    near.abort();
    near.close();
    expect(nearLog).toEqual([]);
    settle();
    expect(nearLog).toEqual(["closed"]);
    expect(farLog).toEqual(["closed: the peer reset the connection"]);
    near.write("nothing");
    near.flush();
    near.pause();
    near.resume();
    settle();
    expect(nearLog).toEqual(["closed"]);
  });

  test("a close while paused still notices the peer's end", () => {
    const { near, far, nearLog, settle } = world();
    near.pause();
    far.write("unread");
    settle();
    near.close();
    settle();
    expect(nearLog).toEqual(["closed"]);
  });

  test("a handler that throws loses its connection, and the reason is reported", () => {
    const { near, far, farHandler, farLog, nearLog, failures, settle } = world();
    farHandler.onReceived = () => {
      throw new Error("a bug");
    };
    near.write("hi");
    settle();
    expect(failures).toEqual([new Error("a bug")]);
    expect(farLog).toEqual(["hi", "closed"]);
    expect(nearLog).toEqual(["closed: the peer reset the connection"]);
    expect(far.open).toBe(false);
  });
});

describe("STARTTLS", () => {
  test("what was written before goes out in clear, what is written after waits for the handshake", () => {
    const bindings = { "tls-exporter": new Uint8Array([1, 2]) };
    const { near, far, nearLog, farLog, settle } = world({ bindings });
    near.write("proceed");
    near.startTls();
    near.write("features");
    expect(() => near.startTls()).toThrow("already on");
    settle();
    expect(farLog).toEqual(["proceed"]);
    expect(near.secure).toBe(false);
    expect(near.channelBinding("tls-exporter")).toBeUndefined();
    far.startTls();
    settle();
    expect(nearLog).toEqual(["secured"]);
    expect(farLog).toEqual(["proceed", "secured", "features"]);
    expect(near.secure && far.secure).toBe(true);
    expect(near.channelBinding("tls-exporter")).toEqual(new Uint8Array([1, 2]));
    expect(near.tlsInfo()?.version).toBe("TLSv1.3");
  });

  test("clear text that the peer is slow to take goes out before the handshake", () => {
    const { near, far, farLog, nearLog, settle } = world({ capacityBytes: 4 });
    far.pause();
    near.write("0123456789");
    near.startTls();
    settle();
    far.resume();
    settle();
    far.startTls();
    settle();
    expect(farLog).toEqual(["0123", "4567", "89", "secured"]);
    expect(nearLog).toContain("secured");
  });
});
