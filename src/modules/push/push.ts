/** XEP-0357 Push Notifications 0.4.1: devices that sleep are woken through the service of their app. */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import type { Effect, MaybePromise } from "../../hooks/effect.ts";
import type { PersonalData } from "../../hooks/points.ts";
import { marks, type Resource } from "../../session/resource.ts";
import { asItIs, type Session, SessionSlot } from "../../session/session.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Stanza } from "../../stanza/stanza.ts";
import type { Element } from "../../xml/element.ts";
import { PushStore, type PushTables, pushMigrations, type Registration } from "./push-store.ts";
import { type PushPolicy, type PushSummary, pushVerdict, summaryOf } from "./push-verdict.ts";
import { Pusher } from "./pusher.ts";

/** Of sessions that are awake: the newest message they have not acknowledged; should they turn out to sleep, it wakes them. */
const unacknowledged = new SessionSlot<PushSummary>("push", asItIs);
/** A client whose session has moved to another node, or is to, comes back within this, or is asleep. */
const returnMs = 10_000;

const textCharsMax = 1_000;
const formBytesMax = 8_192;
const plugins = [
  "mod_event_pusher_push_plugin_defaults",
  "mod_event_pusher_push_plugin_hints",
  "mod_event_pusher_push_plugin_enhanced",
] as const;

export const push = defineModule({
  name: "mod_push",
  summary: "Wakes the devices of people who are not looking, through the push services of their apps.",
  xeps: [{ number: 357, version: "0.4.1" }],
  options: {
    backend: option.choice({
      doc: "Where is kept which devices are to be woken.",
      values: ["rdbms"],
      default: "rdbms",
      unsupported: { mnesia: "it is kept in the SQL database" },
    }),
    plugin_module: option.choice({
      doc: "What wakes: `…_defaults`: messages with a body; `…_hints`: also those whose sender hints that they matter, such as calls; `…_enhanced`: as the first, and notifications also say how many ask to see the account's presence.",
      values: plugins,
      default: "mod_event_pusher_push_plugin_hints",
    }),
    virtual_pubsub_hosts: option.list(
      option.string({ doc: "A domain; @HOST@ stands for the host's own.", required: true }),
      {
        doc: "Domains whose notifications go to this host's push service at once, without nodes in between.",
        distinct: true,
      },
    ),
    last_message_sender: option.boolean({ doc: "Whether notifications say who has written.", default: true }),
    last_message_body: option.boolean({
      doc: "Whether notifications carry the text, which then passes the services of others.",
      default: true,
    }),
    max_devices: option.integer({ doc: "Most devices of one account.", default: 20, min: 1 }),
  },
  features: { server: [ns.push], account: [ns.push] },
  migrations: pushMigrations,

  setup(on, context) {
    const { options } = context;
    const policy: PushPolicy = options.pluginModule === plugins[1] ? "hints" : "body";
    const store = new PushStore(context);
    const pusher = new Pusher(context, store, {
      withSender: options.lastMessageSender,
      withBody: options.lastMessageBody,
      withRequests: options.pluginModule === plugins[2],
      virtualHosts: options.virtualPubsubHosts.map((domain) => domain.replaceAll("@HOST@", context.domain)),
    });

    on.iq("set", "account", ns.push, "enable", async (_request, { target, from, payload }) => {
      const registration = registrationIn(payload, from);
      if (!(await store.enable(target, registration, options.maxDevices))) {
        throw new StanzaError("resource-constraint", { text: `One account has ${options.maxDevices} devices at most` });
      }
      return undefined;
    });
    on.iq("set", "account", ns.push, "disable", async (_request, { target, payload }) => {
      const jid = parseJid(payload.attr("jid") ?? "");
      if (jid === undefined) throw new StanzaError("bad-request", { text: "Whose service? A jid is missing" });
      await store.disable(target, jid.full, payload.attr("node"));
      return undefined;
    });

    /** Wakes every device of an account whose session does not see the message by itself. */
    const wake = (
      account: Jid,
      registrations: readonly Registration[],
      summary: PushSummary,
      only?: string,
    ): MaybePromise<void> => {
      const asleep = registrations.filter((registration) => {
        if (only !== undefined) return registration.resource === only;
        const resource = context.resourcesOf(account).find((one) => one.jid.resource === registration.resource);
        return resource === undefined || !isAwake(resource);
      });
      if (asleep.length === 0) return;
      const peer = parseJid(summary.sender)?.toBare();
      const tell = (isMuted: boolean | undefined): void => {
        if (isMuted !== true) for (const registration of asleep) pusher.push(account, registration, summary);
      };
      const muted = peer === undefined ? false : context.ask("isMuted", account, peer);
      if (!(muted instanceof Promise)) return tell(muted);
      // Who cannot tell lets the device be woken.
      return muted.then(tell, (error: unknown) => {
        context.log.warn({ err: error, jid: account.bare }, "it could not be read whether a conversation is muted");
        tell(undefined);
      });
    };
    const later = (
      account: Jid,
      use: (registrations: readonly Registration[]) => MaybePromise<void>,
      found = store.of(account),
    ): undefined => {
      if (!(found instanceof Promise)) {
        if (found.length > 0) void use(found);
        return undefined;
      }
      // The message does not wait for this.
      found.then(use).catch((error: unknown) => {
        context.log.warn({ err: error, jid: account.bare }, "the devices of an account could not be read");
      });
      return undefined;
    };

    // Most accounts have no device: for those a message costs a look into memory.
    on.stage("incoming", "message", (stanza, account) => {
      if (stanza.type === "error") return undefined;
      const found = store.of(account);
      if (!(found instanceof Promise) && found.length === 0) return undefined;
      if (stanza.has("pubsub", ns.pubsub)) return later(account, () => revoked(store, account, stanza), found);
      if (!pushVerdict(stanza, policy).push) return undefined;
      return later(account, (registrations) => wake(account, registrations, summaryOf(stanza)), found);
    });
    // Its sender's node took a session for awake that had just ended. A device that was asleep then too may be woken twice, which is better
    // than not at all.
    on.cluster("missed", (stanza, account) =>
      pushVerdict(stanza, policy).push
        ? later(account, (registrations) => wake(account, registrations, summaryOf(stanza)))
        : undefined,
    );
    // Of sessions that are awake it is remembered until they have acknowledged it. On their own node, whoever has sent it.
    on.stage("delivering", "message", (stanza, session) => {
      if (stanza.type === "error" || session.outlet?.afterAcknowledged === undefined || !isAwake(session))
        return undefined;
      const { account } = session;
      const found = store.of(account);
      if (!(found instanceof Promise) && found.length === 0) return undefined;
      if (!pushVerdict(stanza, policy).push) return undefined;
      const summary = summaryOf(stanza);
      // Once it has been written.
      return later(
        account,
        (registrations) => {
          if (registrations.some((one) => one.resource === session.jid.resource)) watch(session, summary);
        },
        Promise.resolve(found),
      );
    });
    // A session that seemed awake and is not: what it has not acknowledged wakes its device.
    const overslept = (session: Session): readonly Effect[] | undefined => {
      const summary = unacknowledged.get(session);
      if (summary === undefined) return undefined;
      unacknowledged.set(session, undefined);
      return later(session.account, (registrations) =>
        wake(session.account, registrations, summary, session.jid.resource),
      );
    };
    /** A session that moves has lost its stream through no fault of its client, which is about to come back, there or here. */
    const wakeUnlessBack = (session: Session): void => {
      if (unacknowledged.get(session) === undefined) return;
      context.clock.after(returnMs, () => {
        if (session.marked(marks.detached) && context.sessionsOf(session.account).includes(session)) overslept(session);
      });
    };
    on.session("detached", (session, moves) => {
      if (!moves) return overslept(session);
      wakeUnlessBack(session);
      return undefined;
    });
    on.session("arrived", (session) => {
      wakeUnlessBack(session);
      return undefined;
    });
    on.session("resumed", (session) => {
      const summary = unacknowledged.get(session);
      if (summary !== undefined) watch(session, summary);
      return undefined;
    });
    on.session("ended", (session, how) => (how === "lost" ? overslept(session) : undefined));

    on.account("removed", (account) => store.removeAll(account));
    on.answer("personalData", (account): readonly PersonalData[] => [
      {
        name: "push_registrations",
        columns: ["service", "node", "resource"],
        async *rows() {
          const rows = await context.store
            .tables<PushTables>()
            .selectFrom("push_registration")
            .select(["jid", "node", "resource"])
            .where("server", "=", account.domain)
            .where("username", "=", account.local)
            .execute();
          for (const row of rows) yield [row.jid, row.node, row.resource];
        },
      },
    ]);
    return undefined;
  },
});

/** Whether a resource gets messages and shows them: it is available, connected, and its client does not say it is inactive. */
function isAwake(resource: Resource): boolean {
  return resource.available && !resource.marked(marks.detached) && !resource.marked(marks.inactive);
}

/** Remembers a message, which has been written, until the client has acknowledged it. */
function watch(session: Session, summary: PushSummary): void {
  unacknowledged.set(session, summary);
  session.outlet?.afterAcknowledged?.(() => {
    if (unacknowledged.get(session) === summary) unacknowledged.set(session, undefined);
  });
}

/** What a client wants (section 5). @throws StanzaError bad-request, not-acceptable. */
function registrationIn(enable: Element, from: Jid): Registration {
  const jid = parseJid(enable.attr("jid") ?? "");
  const node = enable.attr("node") ?? "";
  if (jid === undefined) throw new StanzaError("bad-request", { text: "Whose service? A jid is missing" });
  if (node === "") throw new StanzaError("bad-request", { text: "Which device? A node is missing" });
  if (node.length > textCharsMax) throw new StanzaError("not-acceptable", { text: "The name of the node is too long" });
  const form = enable.child("x", ns.dataForms);
  if (form === undefined && enable.elements().length > 0)
    throw new StanzaError("bad-request", { text: "That is no form" });
  const kind = form?.childrenNamed("field").find((field) => field.attr("var") === "FORM_TYPE");
  if (
    form !== undefined &&
    (form.attr("type") !== "submit" || kind?.childText("value") !== `${ns.pubsub}#publish-options`)
  ) {
    throw new StanzaError("bad-request", { text: "The form is not one of publish options" });
  }
  const text = form?.toXml() ?? "";
  if (Buffer.byteLength(text) > formBytesMax) throw new StanzaError("not-acceptable", { text: "The form is too big" });
  return { jid: jid.full, node, form: text, resource: from.resource };
}

/** Section 7: the service says that it takes no more for the account. */
async function revoked(store: PushStore, account: Jid, stanza: Stanza): Promise<void> {
  const pubsub = stanza.child("pubsub", ns.pubsub)!;
  const list = pubsub.child("affiliations") ?? pubsub;
  const affiliation = list.child("affiliation");
  const node = list.attr("node");
  if (affiliation?.attr("affiliation") !== "none" || parseJid(affiliation.attr("jid") ?? "")?.bare !== account.bare)
    return;
  if (node !== undefined && stanza.from !== undefined) await store.disable(account, stanza.from.full, node);
}
