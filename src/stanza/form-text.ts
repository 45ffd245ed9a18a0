/** XEP-0004 data forms as we write them: to be filled in, or to be read. */
import { attributes, type Xml, xml } from "../xml/xml.ts";
import { ns } from "./ns.ts";

export interface FormField {
  readonly var: string;
  /** `text-single`, `boolean`, `list-single`, …. */
  readonly type: string;
  readonly label?: string;
  readonly values?: readonly string[];
  /** What may be chosen: label and value. */
  readonly options?: readonly (readonly [label: string, value: string])[];
  readonly required?: boolean;
}

export interface FormText {
  readonly title?: string;
  readonly instructions?: string;
  readonly formType: string;
  readonly fields: readonly FormField[];
}

/** A form of type "form" with its hidden FORM_TYPE. */
export function formToFill({ title, instructions, formType, fields }: FormText): Xml {
  const heading = title === undefined ? undefined : xml`<title>${title}</title>`;
  const advice = instructions === undefined ? undefined : xml`<instructions>${instructions}</instructions>`;
  const type = fieldElement({ var: "FORM_TYPE", type: "hidden", values: [formType] });
  return xml`<x xmlns='${ns.dataForms}' type='form'>${heading}${advice}${type}${fields.map(fieldElement)}</x>`;
}

function fieldElement(field: FormField): Xml {
  const required = field.required === true ? xml`<required/>` : undefined;
  const values = (field.values ?? []).map((value) => xml`<value>${value}</value>`);
  const choices = (field.options ?? []).map(
    ([label, value]) => xml`<option${attributes({ label })}><value>${value}</value></option>`,
  );
  const head = attributes({ var: field.var, type: field.type, label: field.label });
  return xml`<field${head}>${required}${values}${choices}</field>`;
}

/** XEP-0004 section 3.3, as most clients read it. */
export const formFlag = (on: boolean): string => (on ? "1" : "0");
