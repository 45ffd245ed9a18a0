/**
 * Every option of the configuration file except those of modules, which declare their own. Names and defaults are
 * MongooseIM's where it has the option.
 */

import { LOG_LEVELS } from "../util/log-levels.ts";
import * as checks from "./checks.ts";
import { clusterSections } from "./cluster.ts";
import { file } from "./file-option.ts";
import { FIXED_LIMITS, limitOptions } from "./limits.ts";
import * as mim from "./mongooseim.ts";
import { type OptionSpec, type OptionsOf, option } from "./option.ts";
import { outgoingPools } from "./outgoing-pools.ts";

const stanzaSize = option.infinityOr(
  option.integer({
    default: 262_144,
    min: FIXED_LIMITS.stanzaBytesFloor,
    max: FIXED_LIMITS.stanzaBytesCeiling,
    unit: "bytes",
    doc: 'Largest stanza of a client that has logged in; a larger one closes the stream with `policy-violation`. "infinity" means the most there is, 10 MiB.',
  }),
);

const tlsMode = option.choice({
  values: ["tls", "starttls", "starttls_required"],
  default: "starttls",
  doc: "Encrypted from the first byte, or after STARTTLS, which clients may or must use.",
});

const tlsOptions = {
  certfile: file("Certificate with its chain, PEM. Without it a self-signed one is made in the data folder."),
  keyfile: file("Private key of the certificate, PEM; may be left out when `certfile` holds it too."),
  password: option.string({ secret: true, doc: "Passphrase of the private key." }),
  ciphers: option.string({
    check: checks.isFilled,
    doc: "Cipher suites up to TLS 1.2, as OpenSSL lists them; by default the TLS library's.",
  }),
  versions: option.list(
    option.choice({
      values: ["tlsv1.2", "tlsv1.3"],
      doc: "A version.",
      unsupported: { tlsv1: "it is broken", "tlsv1.1": "it is broken" },
    }),
    {
      default: ["tlsv1.2", "tlsv1.3"],
      minItems: 1,
      distinct: true,
      doc: "Versions of TLS that are spoken.",
    },
  ),
  verify_mode: option.choice({
    values: ["none"],
    default: "none",
    doc: "Whether clients are asked for certificates.",
    unsupported: { peer: "", selfsigned_peer: "" },
  }),
} satisfies OptionSpec;

const tlsTable = {
  doc: "Encryption; the section's presence turns it on.",
  ignored: mim.TLS_IGNORED,
  unsupported: mim.TLS_UNSUPPORTED,
};

const listenerOptions = {
  port: option.integer({ required: true, min: 0, max: 65_535, doc: "TCP port; 0 takes a free one." }),
  ip_address: option.string({
    check: checks.isIpAddress,
    allowed: "an IPv4 or IPv6 address",
    doc: 'Address to listen on; by default all of the family, "0.0.0.0" or "::" ("::" takes IPv4 too where the system lets it).',
  }),
  ip_version: option.integer({ min: 4, max: 6, doc: "4 or 6; by default that of `ip_address`, else 4." }),
  proto: option.choice({ values: ["tcp"], default: "tcp", doc: "Transport." }),
} satisfies OptionSpec;

const clientOptions = {
  shaper: option.shaper({ default: "none", doc: "Shaper that bounds the bytes a second read from one client." }),
  access: option.access({ default: "all", doc: "Access rule that decides who may open a session." }),
  max_stanza_size: stanzaSize,
  state_timeout: option.duration({
    default: 5000,
    min: 100,
    max: 3_600_000,
    unit: "ms",
    doc: "How long a client may take for each step until its session is open.",
  }),
  backwards_compatible_session: option.boolean({
    default: true,
    doc: "Offer the session of RFC 3921 too, as optional.",
  }),
  allowed_auth_methods: option.list(
    option.choice({ values: ["internal", "rdbms"], doc: "A method.", unsupported: mim.AUTH_METHODS_UNSUPPORTED }),
    { distinct: true, doc: "Methods of `auth.methods` that this listener takes; empty means all." },
  ),
} satisfies OptionSpec;

const c2s = option.table(
  {
    ...listenerOptions,
    ...clientOptions,
    max_connections: option.infinityOr(
      option.integer({
        default: Number.POSITIVE_INFINITY,
        min: 1,
        unit: "connections",
        doc: "Most connections of this listener; further ones are closed at once.",
      }),
    ),
    reuse_port: option.boolean({ default: false, doc: "Let several processes listen on this port (SO_REUSEPORT)." }),
    proxy_protocol: option.boolean({
      default: false,
      doc: "Every connection comes through a load balancer and begins with a header of the PROXY protocol (version 1 or 2), which names the client; others are closed.",
    }),
    tls: option.optionalTable({ mode: tlsMode, ...tlsOptions }, tlsTable),
  },
  { doc: "Clients over TCP.", ignored: mim.C2S_IGNORED, unsupported: mim.C2S_UNSUPPORTED },
);

const handlerOptions = (path: string) =>
  ({
    host: option.string({
      default: "_",
      check: (text) => text === "_" || checks.isHost(text),
      allowed: 'a host name, or "_" for any',
      doc: 'Only requests to this host; "_" is any.',
    }),
    path: option.string({
      default: path,
      check: checks.isUrlPath,
      allowed: 'a path that begins with "/", without : * and %',
      doc: "Path of the URL.",
    }),
  }) satisfies OptionSpec;

const handlers = option.table(
  {
    mongoose_websocket_handler: option.list(
      option.table(
        {
          ...handlerOptions("/ws-xmpp"),
          ...clientOptions,
          timeout: option.infinityOr(
            option.duration({
              default: 60_000,
              min: 1000,
              max: 960_000,
              unit: "ms",
              doc: "Silence after which a connection is closed; a client that is there is pinged in time.",
            }),
          ),
        },
        { doc: "XMPP over WebSocket (RFC 7395).", ignored: mim.WEBSOCKET_IGNORED },
      ),
      { doc: "XMPP over WebSocket (RFC 7395)." },
    ),
    meerkat_chat_handler: option.list(option.table(handlerOptions("/chat"), { doc: "The web chat." }), {
      doc: "The web chat.",
    }),
    mongoose_prometheus_handler: option.list(option.table(handlerOptions("/metrics"), { doc: "Metrics." }), {
      doc: "Metrics for Prometheus.",
    }),
    meerkat_health_handler: option.list(option.table(handlerOptions("/health"), { doc: "Health." }), {
      doc: "`/live` and `/ready` below this path say whether the node runs, and whether it takes clients.",
    }),
    meerkat_host_meta_handler: option.list(
      option.table(
        {
          ...handlerOptions("/.well-known"),
          public_url: option.string({
            check: checks.isHttpsBase,
            allowed: 'the beginning of an https: URL, such as "https://chat.example.org"',
            doc: "Where clients reach the WebSocket, when something with TLS stands in front of this listener.",
          }),
        },
        { doc: "Host metadata." },
      ),
      { doc: "`host-meta` and `host-meta.json` below this path tell web clients where the WebSocket is (XEP-0156)." },
    ),
    meerkat_upload_handler: option.list(
      option.table(
        {
          ...handlerOptions("/upload"),
          public_url: option.string({
            check: checks.isHttpsBase,
            allowed: 'the beginning of an https: URL, such as "https://files.example.org"',
            doc: "Where clients reach this handler, without its path, when something with TLS stands in front of this listener.",
          }),
        },
        { doc: "Uploaded files." },
      ),
      { doc: "Files of mod_http_upload are taken and handed out below this path (XEP-0363)." },
    ),
  },
  {
    doc: "What is served.",
    unsupported: {
      mongoose_bosh_handler: "clients may use the WebSocket",
      mongoose_graphql_handler: "",
      mongoose_admin_api: "",
      mongoose_client_api: "",
      mongoose_domain_handler: "",
      mod_bosh: "",
      mod_websockets: "its name is mongoose_websocket_handler now",
    },
  },
);

const http = option.table(
  {
    ...listenerOptions,
    tls: option.optionalTable(tlsOptions, tlsTable),
    transport: option.table(
      {
        max_connections: option.infinityOr(
          option.integer({
            default: Number.POSITIVE_INFINITY,
            min: 1,
            unit: "connections",
            doc: "Most WebSockets of this listener; further ones get 503.",
          }),
        ),
      },
      { doc: "Connections.", ignored: { num_acceptors: mim.LISTENER_IGNORED.num_acceptors! } },
    ),
    protocol: option.table(
      { compress: option.boolean({ default: false, only: false, doc: "Compress responses." }) },
      { doc: "Responses." },
    ),
    handlers,
  },
  { doc: "HTTP and WebSocket.", ignored: mim.LISTENER_IGNORED },
);

const MECHANISMS = [
  ...["512", "384", "256", "224", "1"].flatMap((bits) => [`SCRAM-SHA-${bits}-PLUS`, `SCRAM-SHA-${bits}`]),
  "PLAIN",
];

export const authOptions = option.table(
  {
    methods: option.list(
      option.choice({ values: ["internal", "rdbms"], doc: "A method.", unsupported: mim.AUTH_METHODS_UNSUPPORTED }),
      {
        default: ["rdbms"],
        minItems: 1,
        distinct: true,
        doc: "Where accounts are looked up. Both names mean the accounts in the SQL database.",
      },
    ),
    password: option.table(
      {
        format: option.choice({
          values: ["scram"],
          default: "scram",
          doc: "How passwords are stored: as SCRAM keys, never as text.",
          unsupported: { plain: "Meerkat never stores passwords that can be read" },
        }),
        hash: option.list(option.choice({ values: ["sha", "sha224", "sha256", "sha384", "sha512"], doc: "A hash." }), {
          default: ["sha", "sha224", "sha256", "sha384", "sha512"],
          minItems: 1,
          distinct: true,
          doc: "Hashes for which SCRAM keys are stored.",
        }),
      },
      { doc: "How passwords are stored." },
    ),
    scram_iterations: option.integer({
      default: 10_000,
      min: 4096,
      max: 10_000_000,
      unit: "rounds",
      doc: "Rounds of PBKDF2; more make a stolen database harder to try, and each login of PLAIN dearer.",
    }),
    sasl_mechanisms: option.list(
      option.choice({ values: MECHANISMS, doc: "A mechanism.", unsupported: mim.MECHANISMS_UNSUPPORTED }),
      {
        default: MECHANISMS,
        minItems: 1,
        distinct: true,
        doc: "Mechanisms in the order they are offered; -PLUS ones only over TLS, PLAIN only over TLS or from this machine.",
      },
    ),
    max_users_per_domain: option.infinityOr(
      option.integer({
        default: Number.POSITIVE_INFINITY,
        min: 1,
        unit: "accounts",
        doc: "Most accounts of one domain.",
      }),
    ),
    internal: option.optionalTable({}, { doc: "No options; MongooseIM's way to choose the method." }),
    rdbms: option.optionalTable(
      {},
      {
        doc: "No options; MongooseIM's way to choose the method.",
        ignored: { users_number_estimate: "counting accounts is fast" },
      },
    ),
  },
  { doc: "Accounts and how clients prove who they are.", unsupported: mim.AUTH_UNSUPPORTED },
);

const pattern = (what: string, how: "regexp" | "glob") =>
  how === "regexp"
    ? option.string({
        check: checks.isRegexp,
        allowed: "a regular expression",
        doc: `${what} matches this regular expression.`,
      })
    : option.string({
        check: checks.isGlob,
        allowed: "a shell pattern",
        doc: `${what} matches this shell pattern (* ? [a-z]).`,
      });

export const aclOptions = option.map(
  option.list(
    option.table(
      {
        match: option.choice({
          values: ["all", "current_domain", "any_hosted_domain", "none"],
          default: "current_domain",
          doc: "Whose addresses are looked at: of every server, of the host that asks, of any host of this node.",
        }),
        user: option.string({ doc: "The name is this." }),
        server: option.string({ doc: "The domain is this." }),
        resource: option.string({ doc: "The resource is this." }),
        user_regexp: pattern("The name", "regexp"),
        server_regexp: pattern("The domain", "regexp"),
        resource_regexp: pattern("The resource", "regexp"),
        user_glob: pattern("The name", "glob"),
        server_glob: pattern("The domain", "glob"),
        resource_glob: pattern("The resource", "glob"),
      },
      { doc: "One entry; all that is given must hold." },
    ),
    { minItems: 1, doc: "Entries, any of which is enough." },
  ),
  { doc: "Access lists: who. `all` and `none` exist already." },
);

export const accessOptions = option.map(
  option.list(
    option.table(
      {
        acl: option.string({ required: true, doc: "Name of an access list." }),
        value: option.scalar({
          required: true,
          doc: '"allow", "deny", the name of a shaper, a number, or "infinity".',
        }),
      },
      { doc: "One clause." },
    ),
    { minItems: 1, doc: "Clauses; the first whose list fits decides, and none means deny." },
  ),
  { doc: "Access rules: what they may. `all` and `none` exist already." },
);

const general = option.table(
  {
    loglevel: option.choice({
      values: LOG_LEVELS,
      default: "warning",
      doc: "What is logged: this and everything graver. It can be changed while the node runs.",
    }),
    hosts: option.list(option.string({ check: checks.isDomain, allowed: "a domain", doc: "A domain." }), {
      required: true,
      minItems: 1,
      distinct: true,
      doc: "Domains that this server serves.",
    }),
    default_server_domain: option.string({
      check: checks.isDomain,
      allowed: "a domain",
      doc: "The one of `hosts` that answers a client that names none; by default the first.",
    }),
    language: option.string({
      default: "en",
      check: checks.isLanguage,
      allowed: 'a language tag such as "en" or "pt-BR"',
      doc: "Language of texts from the server, the default `xml:lang` of streams.",
    }),
    processes: option.scalar({
      default: 1,
      doc: 'How many processes serve together on this machine, at the same ports: a number, or "auto" for one a core.',
    }),
    registration_timeout: option.infinityOr(
      option.duration({
        default: 600,
        min: 0,
        unit: "s",
        doc: 'Shortest time between two registrations from one address; "infinity" sets no limit.',
      }),
    ),
    module_files: option.list(
      option.string({ check: checks.isFilled, allowed: "the path of a file (relative: to this file)", doc: "A file." }),
      {
        distinct: true,
        doc: "TypeScript or JavaScript files with modules of your own, which `[modules]` may then name. Their code may do all that the server may.",
      },
    ),
    domain_certfile: option.list(
      option.table(
        {
          domain: option.string({
            required: true,
            check: checks.isDomain,
            allowed: "a domain",
            doc: "One of `hosts`.",
          }),
          certfile: option.string({
            required: true,
            check: checks.isFilled,
            allowed: "the path of a file (relative: to this file)",
            doc: "Its certificate with chain, PEM.",
          }),
          keyfile: file("Its private key, PEM; may be left out when `certfile` holds it too."),
        },
        { doc: "A certificate." },
      ),
      { doc: "Certificates of domains (SNI) that go before the listener's." },
    ),
  },
  { doc: "The server as a whole.", ignored: mim.GENERAL_IGNORED, unsupported: mim.GENERAL_UNSUPPORTED },
);

/** The whole file but `[modules]` and `[[host_config]]`. */
export const rootOptions = {
  general,
  listen: option.table(
    { c2s: option.list(c2s, { doc: "Clients over TCP." }), http: option.list(http, { doc: "HTTP and WebSocket." }) },
    { doc: "Listeners.", unsupported: { s2s: "there is no federation yet", component: "", service: "" } },
  ),
  auth: authOptions,
  outgoing_pools: outgoingPools,
  ...clusterSections,
  shaper: option.map(
    option.table(
      {
        max_rate: option.integer({
          required: true,
          min: 1,
          unit: "per second",
          doc: "Most bytes a second (of a connection), or operations a second (where a rule names the shaper).",
        }),
      },
      { doc: "A shaper." },
    ),
    { doc: 'Shapers: how fast. "none" exists already and bounds nothing.' },
  ),
  acl: aclOptions,
  access: accessOptions,
  limits: option.table(limitOptions, {
    doc: "Limits of the whole server; those of a feature are options of its module.",
  }),
} satisfies OptionSpec;

/** Names at the top of a file that are not in `rootOptions`. */
export const otherTopNames = { ignored: mim.TOP_IGNORED, unsupported: mim.TOP_UNSUPPORTED };

/** What `[[host_config]]` may hold beside `modules`. */
export const hostOptions = {
  host: option.string({ required: true, check: checks.isDomain, allowed: "one of general.hosts", doc: "The domain." }),
  general: option.optionalTable(
    {},
    {
      doc: "Nothing of `[general]` differs by host so far.",
      ignored: { replaced_wait_timeout: mim.GENERAL_IGNORED.replaced_wait_timeout! },
      unsupported: { route_subdomains: mim.GENERAL_UNSUPPORTED.route_subdomains! },
    },
  ),
  auth: { ...authOptions, optional: true },
  acl: aclOptions,
  access: accessOptions,
} satisfies OptionSpec;

export type RootOptions = OptionsOf<typeof rootOptions>;
