/** The bare relay as a server of the bench. */
import { fileURLToPath } from "node:url";
import { freePort, type ServerKind, startOnCore } from "./server.ts";

export const floor: ServerKind = {
  name: "floor",
  hint: "it is a part of this clone",
  version: async () => "-",
  async start({ folder, core }) {
    const port = await freePort();
    const args = [fileURLToPath(new URL("relay.ts", import.meta.url)), String(port)];
    return startOnCore({ core, command: process.execPath, args, folder, plainPort: port, tlsPort: port });
  },
};
