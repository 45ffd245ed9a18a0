/** Asking a node over its socket: what arrives, and every way in which nobody answers. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askNode } from "./admin-client.ts";
import type { CliFailure } from "./failure.ts";
import { adminSocket } from "./places.ts";

const asked = { category: "account", command: "countUsers", args: { domain: "bücher.example" } };
const open: Server[] = [];
const folders: string[] = [];

afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "meerkat-cli-"));
  folders.push(made);
  return made;
}

/** A node that answers like this; returns its data folder. */
async function node(answer: RequestListener): Promise<string> {
  const dataDir = folder();
  const server = createServer(answer);
  open.push(server);
  await new Promise<void>((listening) => server.listen(adminSocket(dataDir), listening));
  return dataDir;
}

async function failureOf(dataDir: string): Promise<CliFailure> {
  return (await askNode(asked, { dataDir }).catch((error: unknown) => error)) as CliFailure;
}

describe("a node that answers", () => {
  test("gets the request, and its result is returned", async () => {
    let request = "";
    const dataDir = await node((incoming, answer) => {
      incoming.setEncoding("utf8");
      incoming.on("data", (part) => (request += part));
      incoming.on("end", () => answer.end('{"result":{"count":3}}\n'));
    });
    expect(await askNode(asked, { dataDir })).toEqual({ count: 3 });
    expect(JSON.parse(request)).toEqual(asked);
  });

  test("progress arrives before the result, however the lines are cut", async () => {
    const dataDir = await node((_, answer) => {
      const bytes = Buffer.from('{"progress":10}\n{"progress":20}\n{"result":"grün"}');
      let at = 0;
      const next = (): void => {
        if (at >= bytes.length) answer.end();
        else {
          at += 7;
          answer.write(bytes.subarray(at - 7, at), next);
        }
      };
      next();
    });
    const steps: number[] = [];
    expect(await askNode(asked, { dataDir, progress: (done) => steps.push(done) })).toBe("grün");
    expect(steps).toEqual([10, 20]);
  });

  test.each<[string, number]>([
    ["user_not_found", 1],
    ["internal_error", 1],
    ["bad_argument", 2],
    ["unknown_command", 2],
  ])("its error %s ends with %i and its own words", async (code, exit) => {
    const dataDir = await node((_, answer) => void answer.end(JSON.stringify({ error: { code, message: "No." } })));
    expect(await failureOf(dataDir)).toMatchObject({ exitCode: exit, message: "No." });
  });

  test("a refusal in plain text is passed on", async () => {
    const dataDir = await node((_, answer) => void answer.writeHead(413).end("too long\n"));
    expect(await failureOf(dataDir)).toMatchObject({
      exitCode: 1,
      message: "the node refused the request (413): too long",
    });
  });
});

describe("a node that does not", () => {
  test("never ran", async () => {
    const dataDir = join(folder(), "nothing");
    const failure = await failureOf(dataDir);
    expect(failure.exitCode).toBe(3);
    expect(failure.message).toContain(`no node is running with the data folder ${dataDir}`);
    expect(failure.message).toContain("--data DIR");
  });

  test("goes away before the result", async () => {
    const dataDir = await node((_, answer) => void answer.end('{"progress":1}\n'));
    expect(await failureOf(dataDir)).toMatchObject({ exitCode: 3, message: "the node went away before it answered" });
  });

  test("is silent for too long", async () => {
    const dataDir = await node(() => {});
    const failure = await askNode(asked, { dataDir, silenceMsMax: 30 }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ exitCode: 3 });
    expect((failure as CliFailure).message).toContain("no answer within 0.03 seconds");
  });

  test("has a path no socket can have", async () => {
    const failure = await failureOf(join(folder(), "x".repeat(120)));
    expect(failure.exitCode).toBe(3);
    expect(failure.message).toContain("too long for a socket");
  });
});
