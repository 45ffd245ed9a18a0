/** What this server must cost at most, and whether it does: a row for each promise, from the results of the scenarios. */
import { figureOf, type Result } from "./result.ts";

/** What earlier runs have left, by scenario; the text of micro benchmarks by name. */
export interface Results {
  of(scenario: string): Result | undefined;
  micro(name: string): string | undefined;
}

export interface Budget {
  readonly what: string;
  readonly must: string;
  readonly aim: string;
  /** Undefined if it was not measured. */
  readonly measured: string | undefined;
  readonly met: boolean | undefined;
  /** After `npm run bench -- `. */
  readonly command: string;
}

/** A share of ejabberd's cost, such as 1/4. */
function share(
  results: Results,
  what: string,
  scenario: string,
  name: string,
  limits: { must: number; aim?: number; key?: string },
): Budget {
  const { must, aim, key = "cpu" } = limits;
  const result = results.of(scenario);
  const ours = figureOf(result, name, "meerkat", key);
  const peer = figureOf(result, name, "ejabberd", key);
  const command = `${scenario} --cases "${name}"`;
  const shared = { what, must: `1/${must} of ejabberd's CPU`, aim: aim === undefined ? "" : `1/${aim}`, command };
  if (ours === undefined || peer === undefined) return { ...shared, measured: undefined, met: undefined };
  const measured = `1/${(peer / ours).toFixed(1)} (${ours.toFixed(2)} of ${peer.toFixed(2)} s)`;
  return { ...shared, measured, met: peer / ours >= must };
}

/** So many kilobytes, milliseconds or times at most. */
function atMost(
  value: number | undefined,
  {
    what,
    must,
    aim,
    unit,
    digits,
    command,
  }: { what: string; must: number; aim?: number; unit: string; digits: number; command: string },
): Budget {
  const shared = {
    what,
    must: `${must} ${unit}`.trim(),
    aim: aim === undefined ? "" : `${aim} ${unit}`.trim(),
    command,
  };
  if (value === undefined) return { ...shared, measured: undefined, met: undefined };
  return { ...shared, measured: `${value.toFixed(digits)} ${unit}`.trim(), met: value <= must };
}

/** MB/s of a parser on 200-byte messages, 64 KB at a time, in the printed table of the scanner's benchmark. */
export function scannerRate(text: string | undefined, parser: string): number | undefined {
  const found = new RegExp(`^message 200 B +64 KB +${parser} +([0-9.]+)`, "m").exec(text ?? "")?.[1];
  return found === undefined ? undefined : Number(found);
}

function scanner(results: Results): Budget {
  const text = results.micro("scanner");
  const rates = ["meerkat", "saxes", "ltx"].map((parser) => scannerRate(text, parser));
  const shared = {
    what: "scanner, 200-byte messages, full checks",
    must: "150 MB/s, 5 times saxes and ltx",
    aim: "300 MB/s",
    command: "micro scanner",
  };
  const [ours, saxes, ltx] = rates;
  if (ours === undefined || saxes === undefined || ltx === undefined) {
    return { ...shared, measured: undefined, met: undefined };
  }
  const measured = `${ours.toFixed(0)} MB/s, ${(ours / saxes).toFixed(1)} and ${(ours / ltx).toFixed(1)} times`;
  return { ...shared, measured, met: ours >= 150 && ours >= 5 * saxes && ours >= 5 * ltx };
}

function growth(results: Results): Budget[] {
  const result = results.of("growth");
  const small = result?.rows[0];
  const large = result?.rows.at(-1);
  const ratio = (key: string) => {
    const [before, after] = [small?.medians[key], large?.medians[key]];
    return before === undefined || after === undefined ? undefined : after / before;
  };
  const shared = { must: 1.2, unit: "times", digits: 2, command: "growth" };
  const names = `${small?.case ?? "1,000 users"} to ${large?.case ?? "15,000 users"}`;
  return [
    atMost(ratio("cpu"), { what: `growth, ${names}: CPU of a message`, ...shared }),
    atMost(ratio("bytes"), { what: `growth, ${names}: memory of a user`, ...shared }),
  ];
}

/** What is asked of a cluster; of several sizes of the directory, the largest. */
function cluster(results: Results): Budget[] {
  const result = results.of("cluster");
  const figure = (name: string | undefined, key: string) =>
    name === undefined ? undefined : figureOf(result, name, "meerkat", key);
  const across = ["sockets", "NATS"].flatMap((fabric) =>
    [1, 10].map((window) =>
      atMost(figure(`${fabric}, pairs across, ${window} outstanding`, "ratio"), {
        what: `message to another node, ${fabric}, ${window} outstanding (NATS's own CPU apart)`,
        must: 3,
        unit: "times one on one node",
        digits: 1,
        command: "cluster --cases outstanding",
      }),
    ),
  );
  const last = (group: string) => result?.rows.filter((row) => row.group === group).at(-1)?.case;
  const [directory, joined] = [last("directory"), last("join")];
  const command = "cluster --cases sessions";
  return [
    ...across,
    atMost(figure(directory, "bytes"), {
      what: `remote session in each node (${directory ?? "10,000,000 sessions"})`,
      must: 64,
      unit: "bytes",
      digits: 1,
      command,
    }),
    atMost(figure(directory, "hit"), {
      what: `lookup of an account (${directory ?? "10,000,000 sessions"})`,
      must: 300,
      unit: "ns",
      digits: 0,
      command,
    }),
    atMost(figure(joined, "readySeconds"), {
      what: `a node is ready (${joined ?? "joining 1,000,000 sessions"})`,
      must: 10,
      unit: "s",
      digits: 1,
      command,
    }),
    atMost(figure(joined, "giverTurn"), {
      what: "its giver is deaf to users at most",
      must: 50,
      unit: "ms",
      digits: 0,
      command,
    }),
  ];
}

/** Whatever number of occupants was measured. */
function roomCase(results: Results, window: number): string {
  const ends = `occupants, ${window} outstanding`;
  return results.of("fanout")?.rows.find((row) => row.case.endsWith(ends))?.case ?? `300 ${ends}`;
}

export function budgets(results: Results): Budget[] {
  const connect = results.of("connect");
  const messages = results.of("messages");
  const rate = "plain, 1,000/s open loop";
  const soak = results.of("soak");
  return [
    share(results, "messages, 1 outstanding", "messages", "plain, 1 outstanding", { must: 4, aim: 5 }),
    share(results, "messages, 10 outstanding", "messages", "plain, 10 outstanding", { must: 5, aim: 8 }),
    share(results, "over TLS, 1 outstanding", "messages", "TLS, 1 outstanding", { must: 4 }),
    share(results, "over TLS, 10 outstanding", "messages", "TLS, 10 outstanding", { must: 5 }),
    atMost(figureOf(connect, "plain", "meerkat", "bytes"), {
      what: "idle user, plain",
      must: 6,
      aim: 4,
      unit: "KB",
      digits: 1,
      command: "connect --cases plain",
    }),
    atMost(figureOf(connect, "TLS", "meerkat", "bytes"), {
      what: "idle user, TLS",
      must: 16,
      aim: 12,
      unit: "KB",
      digits: 1,
      command: "connect --cases TLS",
    }),
    share(results, "login, SCRAM-SHA-1", "login", "SCRAM-SHA-1", { must: 4, aim: 6 }),
    share(results, "login, SCRAM-SHA-1 with TLS 1.3", "login", "SCRAM-SHA-1, TLS", { must: 2, aim: 3 }),
    // 1/5 of what ejabberd costs with busy waiting, 25 s; here it runs without, which is better for it.
    atMost(figureOf(messages, rate, "meerkat", "cpu"), {
      what: "1,000 messages/s: CPU per 100k",
      must: 5,
      unit: "s",
      digits: 2,
      command: `messages --cases "${rate}"`,
    }),
    atMost(figureOf(messages, rate, "meerkat", "p99"), {
      what: "1,000 messages/s: p99 from the intended time, on a quiet core",
      must: 3,
      aim: 1,
      unit: "ms",
      digits: 2,
      command: `messages --cases "${rate}"`,
    }),
    scanner(results),
    ...[1, 10].map((window) => {
      const name = roomCase(results, window);
      return share(results, `delivery in a room, ${window} outstanding`, "fanout", name, { must: 6 });
    }),
    ...[1, 10].flatMap((window) => {
      const name = `PostgreSQL, ${window} outstanding`;
      const what = `archived message in PostgreSQL, ${window} outstanding`;
      return [
        share(results, what, "archive", name, { must: 4 }),
        atMost(figureOf(results.of("archive"), name, "meerkat", "cpu"), {
          what: `${what}, per 100k, of the server`,
          must: 10,
          unit: "s",
          digits: 2,
          command: `archive --cases "${name}"`,
        }),
      ];
    }),
    ...growth(results),
    ...cluster(results),
    atMost(soak?.rows[0]?.medians.growth, {
      what: `memory of busy sessions (${soak?.rows[0]?.case ?? "an hour"}), last quarter to second`,
      must: 1.02,
      unit: "times",
      digits: 3,
      command: "soak",
    }),
  ];
}
