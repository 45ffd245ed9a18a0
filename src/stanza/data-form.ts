/** XEP-0004 data forms as clients submit them: what the fields say. */
import type { Element } from "../xml/element.ts";
import { StanzaError } from "./errors.ts";
import { ns } from "./ns.ts";

/** Values by field name; a field that was there without any has an empty list. */
export type FormValues = ReadonlyMap<string, readonly string[]>;

export interface FormLimits {
  /** Most fields, by default 100. */
  readonly fieldsMax?: number;
  /** Most values of one field, by default 1,000. */
  readonly valuesMax?: number;
}

/**
 * The values of a form that was submitted (`<x type='submit'/>`), for the `FORM_TYPE` asked for; a form that names none
 * is taken at its place's word. Undefined when the parent holds no form.
 * Throws `StanzaError`: bad-request for a form that is none or of another kind, policy-violation for one that is too big.
 */
export function submittedForm(parent: Element, formType: string, limits: FormLimits = {}): FormValues | undefined {
  const form = parent.child("x", ns.dataForms);
  if (form === undefined) return undefined;
  if (form.attr("type") !== "submit") throw new StanzaError("bad-request", { text: "The form is not submitted" });
  const { fieldsMax = 100, valuesMax = 1_000 } = limits;
  const values = new Map<string, string[]>();
  for (const field of form.childrenNamed("field")) {
    const name = field.attr("var");
    if (name === undefined) throw new StanzaError("bad-request", { text: "A field of the form has no name" });
    if (values.has(name))
      throw new StanzaError("bad-request", { text: `The field ${name.slice(0, 100)} is there twice` });
    const texts = field.childrenNamed("value").map((value) => value.text());
    if (values.size >= fieldsMax || texts.length > valuesMax) {
      throw new StanzaError("policy-violation", {
        text: `A form has at most ${fieldsMax} fields of ${valuesMax} values`,
      });
    }
    values.set(name, texts);
  }
  const said = values.get("FORM_TYPE");
  if (said !== undefined && said[0] !== formType) {
    throw new StanzaError("bad-request", { text: `The form is not of the type ${formType}` });
  }
  values.delete("FORM_TYPE");
  return values;
}

/** XEP-0004 section 3.3: a boolean; undefined for a text that is none. */
export function formBoolean(text: string): boolean | undefined {
  if (text === "1" || text === "true") return true;
  return text === "0" || text === "false" ? false : undefined;
}
