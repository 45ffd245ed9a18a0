/** A wire to a server that can be cut, or fall silent, without the server's doing. */
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import type { ServerSettings } from "../../src/store/settings.ts";
import { freePort } from "./free-port.ts";

/** A database, or anything that listens on a port. */
export type WireTarget = Pick<ServerSettings, "host" | "port"> & Partial<Pick<ServerSettings, "driver">>;

/** Stands between a client and the server, so that a test can unplug the wire without stopping a shared server. */
export class LeakyWire {
  /** Swallows what either side says. */
  silent = false;
  readonly #target: WireTarget;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  constructor(target: WireTarget) {
    this.#target = target;
  }

  get address(): { host: string; port: number } {
    return { host: "127.0.0.1", port: this.#port };
  }

  /** Listens, on the same port each time. */
  async listen(): Promise<void> {
    const server = createServer((near) => this.#join(near));
    this.#server = server;
    if (this.#port === 0) this.#port = await freePort();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
  }

  /** Cuts every connection and refuses new ones. */
  async goAway(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(near: Socket): void {
    const { host, port } = this.#target;
    const far = host.startsWith("/") ? connectSocket(socketPath(this.#target)) : connectSocket(port, host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (bytes: Buffer) => {
        if (!this.silent) to.write(bytes);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}

function socketPath({ driver, host, port }: WireTarget): string {
  return driver === "pgsql" ? `${host}/.s.PGSQL.${port}` : host;
}
