/** Hands the notifications of push nodes (XEP-0357) to MongoosePush, or whatever speaks its HTTP. */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import type { Element } from "../../xml/element.ts";
import { PushSender } from "./push-sender.ts";

export const mongoosePush = defineModule({
  name: "mod_push_service_mongoosepush",
  summary: "Hands notifications for sleeping devices to MongoosePush, which knows Apple's and Google's services.",
  options: {
    pool_name: option.string({ doc: "The pool of `[outgoing_pools.http]` where MongoosePush is.", required: true }),
    api_version: option.choice({ doc: "Version of its HTTP API.", values: ["v2", "v3"], default: "v3" }),
    max_http_connections: option.integer({
      doc: "Most requests at once; the pool's workers bound them too.",
      default: 100,
      min: 1,
    }),
  },

  setup(on, context) {
    const { poolName, apiVersion, maxHttpConnections } = context.options;
    const pool = context.httpPools.get(poolName);
    if (pool === undefined) {
      throw new Error(`mod_push_service_mongoosepush: there is no [outgoing_pools.http.${poolName}]`);
    }
    const settings = {
      url: `${pool.url}/${apiVersion}`,
      requestTimeoutMs: pool.requestTimeoutMs,
      requestsMax: Math.min(pool.workers, maxHttpConnections),
    };
    const sender = new PushSender(settings, context.clock, context.log);
    for (const [name, help] of counted) {
      context.metrics.total(`${name}_total`, help, () => sender.counters[name]);
    }

    on.answer("pushNotification", async (_node, notification, options) => {
      const { token, body } = requestOf(notification, options);
      await sender.send(token, body);
      return true as const;
    });
    return undefined;
  },
});

const counted = [
  ["sent", "Notifications that the service has taken"],
  ["failed", "Notifications given up after errors"],
  ["gone", "Notifications refused, since the device is gone"],
  ["dropped", "Notifications dropped, since too many waited"],
  ["retried", "Requests that were made again"],
] as const;

/** Fields by name, the first value each. */
function fieldsOf(form: Element | undefined): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const field of form?.childrenNamed("field") ?? []) {
    const name = field.attr("var");
    const value = field.childText("value");
    if (name !== undefined && value !== undefined) fields.set(name, value);
  }
  return fields;
}

/**
 * What MongoosePush is asked to do. Which device and how, is in the publish-options: `device_id` and `service` (`apns`, `fcm`),
 * `silent`, `mode`, `topic`, `priority`, `sound`, `click_action`. @throws StanzaError bad-request where those are missing.
 */
export function requestOf(notification: Element, options: Element | undefined): { token: string; body: object } {
  const given = fieldsOf(options);
  const summary = fieldsOf(notification.child("x", ns.dataForms));
  const token = given.get("device_id") ?? "";
  const service = given.get("service") ?? "";
  if (token === "" || service === "") {
    throw new StanzaError("bad-request", { text: "The options name no device_id and service" });
  }
  const common = defined({
    service,
    mode: given.get("mode"),
    topic: given.get("topic"),
    priority: given.get("priority"),
    mutable_content: given.get("mutable_content") === "true" ? true : undefined,
  });
  const data = Object.fromEntries([...summary].filter(([name]) => name !== "FORM_TYPE"));
  if (given.get("silent") === "true" || given.get("silent") === "1") return { token, body: { ...common, data } };
  const count = Number(summary.get("message-count") ?? 1);
  const alert = defined({
    title: summary.get("last-message-sender") ?? "",
    body: summary.get("last-message-body") ?? "",
    badge: Number.isInteger(count) ? count : 1,
    tag: summary.get("last-message-sender"),
    click_action: given.get("click_action"),
    sound: given.get("sound"),
  });
  return { token, body: { ...common, alert } };
}

function defined(values: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
