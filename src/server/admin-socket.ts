/** The Unix socket of the administration: HTTP on a file that only its owner can open. */
import { chmodSync, existsSync, rmSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import type { AdminContext } from "../admin/command.ts";
import { answerAdminRequest } from "../admin/socket-api.ts";
import type { Log } from "../observe/log.ts";

/** Another node of ours is running with the same data folder. */
export class AlreadyRunning extends Error {
  override readonly name = "AlreadyRunning";
}

/** Opens the socket; the file of a node that died is replaced. Throws `AlreadyRunning`. */
export async function openAdminSocket(
  path: string,
  context: AdminContext,
  log: Log,
): Promise<{ close(): Promise<void> }> {
  if (existsSync(path)) {
    if (await answers(path))
      throw new AlreadyRunning(`a Meerkat node is running already with this data folder (${path})`);
    rmSync(path);
  }
  const server = createServer((incoming, outgoing) => {
    const body = incoming.method === "POST" ? (Readable.toWeb(incoming) as unknown as ReadableStream) : null;
    const request = new Request("http://admin/", { method: incoming.method, body, duplex: "half" } as RequestInit);
    answerAdminRequest(context, request, log)
      .then(async (response) => {
        outgoing.writeHead(response.status, Object.fromEntries(response.headers));
        if (response.body !== null) for await (const chunk of response.body) outgoing.write(chunk);
        outgoing.end();
      })
      .catch((error: unknown) => {
        log.warn({ err: error }, "an administration request broke off");
        outgoing.destroy();
      });
  });
  // The file has its mode from the first moment on.
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        rmSync(path, { force: true });
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = httpRequest({ socketPath: path, path: "/", method: "GET" }, (response) => {
      response.resume();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
    probe.end();
  });
}
