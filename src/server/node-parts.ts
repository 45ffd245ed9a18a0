/** The parts of a running node, as its listeners and its administration see them. */
import type { Settings } from "../config/settings.ts";
import type { MetricsSource } from "../http/app.ts";
import type { RootLog } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { SocketSettings } from "../socket/base-socket.ts";
import type { Store } from "../store/store.ts";
import type { StreamEnvironment } from "../stream/environment.ts";
import type { Clock } from "../util/clock.ts";
import type { Randomness } from "../util/random.ts";
import type { Authentication } from "./authentication.ts";
import type { NodeCertificates } from "./certificates.ts";
import type { OpenCluster } from "./cluster/open-cluster.ts";
import type { Core } from "./core.ts";
import type { StrangerGate } from "./listen-c2s.ts";
import type { UploadPlaces } from "./uploads.ts";

export interface NodeParts {
  readonly settings: Settings;
  readonly dataDir: string;
  /** Other processes of this machine listen at the same ports. */
  readonly sharesPorts: boolean;
  /** Undefined when this node is alone. */
  readonly cluster: OpenCluster | undefined;
  /** The node is on its way out: it takes nobody in any more. */
  draining: boolean;
  readonly core: Core;
  readonly authentication: Authentication;
  readonly certificates: NodeCertificates;
  readonly metrics: Metrics;
  /** What is scraped: of all processes that share the port. */
  readonly metricsPage: MetricsSource;
  readonly store: Store;
  readonly gate: StrangerGate;
  readonly uploads: UploadPlaces;
  readonly log: RootLog;
  readonly clock: Clock;
  readonly random: Randomness;
  /** What all streams share, whichever listener they came by. */
  readonly streams: Omit<StreamEnvironment, "listener" | "counters">;
  readonly sockets: SocketSettings;
}
