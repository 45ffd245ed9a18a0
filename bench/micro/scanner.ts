/** How fast stanzas are found in a stream: our scanner beside two XML parsers that others wrote. `--json` prints numbers for programs. */

import { Buffer } from "node:buffer";
import { parseArgs } from "node:util";
import LtxParser from "ltx/lib/parsers/ltx.js";
import { SaxesParser } from "saxes";
import { type Frame, Scanner } from "../../src/xml/scanner.ts";
import { threadCpu } from "../measure/timing.ts";

const HEADER =
  "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

interface Sample {
  readonly name: string;
  readonly stanza: string;
}

/** Feeds chunks to a new parser and returns how many stanzas came out. */
type Contender = (chunks: readonly Buffer[]) => number;

interface Row {
  sample: string;
  chunk: string;
  parser: string;
  bytes: number;
  mbPerSecond: number;
  stanzasPerSecond: number;
}

const { values: options } = parseArgs({
  options: { json: { type: "boolean", default: false }, milliseconds: { type: "string", default: "400" } },
});
const MEASURED_MS = Number(options.milliseconds);
const BATCH_BYTES = 1024 * 1024;

const body = "Shall we meet at the usual place after the rehearsal tonight? ";

const samples: Sample[] = [
  {
    name: "message 200 B",
    stanza:
      "<message to='romeo@example.net/orchard' type='chat' id='c3RhbnphLTE4OTIz'><body>Shall we meet at the usual place tonight? Bring the letter.</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
  },
  {
    name: "message, é",
    stanza:
      "<message to='romeo@example.net/orchard' type='chat' id='c3RhbnphLTE4OTIz'><body>Où est le café habituel ? Apportez la lettre, à bientôt.</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
  },
  {
    name: "presence 230 B",
    stanza:
      "<presence id='p-18'><show>away</show><status>At the market</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example/caps' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>",
  },
  {
    name: "message 4 KB",
    stanza: `<message to='romeo@example.net/orchard' type='chat' id='c3RhbnphLTE4OTIz'><body>${body.repeat(64)}</body></message>`,
  },
];

const ours: Contender = (chunks) => {
  let found = 0;
  const scanner = new Scanner({
    streamStart: () => true,
    element: (frame: Frame) => {
      if (frame.children.length !== 0) found++;
      return true;
    },
    streamEnd: () => {},
  });
  for (const chunk of chunks) scanner.push(chunk);
  return found;
};

/** The usual way with a SAX parser: text is decoded, elements are followed, nothing is kept. */
const saxes: Contender = (chunks) => {
  let found = 0;
  let depth = 0;
  const parser = new SaxesParser({ xmlns: true });
  parser.on("opentag", () => {
    depth++;
  });
  parser.on("closetag", () => {
    if (--depth === 1) found++;
  });
  parser.on("error", (error) => {
    throw error;
  });
  for (const chunk of chunks) parser.write(chunk.toString("utf8"));
  return found;
};

/** The tokenizer below @xmpp/client. It checks little. */
const ltx: Contender = (chunks) => {
  let found = 0;
  let depth = 0;
  const parser = new LtxParser();
  parser.on("startElement", () => {
    depth++;
  });
  parser.on("endElement", () => {
    if (--depth === 1) found++;
  });
  for (const chunk of chunks) parser.write(chunk.toString("utf8"));
  return found;
};

const contenders: [string, Contender][] = [
  ["meerkat", ours],
  ["saxes", saxes],
  ["ltx", ltx],
];

/** A stream of about `BATCH_BYTES`, cut as sockets would cut it. */
function chunksOf(stanza: string, perChunk: number): { chunks: Buffer[]; count: number; bytes: number } {
  const chunk = Buffer.from(stanza.repeat(perChunk));
  const repeats = Math.max(1, Math.round(BATCH_BYTES / chunk.length));
  const chunks = [Buffer.from(HEADER), ...new Array<Buffer>(repeats).fill(chunk)];
  return { chunks, count: repeats * perChunk, bytes: repeats * chunk.length };
}

function measure(run: Contender, chunks: readonly Buffer[], count: number, bytes: number): number {
  const warmUntil = threadCpu() / 1e6 + MEASURED_MS / 2;
  do {
    if (run(chunks) !== count) throw new Error("a parser lost stanzas");
  } while (threadCpu() / 1e6 < warmUntil);
  const started = threadCpu() / 1e6;
  let rounds = 0;
  let elapsed = 0;
  do {
    run(chunks);
    rounds++;
    elapsed = threadCpu() / 1e6 - started;
  } while (elapsed < MEASURED_MS);
  return (rounds * bytes) / 1e6 / (elapsed / 1e3);
}

const rows: Row[] = [];
for (const sample of samples) {
  const bytes = Buffer.byteLength(sample.stanza);
  for (const [chunk, perChunk] of [
    ["1 stanza", 1],
    ["64 KB", Math.max(1, Math.round(65536 / bytes))],
  ] as const) {
    const stream = chunksOf(sample.stanza, perChunk);
    for (const [parser, run] of contenders) {
      const mbPerSecond = measure(run, stream.chunks, stream.count, stream.bytes);
      rows.push({
        sample: sample.name,
        chunk,
        parser,
        bytes,
        mbPerSecond: Math.round(mbPerSecond * 10) / 10,
        stanzasPerSecond: Math.round((mbPerSecond * 1e6) / bytes),
      });
    }
  }
}

if (options.json) {
  console.log(JSON.stringify({ benchmark: "xml scanner", runtime: process.versions, rows }));
} else {
  console.log(
    `${"stanza".padEnd(16)}${"chunk".padEnd(10)}${"parser".padEnd(10)}${"MB/s".padStart(9)}${"stanzas/s".padStart(13)}`,
  );
  for (const row of rows) {
    const rate = row.mbPerSecond.toFixed(1).padStart(9);
    console.log(
      `${row.sample.padEnd(16)}${row.chunk.padEnd(10)}${row.parser.padEnd(10)}${rate}${String(row.stanzasPerSecond).padStart(13)}`,
    );
  }
}
