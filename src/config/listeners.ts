/** `[listen]`: from checked options to settings, with what spans several options. */
import { isIPv6 } from "node:net";
import { FIXED_LIMITS } from "./limits.ts";
import type { Path } from "./positions.ts";
import { pathText } from "./positions.ts";
import { note, problem, type Reading } from "./resolve.ts";
import type {
  C2sListener,
  CertificateFiles,
  ClientPolicy,
  HttpListener,
  HttpPlace,
  ListenerAddress,
  TlsSettings,
} from "./settings.ts";
import type { RootOptions } from "./spec.ts";

type Listen = RootOptions["listen"];
type C2s = Listen["c2s"][number];
type Http = Listen["http"][number];
type ClientOptions = Pick<
  C2s,
  "shaper" | "access" | "maxStanzaSize" | "stateTimeoutMs" | "backwardsCompatibleSession" | "allowedAuthMethods"
>;
type TlsOptions = NonNullable<Http["tls"]>;

/** What listeners need of the rest of the configuration. */
export interface ListenerContext {
  readonly reading: Reading;
  readonly shapers: ReadonlyMap<string, number>;
  /** `auth.methods` of all hosts. */
  readonly authMethods: readonly string[];
  /** Makes a path of the file absolute. */
  readonly absolute: (path: string) => string;
}

export function c2sListener(found: C2s, index: number, context: ListenerContext): C2sListener {
  const path = ["listen", "c2s", index];
  return Object.freeze({
    ...address(found, path, context),
    ...clientPolicy(found, path, context),
    connectionsMax: found.maxConnections,
    reusePort: found.reusePort,
    proxyProtocol: found.proxyProtocol,
    tls: found.tls && Object.freeze({ mode: found.tls.mode, ...tls(found.tls, [...path, "tls"], context) }),
  });
}

export function httpListener(found: Http, index: number, context: ListenerContext): HttpListener {
  const path = ["listen", "http", index];
  const { handlers } = found;
  checkPlaces(handlers, path, context.reading);
  return Object.freeze({
    ...address(found, path, context),
    tls: found.tls && tls(found.tls, [...path, "tls"], context),
    connectionsMax: found.transport.maxConnections,
    handlers: Object.freeze({
      webSocket: handlers.mongooseWebsocketHandler.map((handler, at) =>
        Object.freeze({
          ...place(handler),
          ...clientPolicy(handler, [...path, "handlers", "mongoose_websocket_handler", at], context),
          timeoutMs: handler.timeoutMs,
        }),
      ),
      chat: handlers.meerkatChatHandler.map(place),
      prometheus: handlers.mongoosePrometheusHandler.map(place),
      health: handlers.meerkatHealthHandler.map(place),
      hostMeta: handlers.meerkatHostMetaHandler.map((handler) =>
        Object.freeze({ ...place(handler), publicUrl: handler.publicUrl }),
      ),
      upload: handlers.meerkatUploadHandler.map((handler) =>
        Object.freeze({ ...place(handler), publicUrl: handler.publicUrl }),
      ),
    }),
  });
}

/** No two listeners at one place, whatever they speak. */
export function checkAddresses(listeners: readonly ListenerAddress[], paths: readonly Path[], reading: Reading): void {
  const taken = new Map<string, string>();
  listeners.forEach(({ option, port, ipAddress }, index) => {
    if (port === 0) return;
    const place = `${ipAddress} ${port}`;
    const other = taken.get(place);
    if (other === undefined) taken.set(place, option);
    else
      problem(
        reading,
        [...paths[index]!, "port"],
        `found ${port} at ${ipAddress}, which ${other} has; allowed: a port of its own`,
      );
  });
}

function address(found: C2s | Http, path: Path, { reading }: ListenerContext): ListenerAddress {
  const { ipVersion, ipAddress } = found;
  if (ipVersion === 5) problem(reading, [...path, "ip_version"], "found 5; allowed: 4 or 6");
  if (ipVersion !== undefined && ipAddress !== undefined && isIPv6(ipAddress) !== (ipVersion === 6)) {
    problem(
      reading,
      [...path, "ip_version"],
      `found ${ipVersion}, but ip_address is "${ipAddress}"; allowed: its family`,
    );
  }
  return {
    option: pathText(path),
    port: found.port,
    ipAddress: ipAddress ?? (ipVersion === 6 ? "::" : "0.0.0.0"),
  };
}

function clientPolicy(found: ClientOptions, path: Path, context: ListenerContext): ClientPolicy {
  if (found.maxStanzaSize === Number.POSITIVE_INFINITY) {
    note(context.reading, [...path, "max_stanza_size"], `"infinity" means ${FIXED_LIMITS.stanzaBytesCeiling} bytes`);
  }
  const usable =
    found.allowedAuthMethods.length === 0 ||
    found.allowedAuthMethods.some((method) => context.authMethods.includes(method));
  if (!usable) {
    const allowed = context.authMethods.map((method) => JSON.stringify(method)).join(", ");
    problem(
      context.reading,
      [...path, "allowed_auth_methods"],
      `found none of auth.methods, so nobody could log in; allowed: ${allowed}`,
    );
  }
  return {
    bytesPerSecond: context.shapers.get(found.shaper) ?? Number.POSITIVE_INFINITY,
    access: found.access,
    stanzaBytesMax: Math.min(found.maxStanzaSize, FIXED_LIMITS.stanzaBytesCeiling),
    stateTimeoutMs: found.stateTimeoutMs,
    backwardsCompatibleSession: found.backwardsCompatibleSession,
  };
}

function tls(found: TlsOptions, path: Path, { reading, absolute }: ListenerContext): TlsSettings {
  for (const [name, value] of [
    ["keyfile", found.keyfile],
    ["password", found.password],
  ] as const) {
    if (value !== undefined && found.certfile === undefined)
      problem(reading, [...path, name], "found without certfile; allowed: both or none");
  }
  return Object.freeze({
    certificate:
      found.certfile === undefined ? undefined : certificateFiles(path, found.certfile, found.keyfile, absolute),
    passphrase: found.password,
    ciphers: found.ciphers,
    versions: found.versions,
  });
}

export function certificateFiles(
  path: Path,
  certfile: string,
  keyfile: string | undefined,
  absolute: (path: string) => string,
): CertificateFiles {
  return Object.freeze({
    option: pathText(path),
    certfile: absolute(certfile),
    keyfile: absolute(keyfile ?? certfile),
  });
}

const place = ({ host, path }: HttpPlace): HttpPlace => Object.freeze({ host: host.toLowerCase(), path });

const HANDLER_NAMES = {
  mongooseWebsocketHandler: "mongoose_websocket_handler",
  meerkatChatHandler: "meerkat_chat_handler",
  mongoosePrometheusHandler: "mongoose_prometheus_handler",
  meerkatHealthHandler: "meerkat_health_handler",
  meerkatHostMetaHandler: "meerkat_host_meta_handler",
  meerkatUploadHandler: "meerkat_upload_handler",
} as const satisfies Record<keyof Http["handlers"], string>;

function checkPlaces(handlers: Http["handlers"], path: Path, reading: Reading): void {
  const taken = new Map<string, string>();
  for (const [key, name] of Object.entries(HANDLER_NAMES)) {
    handlers[key as keyof typeof HANDLER_NAMES].forEach((found, index) => {
      const handler = [...path, "handlers", name, index];
      const at = `${found.host.toLowerCase()} ${found.path}`;
      const other = taken.get(at);
      if (other === undefined) taken.set(at, pathText(handler));
      else
        problem(reading, [...handler, "path"], `found "${found.path}", which ${other} has; allowed: a path of its own`);
    });
  }
}
