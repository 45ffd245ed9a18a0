/** Tells push services (XEP-0357 section 6): one notification at a time for each device, the newest when others wait. */
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { ModuleCounter } from "../../observe/metrics.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import { type Element, parseElement } from "../../xml/element.ts";
import { raw, type Xml, xml } from "../../xml/xml.ts";
import { type PushStore, type Registration, targetOf } from "./push-store.ts";
import type { PushSummary } from "./push-verdict.ts";

const answerTimeoutMs = 30_000;
/** Devices that are being told at once. */
const busyMax = 10_000;
/** Errors in a row after which a device is given up. */
const failuresMax = 10;

export interface PushSettings {
  readonly withSender: boolean;
  readonly withBody: boolean;
  /** Also how many ask for the account's presence. */
  readonly withRequests: boolean;
  /** Domains whose notifications go to the push service of this host without a node in between. */
  readonly virtualHosts: readonly string[];
}

type PusherHouse = Pick<ModuleContext<unknown>, "request" | "ask" | "service" | "log" | "metrics">;

/** What waits while a device is being told. */
interface Busy {
  next: PushSummary | undefined;
}

export class Pusher {
  readonly #house: PusherHouse;
  readonly #store: PushStore;
  readonly #settings: PushSettings;
  /** `sent`: the service has taken it; `failed`: it has refused or not answered; `dropped`: too many waited. */
  readonly #notifications: ModuleCounter;
  readonly #devicesGone: ModuleCounter;
  readonly #busy = new Map<string, Busy>();
  /** Errors in a row, of devices that have had one. */
  readonly #failures = new Map<string, number>();

  constructor(house: PusherHouse, store: PushStore, settings: PushSettings) {
    this.#house = house;
    this.#store = store;
    this.#settings = settings;
    this.#notifications = house.metrics.counter("notifications_total", "Push notifications", ["outcome"]);
    this.#devicesGone = house.metrics.counter(
      "devices_gone_total",
      "Devices given up, since their service refuses them",
    );
  }

  /** Nothing waits for it. */
  push(account: Jid, registration: Registration, summary: PushSummary): void {
    const key = `${account.bare} ${targetOf(registration.jid, registration.node)}`;
    const busy = this.#busy.get(key);
    if (busy !== undefined) {
      busy.next = summary;
      return;
    }
    if (this.#busy.size >= busyMax) {
      this.#notifications.add(1, "dropped");
      this.#house.log.warn({ jid: account.bare }, "a push notification is dropped: too many wait");
      return;
    }
    const mine: Busy = { next: summary };
    this.#busy.set(key, mine);
    this.#work(account, registration, key, mine)
      .catch((error: unknown) => this.#house.log.error({ err: error, jid: account.bare }, "a push notification failed"))
      .finally(() => this.#busy.delete(key));
  }

  async #work(account: Jid, registration: Registration, key: string, busy: Busy): Promise<void> {
    while (busy.next !== undefined) {
      const summary = busy.next;
      busy.next = undefined;
      const error = await this.#tell(account, registration, summary);
      this.#notifications.add(1, error === undefined ? "sent" : "failed");
      if (error === undefined) {
        this.#failures.delete(key);
        continue;
      }
      const failures = (this.#failures.get(key) ?? 0) + 1;
      if (!isFinal(error) && failures < failuresMax) {
        if (this.#failures.size < busyMax) this.#failures.set(key, failures);
        this.#house.log.debug(
          { jid: account.bare, service: registration.jid, error: error.condition },
          "a push failed",
        );
        continue;
      }
      this.#failures.delete(key);
      this.#devicesGone.add(1);
      this.#house.log.info(
        { jid: account.bare, service: registration.jid, error: error.condition },
        "a device is gone",
      );
      await this.#store.disable(account, registration.jid, registration.node);
      return;
    }
  }

  /** The error the service has answered with; undefined when it has taken the notification. */
  async #tell(account: Jid, registration: Registration, summary: PushSummary): Promise<StanzaError | undefined> {
    const to = parseJid(registration.jid);
    if (to === undefined) return new StanzaError("item-not-found");
    const notification = await this.#notification(account, summary);
    try {
      if (this.#settings.virtualHosts.includes(to.domain)) {
        const options = registration.form === "" ? undefined : parseElement(registration.form, "");
        const element = parseElement(notification.text, "");
        const taken = await this.#house.ask("pushNotification", registration.node, element, options);
        return taken === true ? undefined : new StanzaError("service-unavailable", { type: "wait" });
      }
      const answer = await this.#house.request("set", to, publish(registration, notification), answerTimeoutMs);
      return answer.type === "error" ? errorIn(answer.child("error")) : undefined;
    } catch (error) {
      if (error instanceof StanzaError) return error;
      throw error;
    }
  }

  async #notification(account: Jid, summary: PushSummary): Promise<Xml> {
    const { withSender, withBody, withRequests } = this.#settings;
    const count = (await this.#house.ask("unreadCount", account)) ?? 1;
    const requests = withRequests ? (await this.#house.service("roster")?.requests(account))?.length : undefined;
    const fields: (readonly [string, string | undefined])[] = [
      ["message-count", String(count)],
      ["pending-subscription-count", requests === undefined ? undefined : String(requests)],
      ["last-message-sender", withSender ? summary.sender : undefined],
      ["last-message-body", withBody ? summary.body : undefined],
    ];
    const elements = fields
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => xml`<field var='${name}'><value>${value}</value></field>`);
    return xml`<notification xmlns='${ns.push}'><x xmlns='${ns.dataForms}' type='submit'><field var='FORM_TYPE' type='hidden'><value>${ns.push.replace(":0", ":summary")}</value></field>${elements}</x></notification>`;
  }
}

function publish({ node, form }: Registration, notification: Xml): Xml {
  const options = form === "" ? undefined : xml`<publish-options>${raw(form)}</publish-options>`;
  return xml`<pubsub xmlns='${ns.pubsub}'><publish node='${node}'><item>${notification}</item></publish>${options}</pubsub>`;
}

/** The service does not know the device any more. */
function isFinal(error: StanzaError): boolean {
  return error.condition === "item-not-found" || error.condition === "gone";
}

function errorIn(error: Element | undefined): StanzaError {
  const condition = error
    ?.elements()
    .find((element) => element.ns === ns.stanzaErrors && element.name !== "text")?.name;
  return new StanzaError((condition ?? "undefined-condition") as "undefined-condition");
}
