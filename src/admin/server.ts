/** `server` and `stat`: the node itself. */
import { argument, type Command, hostOf } from "./command.ts";

const levels = ["none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "all"];

export const serverCommands: readonly Command[] = [
  {
    category: "server",
    name: "status",
    doc: "Tells that the node runs, and what it is.",
    example: "meerkat ctl server status",
    arguments: {},
    run: (context) => ({
      statusCode: "RUNNING",
      message: `Node ${context.nodeName} is running`,
      version: context.version,
    }),
  },
  {
    category: "server",
    name: "getLoglevel",
    doc: "The level from which on events are logged.",
    example: "meerkat ctl server getLoglevel",
    arguments: {},
    run: (context) => context.logLevel.toUpperCase(),
  },
  {
    category: "server",
    name: "setLoglevel",
    doc: "Changes that level until the node is started again.",
    example: "meerkat ctl server setLoglevel --level debug",
    arguments: { level: argument.required("text", "the level", levels) },
    run: (context, args) => {
      context.logLevel = args.text("level");
      return "Log level successfully set.";
    },
  },
  {
    category: "server",
    name: "stop",
    doc: "Stops the node cleanly.",
    example: "meerkat ctl server stop",
    arguments: {},
    run: (context) => {
      context.stop();
      return "Stopping";
    },
  },
  {
    category: "stat",
    name: "globalStats",
    doc: "Accounts and sessions of all hosts.",
    example: "meerkat ctl stat globalStats",
    arguments: {},
    async run(context) {
      let registeredUsers = 0;
      for (const domain of context.router.hosts.keys()) registeredUsers += await context.accounts.count(domain);
      return {
        uptimeSeconds: Math.floor((context.clock.now() - context.startedAt) / 1000),
        registeredUsers,
        onlineUsersNode: context.router.sessions.accounts,
        onlineUsers: context.router.sessions.accounts,
        incomingS2S: 0,
        outgoingS2S: 0,
      };
    },
  },
  {
    category: "stat",
    name: "domainStats",
    doc: "Accounts and online users of one host.",
    example: "meerkat ctl stat domainStats --domain localhost",
    arguments: { domain: argument.required("domain", "one of the server's hosts") },
    async run(context, args) {
      const domain = args.text("domain");
      hostOf(context, domain);
      const online = new Set<string>();
      for (const session of context.router.sessions.all())
        if (session.account.domain === domain) online.add(session.account.bare);
      return { registeredUsers: await context.accounts.count(domain), onlineUsers: online.size };
    },
  },
];
