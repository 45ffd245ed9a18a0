/** What the administration may do with a running node. */
import { availableParallelism } from "node:os";
import type { AdminCluster } from "../admin/cluster.ts";
import type { AdminContext } from "../admin/command.ts";
import type { RootLog } from "../observe/log.ts";
import { version } from "../util/version.ts";
import type { IncompleteAccount, KeyCompletion } from "./complete-keys.ts";
import { importUsers } from "./import-users.ts";
import type { NodeParts } from "./node-parts.ts";
import { exportPersonalData } from "./personal-data.ts";
import { readLines } from "./read-lines.ts";

export interface AdminContextParts {
  readonly node: NodeParts;
  readonly nodeName: string;
  readonly completion: KeyCompletion;
  readonly cluster: AdminCluster | undefined;
  /** Begins to stop the node. */
  readonly stop: (reason: string) => void;
}

export function adminContext({ node, nodeName, completion, cluster, stop }: AdminContextParts): AdminContext {
  const { core, authentication, settings, log } = node;
  const { accounts } = core;
  return {
    router: core.router,
    keeper: core.keeper,
    accounts: {
      address: (domain, username) => accounts.address(domain, username),
      register: (account, password) => accounts.register(account, password),
      changePassword: (account, password) => accounts.changePassword(account, password),
      remove: (account) => accounts.remove(account),
      exists: (account) => accounts.exists(account),
      list: (domain, limit, index) => accounts.list(domain, limit, index),
      count: (domain) => accounts.count(domain),
      checkPassword: (account, password) => authentication.checkPassword(account, password),
      async importUsers(lines, progress) {
        const parts = {
          accounts: core.accountRows,
          random: node.random,
          parallel: availableParallelism(),
          hashesOf: (domain: string) => settings.hosts.get(domain)?.auth.hashes,
          incomplete: (account: IncompleteAccount) => completion.add(account),
        };
        try {
          return await importUsers(parts, lines, progress);
        } finally {
          await authentication.accountsChanged();
          completion.start();
        }
      },
    },
    clock: node.clock,
    random: node.random,
    nodeName,
    cluster,
    version,
    startedAt: core.startedAt,
    get logLevel() {
      return log.level;
    },
    set logLevel(level: string) {
      log.level = level as RootLog["level"];
    },
    counters: core.router.counters,
    flushed: () => core.writes.flush(),
    stop: () => stop("asked to by an administrator"),
    readLines,
    exportPersonalData: (account, filename, progress) =>
      exportPersonalData(
        { hosts: core.router.hosts, accounts: core.accountRows, written: core.written, clock: node.clock },
        account,
        filename,
        progress,
      ),
  };
}
