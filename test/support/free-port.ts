/** Ports for servers that tests start, stop, and start again at the same place. */
import { createServer } from "node:net";

/**
 * Below those that the system gives out by itself (from 32768 on Linux): while nothing listens there no other listener gets the port, and no
 * connection gets it as its own end, which would answer whoever looks whether the server is there.
 */
const [lowest, highest] = [20_000, 32_000];
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
