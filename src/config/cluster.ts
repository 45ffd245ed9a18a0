/** `[cluster]`, and what MongooseIM calls `[internal_databases.cets]`: how nodes find each other and what they speak over. */
import * as checks from "./checks.ts";
import { type OptionSpec, type OptionsOf, option } from "./option.ts";
import type { Path } from "./positions.ts";
import { note, problem, type Reading } from "./resolve.ts";
import type { ClusterSettings, NatsSettings } from "./settings.ts";

const DEFAULT_NAME = "meerkat";

const nameAllowed = "1 to 64 letters, digits, and _ . -";
const filePath = "the path of a file (relative: to this file)";
const file = (doc: string) => option.string({ doc, check: checks.isFilled, allowed: filePath });

const nats = option.table(
  {
    servers: option.list(
      option.string({
        check: isNatsServer,
        allowed: 'a host with or without port, such as "nats.example.org:4222"',
        doc: "A server.",
      }),
      {
        default: ["127.0.0.1:4222"],
        minItems: 1,
        distinct: true,
        doc: "NATS servers; one is enough, the others of its cluster are learned from it.",
      },
    ),
    username: option.string({ check: checks.isFilled, doc: "Who we are there." }),
    password: option.string({ secret: true, doc: "Its password." }),
    token: option.string({ secret: true, doc: "A token, where the server asks for one instead." }),
    credentials_file: file(
      "A `.creds` file, or the file of an nkey's seed, instead of all these; read again at each connect.",
    ),
    tls: option.optionalTable(
      {
        verify_mode: option.choice({
          values: ["peer", "none"],
          default: "peer",
          doc: "Whether the server's certificate is checked.",
        }),
        cacertfile: file("Authorities that are trusted instead of the system's, PEM."),
        certfile: file("Our own certificate, when the server asks for one, PEM."),
        keyfile: file("Its private key, PEM."),
        handshake_first: option.boolean({
          default: false,
          doc: "TLS from the first byte, where the server has `handshake_first`.",
        }),
      },
      { doc: "Encryption; the section's presence demands it. Without it there is TLS if the server asks for it." },
    ),
  },
  { doc: 'The NATS servers of fabric "nats". Nothing is stored there.' },
);

export const clusterOptions = option.table(
  {
    name: option.string({
      check: isClusterName,
      allowed: nameAllowed,
      doc: 'What sets the nodes of one cluster apart from those of another, by default "meerkat".',
    }),
    node_name: option.string({
      check: isNodeName,
      allowed: "up to 200 characters without spaces",
      doc: "Name of this node, unique in the cluster and the same at each start; by default the machine's, with the process's number where there are several.",
    }),
    discovery: option.choice({
      values: ["rdbms", "file"],
      doc: "Where nodes find each other: in the SQL database (the default), or in a file.",
    }),
    discovery_file: file(
      "The nodes of the cluster: TOML (`[[node]]` with `name`, `number`, `address`), JSON, or a name a line; the same file for all, read again every ten seconds.",
    ),
    fabric: option.choice({
      values: ["none", "local", "nats"],
      default: "none",
      doc: "What nodes speak over: nothing (a single node), Unix sockets between processes of one machine, or NATS.",
    }),
    heartbeat: option.duration({
      default: 1000,
      min: 100,
      max: 60_000,
      unit: "ms",
      doc: "How often a node says over the fabric that it lives.",
    }),
    expiry: option.duration({
      default: 5000,
      min: 200,
      max: 600_000,
      unit: "ms",
      doc: "Silence after which the others take a node for dead.",
    }),
    nats,
  },
  { doc: "Nodes that serve the same domains together." },
);

export const internalDatabases = option.table(
  {
    cets: option.optionalTable(
      {
        backend: option.choice({ values: ["rdbms", "file"], doc: "The same as `cluster.discovery`." }),
        cluster_name: option.string({
          check: isClusterName,
          allowed: nameAllowed,
          doc: "The same as `cluster.name`.",
        }),
        node_list_file: file("The same as `cluster.discovery_file`."),
      },
      {
        doc: "MongooseIM's names for a part of `[cluster]`.",
        ignored: { node_name_to_ip_file: "nodes are reached through cluster.fabric" },
      },
    ),
  },
  {
    doc: "There are none: persistent data are in SQL, volatile ones replicated in memory.",
    ignored: {
      mnesia: "there are no internal databases: persistent data are in SQL, volatile ones replicated in memory",
      redis: "there are no internal databases: persistent data are in SQL, volatile ones replicated in memory",
    },
  },
);

type ClusterOptions = OptionsOf<{ cluster: typeof clusterOptions }>["cluster"];
type Cets = OptionsOf<{ internalDatabases: typeof internalDatabases }>["internalDatabases"]["cets"];

/** @param absolute makes a path of the file absolute */
export function clusterSettings(
  cluster: ClusterOptions,
  cets: Cets,
  absolute: (path: string) => string,
  reading: Reading,
): ClusterSettings {
  const { fabric, heartbeatMs, expiryMs } = cluster;
  /** An option that has two names must mean the same under both. */
  const either = <T extends string>(one: T | undefined, other: T | undefined, name: string, path: Path) => {
    if (one !== undefined && other !== undefined && one !== other)
      problem(reading, path, `found "${other}"; allowed: the same as cluster.${name}, "${one}", or only one of them`);
    return one ?? other;
  };
  const cetsPath = (name: string): Path => ["internal_databases", "cets", name];
  const discovery = either(cluster.discovery, cets?.backend, "discovery", cetsPath("backend")) ?? "rdbms";
  const name = either(cluster.name, cets?.clusterName, "name", cetsPath("cluster_name")) ?? DEFAULT_NAME;
  const list = either(cluster.discoveryFile, cets?.nodeListFile, "discovery_file", cetsPath("node_list_file"));
  if (discovery === "file" && list === undefined)
    problem(reading, ["cluster", "discovery_file"], 'missing; discovery "file" needs it');
  if (expiryMs < 2 * heartbeatMs)
    problem(
      reading,
      ["cluster", "expiry"],
      `found ${expiryMs}; allowed: at least twice cluster.heartbeat, ${2 * heartbeatMs}`,
    );
  if (cets !== undefined && fabric === "none")
    note(
      reading,
      ["internal_databases", "cets"],
      'this is a single node until cluster.fabric is "nats" (or "local", on one machine)',
    );
  return Object.freeze({
    name,
    nodeName: cluster.nodeName,
    discovery,
    discoveryFile: list && absolute(list),
    fabric,
    heartbeatMs,
    expiryMs,
    nats: natsSettings(cluster.nats, absolute, reading),
  });
}

function natsSettings(
  nats: ClusterOptions["nats"],
  absolute: (path: string) => string,
  reading: Reading,
): NatsSettings {
  const path = (name: string): Path => ["cluster", "nats", name];
  const { username, password, token, credentialsFile, tls } = nats;
  if (credentialsFile !== undefined && (username ?? password ?? token) !== undefined)
    problem(reading, path("credentials_file"), "found with username, password or token; allowed: one way to log in");
  if (token !== undefined && (username ?? password) !== undefined)
    problem(reading, path("token"), "found with username or password; allowed: one way to log in");
  if (password !== undefined && username === undefined)
    problem(reading, path("username"), "missing; the password needs one");
  if (tls !== undefined && (tls.certfile === undefined) !== (tls.keyfile === undefined))
    problem(reading, [...path("tls"), tls.certfile === undefined ? "certfile" : "keyfile"], "missing; both are needed");
  return Object.freeze({
    servers: nats.servers,
    username,
    password,
    token,
    credentialsFile: credentialsFile && absolute(credentialsFile),
    tls:
      tls &&
      Object.freeze({
        verify: tls.verifyMode === "peer",
        caFile: tls.cacertfile && absolute(tls.cacertfile),
        certFile: tls.certfile && absolute(tls.certfile),
        keyFile: tls.keyfile && absolute(tls.keyfile),
        handshakeFirst: tls.handshakeFirst,
      }),
  });
}

function isClusterName(text: string): boolean {
  return /^[\p{L}\p{N}_.-]{1,64}$/u.test(text);
}

function isNodeName(text: string): boolean {
  return /^[^\s\p{C}]{1,200}$/u.test(text);
}

function isNatsServer(text: string): boolean {
  const match = /^(?:(?:nats|tls):\/\/)?(?:\[[0-9a-f:.]+\]|[^\s/@:[\]]+)(?::(\d{1,5}))?$/i.exec(text);
  return match !== null && (match[1] === undefined || Number(match[1]) <= 65_535);
}

/** The sections above, by their names in the file. */
export const clusterSections = {
  cluster: clusterOptions,
  internal_databases: internalDatabases,
} satisfies OptionSpec;
