/** A NATS server of the bench's own, where one is installed. */
import { existsSync } from "node:fs";
import { freePort, type RunningServer, startOnCore } from "./server.ts";

const binary = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"].find(existsSync);

export const natsInstalled = binary !== undefined;

export async function startNats(core: number, folder: string): Promise<RunningServer> {
  const port = await freePort();
  const args = ["-a", "127.0.0.1", "-p", String(port)];
  return startOnCore({ core, command: binary!, args, folder, plainPort: port, tlsPort: port });
}
