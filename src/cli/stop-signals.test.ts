/** Ctrl-C once, twice, and as npm passes it on. */
import { expect, test } from "bun:test";
import { StopSignals } from "./stop-signals.ts";

function world() {
  const done: string[] = [];
  let now = 0;
  const signals = new StopSignals({ exit: (code) => done.push(`exit ${code}`), monotonic: () => now });
  return {
    done,
    signals,
    up: () => signals.whenAsked((signal) => done.push(`stop ${signal}`)),
    later: (ms: number) => {
      now += ms;
    },
  };
}

test("one stops cleanly", () => {
  const { done, signals, up } = world();
  up();
  signals.take("SIGTERM");
  expect(done).toEqual(["stop SIGTERM"]);
});

test("one while the server starts ends it at once", () => {
  const { done, signals } = world();
  signals.take("SIGINT");
  expect(done).toEqual(["exit 130"]);
});

test("a second one ends it at once", () => {
  const { done, signals, up, later } = world();
  up();
  signals.take("SIGINT");
  later(500);
  signals.take("SIGTERM");
  expect(done).toEqual(["stop SIGINT", "exit 143"]);
});

test("the same Ctrl-C, passed on by npm, counts once", () => {
  const { done, signals, up, later } = world();
  up();
  signals.take("SIGINT");
  later(20);
  signals.take("SIGINT");
  later(1000);
  expect(done).toEqual(["stop SIGINT"]);
  signals.take("SIGINT");
  expect(done).toEqual(["stop SIGINT", "exit 130"]);
});
