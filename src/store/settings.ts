/** What the store needs to know to open a database; the configuration produces it, the store never reads files of settings itself. */

/** One file (or memory) of the embedded database. */
export interface SqliteSettings {
  driver: "sqlite";
  /** The file, created with its folder when missing (readable by its owner only); ":memory:" keeps nothing. */
  path: string;
  /**
   * What a commit waits for. "normal" (default): the operating system has the bytes, so a killed process loses
   * nothing and a power cut may lose the last moments; "full": the disk has them.
   */
  synchronous?: "normal" | "full";
  /** How long a write waits for another process that holds the file, in milliseconds (default 10,000). */
  queryTimeoutMs?: number;
}

/** How the connection to a database server is encrypted and whom it trusts. */
export interface StoreTlsSettings {
  /** false: encrypt when the server offers it, else go on in clear; true: refuse to connect in clear. */
  required: boolean;
  /** "peer" checks the certificate against the authorities; "none" takes any (then TLS keeps out listeners, not impostors). */
  verify: "peer" | "none";
  /** PEM files: authorities to trust, and our own certificate and key when the server asks for one. */
  caFile?: string;
  certFile?: string;
  keyFile?: string;
  /** The name the certificate must bear; by default the host. */
  serverName?: string;
}

/** A PostgreSQL, MySQL or MariaDB server. */
export interface ServerSettings {
  driver: "pgsql" | "mysql";
  host: string;
  port: number;
  database: string;
  username: string;
  password: string;
  tls?: StoreTlsSettings;
  /** Most connections open at once. */
  poolSize: number;
  /** How long connecting, or waiting for a free connection, may take, in milliseconds. */
  connectTimeoutMs: number;
  /** How long one query may take, in milliseconds; migrations are exempt. */
  queryTimeoutMs: number;
}

export type StoreSettings = SqliteSettings | ServerSettings;

/** The kind of SQL that is spoken; MariaDB counts as "mysql". */
export type StoreDialect = "sqlite" | "postgres" | "mysql";
