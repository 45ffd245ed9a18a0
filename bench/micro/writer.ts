/** What it costs to turn messages into bytes for the kernel: the new start tag, the queue of a socket, and encoding. */

import { type ByteSink, Writer } from "../../src/socket/writer.ts";
import { Jid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { type Stanza, stanzaFromFrame } from "../../src/stanza/stanza.ts";
import { parseFrame } from "../../src/xml/scanner.ts";
import { bestOf, report, threadCpu } from "../measure/timing.ts";

const from = Jid.of("juliet", "example.com", "balcony");
const to = Jid.of("romeo", "example.net", "orchard");
const calls = 100_000;

function messageOf(body: string): Stanza {
  const text = `<message to='romeo@example.net/orchard' type='chat' id='c3RhbnphLTE4OTIz'><body>${body}</body></message>`;
  return stanzaFromFrame(parseFrame(text, undefined, ns.client))!.withAddresses(from, to);
}

let bytesTaken = 0;
const sink: ByteSink = {
  take(_bytes, _offset, length) {
    bytesTaken += length;
    return length;
  },
};

const writer = new Writer();
for (const [name, body] of [
  ["64 bytes", "x".repeat(64)],
  ["64 characters, not ASCII", "é".repeat(64)],
  ["4 KB", "x".repeat(4096)],
] as const) {
  const message = messageOf(body);
  // A stanza that is written once has no text yet; making it is a part of the price.
  const fresh = () => Array.from({ length: calls }, () => message.withAddresses(from, to));
  for (const perFlush of [1, 10]) {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const stanzas = fresh();
      const start = threadCpu();
      for (let index = 0; index < stanzas.length; index++) {
        writer.add(stanzas[index]!.toXml());
        if ((index + 1) % perFlush === 0) writer.flush(sink);
      }
      best = Math.min(best, (threadCpu() - start) / stanzas.length);
    }
    report(`message of ${name}, ${perFlush} a flush`, best, "ns");
  }
}

// One stanza for many readers, as to the occupants of a room: its text is made once.
const shared = messageOf("x".repeat(64));
report(
  "the same message to many sockets, each",
  bestOf(calls, () => {
    for (let index = 0; index < calls; index++) {
      writer.add(shared.toXml());
      writer.flush(sink);
    }
  }),
  "ns",
);
if (bytesTaken === 0) throw new Error("nothing was written");
