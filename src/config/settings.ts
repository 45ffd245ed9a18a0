/** The checked configuration as the rest of the house sees it: frozen, resolved for each host, all references followed. */

import type { LogLevel } from "../util/log-levels.ts";
import type { AccessRules } from "./access.ts";
import type { Limits } from "./limits.ts";

export type TlsVersion = "tlsv1.2" | "tlsv1.3";

/** PEM files of a certificate; the paths are absolute. */
export interface CertificateFiles {
  /** The table of the configuration that names them, such as `general.domain_certfile[0]`; undefined for our own. */
  readonly option: string | undefined;
  readonly certfile: string;
  /** The same file as `certfile` when that holds the key too. */
  readonly keyfile: string;
}

/** Encryption of a listener. */
export interface TlsSettings {
  /** Undefined: the self-signed certificate of the data folder. */
  readonly certificate: CertificateFiles | undefined;
  /** Passphrase of the private key. */
  readonly passphrase: string | undefined;
  readonly ciphers: string | undefined;
  readonly versions: readonly TlsVersion[];
}

export interface C2sTlsSettings extends TlsSettings {
  readonly mode: "tls" | "starttls" | "starttls_required";
}

export interface ListenerAddress {
  /** `listen.c2s[0]`: to say which listener is meant, and which option changes its port. */
  readonly option: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly ipAddress: string;
}

/** What is decided about the clients of one listener, be it TCP or WebSocket. */
export interface ClientPolicy {
  /** Bytes a second read from one client; Infinity for no limit. */
  readonly bytesPerSecond: number;
  /** The access rule that lets accounts open sessions. */
  readonly access: string;
  readonly stanzaBytesMax: number;
  readonly stateTimeoutMs: number;
  readonly backwardsCompatibleSession: boolean;
}

export interface C2sListener extends ListenerAddress, ClientPolicy {
  /** Infinity for no limit. */
  readonly connectionsMax: number;
  readonly reusePort: boolean;
  readonly proxyProtocol: boolean;
  readonly tls: C2sTlsSettings | undefined;
}

/** Where something is served: `host` "_" is any. */
export interface HttpPlace {
  readonly host: string;
  readonly path: string;
}

export interface WebSocketHandler extends HttpPlace, ClientPolicy {
  /** Silence after which a connection is closed; Infinity for never. */
  readonly timeoutMs: number;
}

export interface HostMetaHandler extends HttpPlace {
  /** Base of the WebSocket's URL, `https:`, when it is not this listener's own. */
  readonly publicUrl: string | undefined;
}

export interface UploadHandler extends HttpPlace {
  /** Base of the handler's URL, `https:`, when it is not this listener's own. */
  readonly publicUrl: string | undefined;
}

export interface HttpListener extends ListenerAddress {
  readonly tls: TlsSettings | undefined;
  /** Most WebSockets; Infinity for no limit. */
  readonly connectionsMax: number;
  readonly handlers: {
    readonly webSocket: readonly WebSocketHandler[];
    readonly chat: readonly HttpPlace[];
    readonly prometheus: readonly HttpPlace[];
    readonly health: readonly HttpPlace[];
    readonly hostMeta: readonly HostMetaHandler[];
    readonly upload: readonly UploadHandler[];
  };
}

export type PasswordHash = "sha1" | "sha224" | "sha256" | "sha384" | "sha512";

export interface AuthSettings {
  readonly hashes: readonly PasswordHash[];
  readonly scramIterations: number;
  /** In the order they are offered. */
  readonly saslMechanisms: readonly string[];
  /** Infinity for no limit. */
  readonly usersMax: number;
}

export interface SqliteDatabase {
  readonly driver: "sqlite";
  /** A path, relative to the data folder when it is relative, or ":memory:". */
  readonly path: string;
  readonly synchronous: "normal" | "full";
  readonly queryTimeoutMs: number;
}

export interface ServerDatabase {
  readonly driver: "pgsql" | "mysql";
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
  /** "" when the server asks for none. */
  readonly password: string;
  readonly tls?: {
    readonly required: boolean;
    readonly verify: "peer" | "none";
    readonly caFile?: string;
    readonly certFile?: string;
    readonly keyFile?: string;
    readonly serverName?: string;
  };
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly queryTimeoutMs: number;
}

export type DatabaseSettings = SqliteDatabase | ServerDatabase;

/** How the NATS servers are reached. */
export interface NatsSettings {
  /** `host`, `host:port` or `nats://host:port`; further servers of their cluster are learned. */
  readonly servers: readonly string[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  /** A `.creds` file, or one with an nkey's seed; the path is absolute. */
  readonly credentialsFile: string | undefined;
  /** Undefined: TLS only if the server asks for it. */
  readonly tls:
    | {
        readonly verify: boolean;
        readonly caFile: string | undefined;
        readonly certFile: string | undefined;
        readonly keyFile: string | undefined;
        /** TLS from the first byte, as the server's `handshake_first`. */
        readonly handshakeFirst: boolean;
      }
    | undefined;
}

export interface ClusterSettings {
  readonly name: string;
  /** Undefined: that of the machine. */
  readonly nodeName: string | undefined;
  readonly discovery: "rdbms" | "file";
  /** There is one where `discovery` is "file"; the path is absolute. */
  readonly discoveryFile: string | undefined;
  /** "none": a single node. */
  readonly fabric: "none" | "local" | "nats";
  readonly heartbeatMs: number;
  readonly expiryMs: number;
  readonly nats: NatsSettings;
}

/** Options of the configured modules by name, in the order of the file. */
export type ModuleOptions = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

/** What holds for one domain, its `[[host_config]]` included. */
export interface HostSettings {
  readonly domain: string;
  readonly auth: AuthSettings;
  readonly modules: ModuleOptions;
  readonly access: AccessRules;
  /** Its own certificate, before that of the listener. */
  readonly certificate: CertificateFiles | undefined;
}

/** An HTTP server that the node asks. */
export interface HttpPool {
  /** Where requests go, without a slash at the end. */
  readonly url: string;
  /** Most requests at once. */
  readonly workers: number;
  readonly requestTimeoutMs: number;
}

export interface Settings {
  /** The file these come from, as it was named. */
  readonly file: string;
  readonly logLevel: LogLevel;
  /** Processes of this machine that act as one server. */
  readonly processes: number | "auto";
  /** The default `xml:lang` of streams. */
  readonly language: string;
  /** Shortest time between two registrations from one address; Infinity: one ever. */
  readonly registrationTimeoutMs: number;
  /** `[outgoing_pools.http]`, by name. */
  readonly httpPools: ReadonlyMap<string, HttpPool>;
  /** The domain that answers a client that names none; one of `hosts`. */
  readonly defaultDomain: string;
  readonly hosts: ReadonlyMap<string, HostSettings>;
  readonly listen: { readonly c2s: readonly C2sListener[]; readonly http: readonly HttpListener[] };
  readonly database: DatabaseSettings;
  readonly cluster: ClusterSettings;
  /** `max_rate` by name, "none" (Infinity) included. */
  readonly shapers: ReadonlyMap<string, number>;
  readonly limits: Limits;
}
