/** XEP-0215 External Service Discovery 1.0.0: relays and other services outside of XMPP, with credentials for a while. */
import { createHmac } from "node:crypto";
import { type OptionsOf, option } from "../config/option.ts";
import { defineModule } from "../hooks/define-module.ts";
import { reply } from "../hooks/effect.ts";
import type { ExternalService } from "../hooks/services.ts";
import { StanzaError } from "../stanza/errors.ts";
import { ns } from "../stanza/ns.ts";
import { attributes, type Xml, xml } from "../xml/xml.ts";

const options = {
  service: option.list(
    option.table(
      {
        type: option.string({ doc: "What it is, such as stun, turn, turns or ftp.", required: true }),
        host: option.string({ doc: "Its name or IP address.", required: true }),
        port: option.integer({ doc: "Its port.", min: 1, max: 65_535 }),
        transport: option.string({ doc: "udp, tcp or another protocol it is reached by." }),
        username: option.string({ doc: "A user name that everybody gets." }),
        password: option.string({ doc: "The password to it.", secret: true }),
        secret: option.string({
          doc: "Shared with the service, which then takes user names and passwords made from it for a while (TURN REST).",
          secret: true,
        }),
        ttl: option.duration({ doc: "How long such credentials hold.", default: 3_600, min: 1, unit: "s" }),
      },
      { doc: "One service." },
    ),
    { doc: "The services clients are told of, in this order." },
  ),
} as const;
type Configured = OptionsOf<typeof options>["service"][number];

export const extdisco = defineModule({
  name: "mod_extdisco",
  summary: "Tells clients of services outside of XMPP, such as relays for calls, and gives them credentials.",
  xeps: [{ number: 215, version: "1.0.0", note: "without pushes of changes: the list changes with the configuration" }],
  options,
  features: { server: [ns.extdisco] },

  setup(on, context) {
    const { service: configured } = context.options;
    const list = (account: string) =>
      configured.map((service) => withCredentials(service, account, context.clock.now()));

    on.iq("get", "server", ns.extdisco, "services", (_request, { payload, from, session }) => {
      if (session === undefined) throw notOurs();
      const type = payload.attr("type");
      const services = list(from.bare).filter((service) => type === undefined || service.type === type);
      const elements = services.map((service) => serviceElement(service));
      return reply(xml`<services xmlns='${ns.extdisco}'${attributes({ type })}>${elements}</services>`);
    });

    on.iq("get", "server", ns.extdisco, "credentials", (_request, { payload, from, session }) => {
      if (session === undefined) throw notOurs();
      const wanted = payload.child("service");
      const host = wanted?.attr("host");
      const type = wanted?.attr("type");
      const port = wanted?.attr("port");
      if (host === undefined || type === undefined) {
        throw new StanzaError("bad-request", { text: "Name the host and the type of the service" });
      }
      const services = list(from.bare).filter(
        (service) =>
          service.type === type &&
          service.host === host &&
          (port === undefined || String(service.port) === port) &&
          service.password !== undefined,
      );
      if (services.length === 0) throw new StanzaError("item-not-found", { text: "No credentials for such a service" });
      const elements = services.map((service) => serviceElement(service));
      return reply(xml`<credentials xmlns='${ns.extdisco}'>${elements}</credentials>`);
    });

    on.provide("externalServices", {
      list: (type) => list("").filter((service) => type === undefined || service.type === type),
    });
    return undefined;
  },
});

/** Relays cost their owner money: they are for the host's own users. */
const notOurs = () => new StanzaError("forbidden", { text: "For users of this host only" });

/**
 * A service with credentials as of `now` (milliseconds since the epoch). With a secret they are those of "A REST API For
 * Access To TURN Services": the user name is the second of expiry, a colon and who asked; the password its HMAC-SHA-1.
 */
export function withCredentials(configured: Configured, account: string, now: number): ExternalService {
  const { type, host, port, transport, secret, username, password } = configured;
  if (secret === undefined) return { type, host, port, transport, username, password };
  const expires = Math.floor((now + configured.ttlMs) / 1_000);
  const who = account === "" ? (username ?? "") : account;
  const name = who === "" ? String(expires) : `${expires}:${who}`;
  return {
    type,
    host,
    port,
    transport,
    username: name,
    password: createHmac("sha1", secret).update(name).digest("base64"),
    expiresAt: expires * 1_000,
  };
}

function serviceElement({ type, host, port, transport, username, password, expiresAt }: ExternalService): Xml {
  const restricted = password === undefined ? undefined : "1";
  const expires = expiresAt === undefined ? undefined : new Date(expiresAt).toISOString().replace(".000Z", "Z");
  return xml`<service${attributes({ type, host, port, transport, username, password, expires, restricted })}/>`;
}
