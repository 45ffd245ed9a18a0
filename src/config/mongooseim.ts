/** What MongooseIM 6 knows and Meerkat does not need or does not have yet; so that its files get an answer, not a riddle. */
import type { Reasons } from "./option.ts";

const NO_PROCESSES = "a connection is not a process here";
const OWN_TABLES = "volatile data are always in the cluster's replicated tables";

export const GENERAL_IGNORED: Reasons = {
  sm_backend: OWN_TABLES,
  s2s_backend: OWN_TABLES,
  component_backend: OWN_TABLES,
  replaced_wait_timeout: "a session that another one replaces ends at once",
  hide_service_name: "the name of the service is in its certificate and in DNS",
  http_server_name: "no Server header is sent",
  max_fsm_queue: "queues are bounded by [limits]",
  rdbms_server_type: "the driver of the connection says it",
  all_metrics_are_global: "metrics are of the node, with labels where it matters",
};
export const GENERAL_UNSUPPORTED: Reasons = {
  host_types: "list the domains in general.hosts",
  route_subdomains: "there is no federation yet",
  routing_modules: "the order of routing is fixed",
};

export const LISTENER_IGNORED: Reasons = {
  num_acceptors: "one event loop accepts all connections",
  hibernate_after: NO_PROCESSES,
};
export const C2S_IGNORED: Reasons = {
  ...LISTENER_IGNORED,
  backlog: "the runtime and the system decide (net.core.somaxconn)",
};
export const WEBSOCKET_IGNORED: Reasons = {
  ping_rate: "a silent client is pinged in time before timeout",
};
export const C2S_UNSUPPORTED: Reasons = {
  hidden_components: "it is an option of component listeners",
  c2s_state_timeout: "its name is state_timeout now",
};

export const TLS_IGNORED: Reasons = {
  cacertfile: "client certificates are not asked for",
  dhfile: "TLS 1.3 and ECDHE have their own groups",
  session_tickets: "the TLS library decides",
  module: "there is one TLS library",
};
export const TLS_UNSUPPORTED: Reasons = {
  crl_files: "",
  disconnect_on_failure: "client certificates are not asked for",
  keep_secrets: "",
  early_data: "",
  protocol_options: "use versions and ciphers",
};

export const AUTH_UNSUPPORTED: Reasons = {
  http: "",
  ldap: "",
  jwt: "",
  external: "",
  anonymous: "",
  pki: "",
  dummy: "",
  sasl_external: "",
  sasl_external_common_name: "",
};
export const AUTH_METHODS_UNSUPPORTED: Reasons = {
  http: "",
  ldap: "",
  jwt: "",
  external: "",
  anonymous: "",
  pki: "",
  dummy: "",
};

export const MECHANISMS_UNSUPPORTED: Reasons = {
  ANONYMOUS: "",
  EXTERNAL: "",
  "X-OAUTH": "",
  "DIGEST-MD5": "it is obsolete and needs passwords in plain text; use SCRAM",
};

export const POOL_IGNORED: Reasons = {
  strategy: "a query takes the first connection that is free",
  call_timeout: "connection.query_timeout bounds every query",
  max_worker_queue_len: "the queue of queries is always bounded",
};
export const CONNECTION_IGNORED: Reasons = {
  keepalive_interval: "a broken connection is replaced when it is noticed",
  max_start_interval: "the health of the database is probed in steps that grow to some seconds",
};

export const POOLS_UNSUPPORTED: Reasons = {
  redis: "it is not needed",
  rabbit: "",
  cassandra: "",
  elastic: "",
  ldap: "",
};

export const TOP_IGNORED: Reasons = {
  instrumentation: "metrics are always on; mongoose_prometheus_handler serves them",
};
export const TOP_UNSUPPORTED: Reasons = { s2s: "", services: "" };

/** Options of modules that are accepted everywhere a module has none of that name, where the value is one of these. */
export const MODULE_BACKENDS_IGNORED = ["rdbms", "mnesia", "cets", "rdbms_async"];

/** Options of modules that any module may have. */
export const MODULE_IGNORED: Reasons = { iqdisc: "requests are handled in the order they come" };

const NO_SEARCH = "profiles cannot be searched";
/** Options of single modules. */
export const MODULE_OPTIONS_IGNORED: Readonly<Record<string, Reasons>> = {
  mod_vcard: { host: NO_SEARCH, matches: NO_SEARCH },
};

/** The modules of MongooseIM 6.2 to 6.8. */
export const MONGOOSEIM_MODULES: readonly string[] = (
  "adhoc amp auth_token bind2 blocking blocklist broadcast cache_users caps carboncopy csi disco domain_isolation " +
  "event_pusher extdisco external_filter fast_auth_token global_distrib http_upload inbox jingle_sip keystore last mam " +
  "muc muc_light muc_log offline offline_chatmarkers offline_stub ping presence privacy private pubsub pubsub_old " +
  "push_service_mongoosepush register roster sasl2 shared_roster_ldap sic smart_markers stanzaid stream_management " +
  "time vcard version bosh websockets"
)
  .split(" ")
  .map((name) => `mod_${name}`);
