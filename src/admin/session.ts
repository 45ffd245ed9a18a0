/** `session`: who is connected, and ending it. */
import type { Resource } from "../session/resource.ts";
import type { Session } from "../session/session.ts";
import { StreamError } from "../stanza/errors.ts";
import type { Jid } from "../stanza/jid.ts";
import { type AdminContext, AdminError, argument, type Command, hostOf } from "./command.ts";

const category = "session";
const reason = argument.optional("text", "told to the client");

function describe(context: AdminContext, session: Session) {
  return {
    user: session.jid.full,
    connection: session.link?.transport ?? "waiting to be resumed",
    ip: session.link?.remoteAddress ?? null,
    port: session.link?.remotePort ?? null,
    priority: session.available ? session.priority : null,
    node: context.nodeName,
    uptime: Math.floor((context.clock.now() - session.startedAt) / 1000),
  };
}

function statusOf(session: Session): string {
  return session.presence === undefined ? "offline" : (session.presence.text("show") ?? "online");
}

async function kick(context: AdminContext, resources: readonly Resource[], text: string) {
  const results = [];
  for (const resource of resources) {
    await context.keeper.close(resource, new StreamError("policy-violation", text), "kicked");
    results.push({ jid: resource.jid.full, kicked: true, message: "Session kicked" });
  }
  return results;
}

function* sessionsOf(context: AdminContext, domain: string | undefined): Generator<Session> {
  if (domain !== undefined) hostOf(context, domain);
  for (const session of context.router.sessions.all()) {
    if (domain === undefined || session.account.domain === domain) yield session;
  }
}

function ofUser(context: AdminContext, user: Jid): readonly Session[] {
  hostOf(context, user.domain);
  return context.router.sessions.of(user.bare);
}

/** On all nodes. */
function resourcesOf(context: AdminContext, user: Jid): readonly Resource[] {
  hostOf(context, user.domain);
  return context.router.resourcesOf(user);
}

const domain = argument.optional("domain", "only this host");
const user = argument.required("jid", "the account");

export const sessionCommands: readonly Command[] = [
  {
    category,
    name: "listSessions",
    doc: "Lists the sessions.",
    across: "join",
    example: "meerkat ctl session listSessions --domain localhost",
    arguments: { domain },
    run: (context, args) =>
      Array.from(sessionsOf(context, args.optionalText("domain")), (session) => describe(context, session)),
  },
  {
    category,
    name: "countSessions",
    doc: "Counts the sessions.",
    across: "add",
    example: "meerkat ctl session countSessions",
    arguments: { domain },
    run: (context, args) => {
      let count = 0;
      for (const _ of sessionsOf(context, args.optionalText("domain"))) count++;
      return count;
    },
  },
  {
    category,
    name: "listUserSessions",
    doc: "Lists the sessions of an account.",
    across: "join",
    example: "meerkat ctl session listUserSessions --user alice@localhost",
    arguments: { user },
    run: (context, args) => ofUser(context, args.jid("user")).map((session) => describe(context, session)),
  },
  {
    category,
    name: "countUserResources",
    doc: "Counts the sessions of an account.",
    example: "meerkat ctl session countUserResources --user alice@localhost",
    arguments: { user },
    run: (context, args) => resourcesOf(context, args.jid("user")).length,
  },
  {
    category,
    name: "getUserResource",
    doc: "The resource of an account's session number N, counted from 1.",
    example: "meerkat ctl session getUserResource --user alice@localhost --number 1",
    arguments: { user, number: argument.required("integer", "which one") },
    run: (context, args) => {
      const resource = resourcesOf(context, args.jid("user"))[(args.optionalInteger("number") ?? 1) - 1];
      if (resource === undefined) throw new AdminError("wrong_res_number", "The account has no such session");
      return resource.jid.resource;
    },
  },
  {
    category,
    name: "listUsersWithStatus",
    doc: "Lists sessions whose presence shows this status.",
    across: "join",
    example: "meerkat ctl session listUsersWithStatus --status away",
    arguments: { domain, status: argument.required("text", "available, away, chat, dnd or xa") },
    run: (context, args) => {
      const wanted = args.text("status") === "available" ? "online" : args.text("status");
      return Array.from(sessionsOf(context, args.optionalText("domain")))
        .filter((session) => statusOf(session) === wanted)
        .map((session) => ({
          user: session.jid.full,
          node: context.nodeName,
          priority: session.priority,
          text: session.presence?.text("status") ?? "",
        }));
    },
  },
  {
    category,
    name: "kickUserSession",
    doc: "Ends one session.",
    example: "meerkat ctl session kickUserSession --user alice@localhost/phone --reason 'maintenance'",
    arguments: { user: argument.required("jid", "the full address"), reason },
    async run(context, args) {
      const resource = context.router.resourceAt(args.jid("user"));
      if (resource === undefined) throw new AdminError("no_session", `There is no session ${args.jid("user").full}`);
      return (await kick(context, [resource], args.optionalText("reason") ?? "Kicked by an administrator"))[0];
    },
  },
  {
    category,
    name: "kickUser",
    doc: "Ends all sessions of an account.",
    example: "meerkat ctl session kickUser --user alice@localhost",
    arguments: { user, reason },
    run: (context, args) =>
      kick(
        context,
        [...resourcesOf(context, args.jid("user"))],
        args.optionalText("reason") ?? "Kicked by an administrator",
      ),
  },
];
