/** The log: levels that change for all children, fields, and what never reaches it. */
import { describe, expect, test } from "bun:test";
import { LOG_LEVELS } from "../util/log-levels.ts";
import { createLog, type LogLevel, type LogOptions, REDACTED, redact, silentLog } from "./log.ts";

function capture(level: LogLevel, options: LogOptions = {}) {
  const lines: string[] = [];
  const log = createLog(level, { pretty: false, ...options, destination: { write: (line) => lines.push(line) } });
  return { log, lines, fields: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("lines", () => {
  test("are JSON with level, time, fields and message", () => {
    const { log, fields } = capture("info");
    log.child({ c2s: 7, remote: "::1" }).child({ jid: "a@b" }).info({ host: "b" }, "session opened");
    expect(fields()).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        c2s: 7,
        remote: "::1",
        jid: "a@b",
        host: "b",
        msg: "session opened",
      },
    ]);
  });

  test("of one of several processes say which", () => {
    const { log, fields } = capture("info", { process: 2 });
    log.child({ c2s: 7 }).info({}, "x");
    expect(fields()[0]).toMatchObject({ process: 2, c2s: 7 });
  });

  test("are readable on a terminal", () => {
    const { log, lines } = capture("info", { pretty: true, colour: false });
    log.warn({ port: 5222 }, "port is taken");
    expect(lines.join("")).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: port is taken \{"port":5222\}\n$/);
  });

  test("show an error with its stack and cause", () => {
    const { log, fields } = capture("info");
    log.error({ err: new Error("outer", { cause: new Error("inner") }) }, "failed");
    expect(fields()[0]).toMatchObject({
      level: "error",
      err: { message: expect.stringContaining("outer"), stack: expect.stringContaining("inner") },
    });
  });
});

describe("the level", () => {
  const written = (level: LogLevel): string[] => {
    const { log, fields } = capture(level);
    for (const name of ["trace", "debug", "info", "warn", "error", "fatal"] as const) log[name]({}, "x");
    return fields().map((line) => String(line.level));
  };

  test("has MongooseIM's names", () => {
    expect(Object.fromEntries(LOG_LEVELS.map((level) => [level, written(level).length]))).toEqual({
      none: 0,
      emergency: 1,
      alert: 1,
      critical: 1,
      error: 2,
      warning: 3,
      notice: 4,
      info: 4,
      debug: 5,
      all: 6,
    });
    expect(written("error")).toEqual(["error", "fatal"]);
  });

  test("changes for children made before", () => {
    const { log, fields } = capture("warning");
    const child = log.child({ module: "mod_x" });
    child.debug({}, "before");
    log.level = "debug";
    expect(log.level).toBe("debug");
    child.debug({}, "during");
    log.level = "none";
    child.fatal({}, "after");
    expect(fields().map((line) => line.msg)).toEqual(["during"]);
  });
});

describe("what never reaches it", () => {
  test("secrets and content, at the top and one step inside, at any level, from children too", () => {
    const { log, lines } = capture("all");
    const private_ = { password: "pa55", token: "pa55", body: "pa55", inner: "<body>pa55</body>", storedKey: "pa55" };
    log.info(private_, "top");
    log.trace({ account: private_ }, "inside");
    log.child({ password: "pa55", stanza: "pa55" }).info({}, "child");
    expect(lines).toHaveLength(3);
    expect(lines.join("")).not.toContain("pa55");
    expect(lines[0]).toContain(REDACTED);
  });

  test("redact takes whatever shape", () => {
    const given = {
      user: "alice",
      dbPassword: "x",
      access_token: "x",
      list: [{ secret: "x", n: 1 }],
      deep: { a: { b: { c: { d: { e: 1 } } } } },
    };
    expect(redact(given)).toEqual({
      user: "alice",
      dbPassword: REDACTED,
      access_token: REDACTED,
      list: [{ secret: REDACTED, n: 1 }],
      deep: { a: { b: { c: { d: "[deeper]" } } } },
    });
    expect(given.dbPassword).toBe("x");
    expect(redact("text")).toBe("text");
    expect(redact(undefined)).toBeUndefined();
  });

  test("the silent log takes everything", () => {
    expect(() => silentLog.child({ a: 1 }).fatal({}, "nothing")).not.toThrow();
  });
});
