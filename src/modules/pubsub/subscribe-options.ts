/** Options of a subscription (XEP-0060 sections 6.3 and 16.4.2). */
import { type FormValues, formBoolean } from "../../stanza/data-form.ts";
import { ns } from "../../stanza/ns.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { formType, formTypes } from "./node-config.ts";
import { pubsubError } from "./pubsub-errors.ts";

const showValues = ["online", "chat", "away", "xa", "dnd"] as const;

export interface SubscribeOptions {
  readonly deliver: boolean;
  /** In which states of presence; all when empty. */
  readonly show: readonly string[];
}

export const defaultOptions: SubscribeOptions = { deliver: true, show: [] };

/** What a form changes. @throws StanzaError bad-request with `<invalid-options/>` for values that cannot be. */
export function optionsFrom(
  form: FormValues,
  before: { options: SubscribeOptions; expiresAt: number },
  parseTime: (text: string) => number | undefined,
): { options: SubscribeOptions; expiresAt: number } {
  let { options, expiresAt } = before;
  const invalid = (field: string) =>
    pubsubError("bad-request", "invalid-options", { text: `${field} has no such value` });
  for (const [field, texts] of form) {
    switch (field) {
      case "pubsub#deliver": {
        const deliver = formBoolean(texts[0] ?? "");
        if (deliver === undefined) throw invalid(field);
        options = { ...options, deliver };
        break;
      }
      case "pubsub#show-values":
        if (!texts.every((value) => (showValues as readonly string[]).includes(value))) throw invalid(field);
        options = { ...options, show: [...new Set(texts)] };
        break;
      case "pubsub#expire": {
        const text = texts[0] ?? "";
        const at = text === "" ? 0 : parseTime(text);
        if (at === undefined) throw invalid(field);
        expiresAt = at;
        break;
      }
      case "pubsub#digest":
      case "pubsub#include_body":
        if (formBoolean(texts[0] ?? "0") !== false) throw invalid(field);
    }
  }
  return { options, expiresAt };
}

export function optionsForm(options: SubscribeOptions, expiresAt: number): Xml {
  const show = options.show.map((value) => xml`<value>${value}</value>`);
  const choices = showValues.map((value) => xml`<option><value>${value}</value></option>`);
  const expire = expiresAt === 0 ? undefined : xml`<value>${new Date(expiresAt).toISOString()}</value>`;
  return xml`<x xmlns='${ns.dataForms}' type='form'>${formType(formTypes.subscribeOptions)}<field var='pubsub#deliver' type='boolean' label='Whether to receive notifications'><value>${options.deliver ? "1" : "0"}</value></field><field var='pubsub#show-values' type='list-multi' label='States of presence in which to receive them'>${show}${choices}</field><field var='pubsub#expire' type='text-single' label='When the subscription ends'>${expire}</field></x>`;
}

export function readOptions(text: string): SubscribeOptions {
  return text === "" ? defaultOptions : { ...defaultOptions, ...(JSON.parse(text) as Partial<SubscribeOptions>) };
}

export function writeOptions(options: SubscribeOptions): string {
  return options.deliver && options.show.length === 0 ? "" : JSON.stringify(options);
}
