/** HTTP over a Unix socket that only its owner can open: how the command line talks to the running node. */
import { lstatSync, rmSync } from "node:fs";
import { createConnection } from "node:net";

/** A running server listens on this socket. */
export class SocketTaken extends Error {
  override readonly name = "SocketTaken";
  readonly path: string;

  constructor(path: string) {
    super(`a running server listens on ${path}`);
    this.path = path;
  }
}

export interface UnixServer {
  /** Accepts no more, and removes the file; resolves when running requests are over. */
  stop(): Promise<void>;
}

export interface UnixServeOptions {
  readonly path: string;
  readonly requestBytesMax: number;
  fetch(request: Request): Response | Promise<Response>;
  /** Told of what `fetch` throws; the client gets an empty 500. */
  failed(error: unknown): void;
}

/**
 * Listens with mode 0600 from the moment the file exists. The file of a server that died is replaced; throws
 * `SocketTaken` when one is alive, and an error when something else lies there.
 */
export async function serveUnix(options: UnixServeOptions): Promise<UnixServer> {
  const { path } = options;
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined) {
    if (!found.isSocket()) throw new Error(`${path} is in the way: it is no socket`);
    if (await isAlive(path)) throw new SocketTaken(path);
    rmSync(path, { force: true });
  }
  // Bun creates the file in this call, so the mask changes nothing else.
  const mask = process.umask(0o177);
  try {
    const serving = {
      unix: path,
      maxRequestBodySize: options.requestBytesMax,
      // A long import is silent for a while; its client is our own command line.
      idleTimeout: 0,
      development: false,
      fetch: (request: Request) => options.fetch(request),
      error: (error: Error) => {
        options.failed(error);
        return new Response(null, { status: 500 });
      },
    };
    // Bun's types know no idle timeout of a Unix socket; its server does.
    const server = Bun.serve(serving as Omit<typeof serving, "idleTimeout">);
    return { stop: () => server.stop(false) };
  } finally {
    process.umask(mask);
  }
}

/** A request to a server on a Unix socket; the host of `url` does not matter. Rejects with the system's `code`. */
export function fetchUnix(path: string, url: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, unix: path });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createConnection(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
}
