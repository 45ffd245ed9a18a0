/**
 * A node in a process of its own: prints what it hears, a line each, and sends back every message it gets.
 * Arguments: "local" or "nats", its cluster, its number, folder or server, and options as JSON.
 */
import { localArena, natsArena, text } from "./arena.ts";

const [kind, cluster, number, place, options] = process.argv.slice(2) as [string, string, string, string, string];
const arena = kind === "local" ? localArena(place, cluster) : natsArena({ servers: [place] }, cluster);
const node = arena.node(Number(number), JSON.parse(options));
const say = (line: string) => void process.stdout.write(`${line}\n`);
await node.fabric.start({
  message: (from, bytes) => {
    if (bytes.length < 100) say(`${from.name}: ${text(bytes)}`);
    node.fabric.send(from.number, bytes.length < 100 ? bytes : new Uint8Array(1));
  },
  request: (_, bytes) => bytes,
  peerUp: (peer, returned) => say(`${peer.name} ${returned ? "returned" : "up"}`),
  peerDown: (peer, reason) => say(`${peer.name} ${reason}`),
  gap: (from) => say(`${from.name} gap`),
});
say("started");
process.stdin.on("end", () => process.exit(0)).resume();
