/** Opens the listeners for clients, and guards them: limits by address, and how many may be connected without logging in. */
import { network } from "../auth/throttle.ts";
import type { C2sListener, ClientPolicy, HostSettings, Settings } from "../config/settings.ts";
import { type Listener, listen } from "../runtime/bun/listen.ts";
import type { ByteSocket } from "../socket/socket.ts";
import { C2sStream } from "../stream/c2s-stream.ts";
import type { ListenerPolicy, StreamEnvironment } from "../stream/environment.ts";
import type { XmlLimits } from "../xml/limits.ts";
import type { NodeParts } from "./node-parts.ts";

/** Connections whose clients have not logged in yet, by network. One object for all listeners. */
export class StrangerGate {
  readonly #byNetwork = new Map<string, number>();
  readonly #perNetworkMax: number;
  readonly #max: number;
  #count = 0;
  /** Connections turned away. */
  refused = 0;

  constructor(perNetworkMax: number, max: number) {
    this.#perNetworkMax = perNetworkMax;
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  accepts(address: string): boolean {
    const known = this.#byNetwork.get(network(address)) ?? 0;
    if (known < this.#perNetworkMax && this.#count < this.#max) return true;
    this.refused++;
    return false;
  }

  entered(address: string): void {
    const name = network(address);
    this.#byNetwork.set(name, (this.#byNetwork.get(name) ?? 0) + 1);
    this.#count++;
  }

  left(address: string): void {
    const name = network(address);
    const known = this.#byNetwork.get(name) ?? 0;
    if (known <= 1) this.#byNetwork.delete(name);
    else this.#byNetwork.set(name, known - 1);
    this.#count--;
  }
}

/** What a listener's configuration means for its streams. */
export function listenerPolicy(
  settings: Settings,
  policy: ClientPolicy,
  tls: ListenerPolicy["tls"],
  idleTimeoutMs: number,
): ListenerPolicy {
  const { limits } = settings;
  const xmlLimits = (stanzaBytesMax: number): XmlLimits => ({
    stanzaBytesMax,
    depthMax: limits.depthMax,
    attributesMax: limits.attributesMax,
    nameBytesMax: limits.xmlNameBytesMax,
    declaredPrefixesMax: limits.xmlPrefixesMax,
  });
  return {
    tls,
    stateTimeoutMs: policy.stateTimeoutMs,
    limitsBefore: xmlLimits(limits.preAuthStanzaBytesMax),
    limitsAfter: xmlLimits(policy.stanzaBytesMax),
    saslTries: limits.saslTriesMax,
    bindTries: limits.bindTriesMax,
    bytesPerSecond: policy.bytesPerSecond,
    legacySession: policy.backwardsCompatibleSession,
    idleTimeoutMs,
    mayLogIn: (account) => {
      const host: HostSettings | undefined = settings.hosts.get(account.domain);
      return host?.access.allow(policy.access, account) === true;
    },
  };
}

/** Opens one TCP listener. Throws `PortTaken`, `CannotListen`, or `TlsConfigurationError`. */
export function listenC2s(node: NodeParts, listener: C2sListener): Listener {
  const mode = listener.tls?.mode ?? "none";
  const environment: StreamEnvironment = {
    ...node.streams,
    counters: node.metrics.streamCounters("tcp", mode),
    listener: listenerPolicy(node.settings, listener, mode, 0),
  };
  return listen({
    ...node.sockets,
    address: listener.ipAddress,
    port: listener.port,
    reusePort: listener.reusePort || node.sharesPorts,
    certificates: listener.tls === undefined ? undefined : node.certificates.of(listener.tls),
    directTls: mode === "tls" ? "client" : undefined,
    connectionsMax: listener.connectionsMax,
    proxyProtocol: listener.proxyProtocol,
    unannounced: (remote, reason) =>
      node.log.info({ remote, option: `${listener.option}.proxy_protocol`, reason }, "a connection was closed"),
    accepts: (address) => node.gate.accepts(address),
    connected: (socket: ByteSocket) => new C2sStream(environment, socket),
  });
}
