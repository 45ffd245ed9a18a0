/** `[outgoing_pools]`: connections of the server to databases and HTTP servers. */
import * as checks from "./checks.ts";
import { file } from "./file-option.ts";
import * as mim from "./mongooseim.ts";
import { option } from "./option.ts";

const clientTls = option.optionalTable(
  {
    required: option.boolean({ default: false, doc: "Refuse to go on in clear when the server has no TLS." }),
    verify_mode: option.choice({
      values: ["peer", "none"],
      default: "peer",
      doc: "Whether the server's certificate is checked.",
      unsupported: { selfsigned_peer: "name the certificate in cacertfile" },
    }),
    cacertfile: file("Authorities that are trusted instead of the system's, PEM."),
    certfile: file("Our own certificate, when the server asks for one, PEM."),
    keyfile: file("Its private key, PEM."),
    server_name_indication: option.table(
      {
        enabled: option.boolean({ default: true, only: true, doc: "Tell the server the name we want." }),
        host: option.string({
          check: checks.isDomain,
          allowed: "a domain",
          doc: "The name its certificate must bear; by default `host`.",
        }),
      },
      { doc: "The name in the handshake.", ignored: { protocol: "names are checked by one rule" } },
    ),
  },
  {
    doc: "Encryption of the connection.",
    ignored: mim.TLS_IGNORED,
    unsupported: { ciphers: "", versions: "", password: "", ...mim.TLS_UNSUPPORTED },
  },
);

const httpPool = option.table(
  {
    workers: option.integer({ default: 10, min: 1, max: 1000, unit: "requests", doc: "Most requests at once." }),
    scope: option.choice({
      values: ["global"],
      default: "global",
      doc: "The pool is of the node.",
      unsupported: { host_type: "", host: "", single_host: "" },
    }),
    connection: option.table(
      {
        host: option.string({
          required: true,
          check: (text) => /^https?:\/\/[^\s/?#@]+\/?$/.test(text),
          allowed: 'the beginning of a URL, such as "https://push.example.org:8443"',
          doc: "Where the server is.",
        }),
        path_prefix: option.string({
          default: "/",
          check: (text) => /^\/[^\s?#]*$/.test(text),
          allowed: 'a path, such as "/api"',
          doc: "What stands before the path of every request.",
        }),
        request_timeout: option.duration({
          default: 2000,
          min: 1,
          max: 600_000,
          unit: "ms",
          doc: "How long one request may take.",
        }),
      },
      { doc: "The server.", unsupported: { tls: "certificates are checked by the system's authorities" } },
    ),
  },
  {
    doc: "An HTTP server.",
    ignored: {
      strategy: "requests are not bound to connections",
      call_timeout: "request_timeout bounds a request",
      max_worker_queue_len: "modules bound their own queues",
    },
  },
);

const rdbmsPool = option.table(
  {
    workers: option.integer({
      default: 10,
      min: 1,
      max: 1000,
      unit: "connections",
      doc: "Most connections to the database at once (SQLite always has one).",
    }),
    scope: option.choice({
      values: ["global"],
      default: "global",
      doc: "The pool is of the node.",
      unsupported: { host_type: "", host: "", single_host: "" },
    }),
    connection: option.table(
      {
        driver: option.choice({
          values: ["sqlite", "pgsql", "mysql"],
          default: "sqlite",
          doc: "SQLite in a file, PostgreSQL, or MySQL and MariaDB.",
          unsupported: { cockroachdb: "", odbc: "MongooseIM has removed it" },
        }),
        database: option.string({
          check: checks.isFilled,
          doc: 'Name of the database; of SQLite the file, relative to the data folder, by default "meerkat.sqlite".',
        }),
        host: option.string({
          check: checks.isHost,
          allowed: "a host name, an IP address, or the folder of a Unix socket",
          doc: "Where the server is.",
        }),
        port: option.integer({ min: 1, max: 65_535, doc: "Its port; by default 5432 (pgsql) or 3306 (mysql)." }),
        username: option.string({ check: checks.isFilled, doc: "Who we are there." }),
        password: option.string({ secret: true, doc: "Its password." }),
        query_timeout: option.duration({
          default: 5000,
          min: 1,
          max: 3_600_000,
          unit: "ms",
          doc: "How long one query may take; of SQLite, how long a write may wait for another process.",
        }),
        connect_timeout: option.duration({
          default: 5000,
          min: 1,
          max: 3_600_000,
          unit: "ms",
          doc: "How long connecting, or waiting for a free connection, may take.",
        }),
        synchronous: option.choice({
          values: ["normal", "full"],
          default: "normal",
          doc: "SQLite: a commit waits for the operating system (a power cut may lose the last moments) or for the disk.",
        }),
        tls: clientTls,
      },
      {
        doc: "The connection.",
        ignored: mim.CONNECTION_IGNORED,
        unsupported: { settings: "give host, database and username" },
      },
    ),
  },
  { doc: "The database.", ignored: mim.POOL_IGNORED },
);

export const outgoingPools = option.table(
  {
    rdbms: option.table({ default: rdbmsPool }, { doc: "SQL databases." }),
    http: option.map(httpPool, { doc: "HTTP servers that modules ask, by a name of your choice." }),
  },
  { doc: "Connections of the server to others.", unsupported: mim.POOLS_UNSUPPORTED },
);
