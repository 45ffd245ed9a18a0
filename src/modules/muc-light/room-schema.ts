/** The configuration of rooms: which fields there are, what they hold, and their texts on the wire. */
import { StanzaError } from "../../stanza/errors.ts";
import type { Element } from "../../xml/element.ts";
import { escapeText } from "../../xml/xml.ts";
import type { SchemaFieldOption } from "./options.ts";

export type FieldValue = string | number | boolean;
type FieldKind = "string" | "integer" | "float" | "boolean";

interface Field {
  /** Its name on the wire. */
  readonly name: string;
  /** Its name in the database. */
  readonly key: string;
  readonly kind: FieldKind;
  readonly initial: FieldValue;
}

/** Values by internal key; those a room has never been given are not there. */
export type RoomConfig = Readonly<Record<string, FieldValue>>;

/** Values by their names on the wire, in the order they were given, as they were written. */
export type ConfigTexts = readonly (readonly [name: string, text: string])[];

/** Fields the rooms themselves look at. */
const reserved: Readonly<Record<string, FieldKind>> = {
  roomname: "string",
  all_can_configure: "boolean",
  all_can_invite: "boolean",
};

export class RoomSchema {
  readonly #fields = new Map<string, Field>();
  readonly #byKey = new Map<string, Field>();
  readonly #lengthMax: number;

  /** @throws Error for a schema that is none, in words for whoever wrote it. */
  constructor(options: readonly SchemaFieldOption[], lengthMax: number) {
    this.#lengthMax = lengthMax;
    for (const option of options) {
      const field = fieldOf(option);
      if (this.#fields.has(field.name)) throw new Error(`mod_muc_light: config_schema has ${field.name} twice`);
      if (this.#byKey.has(field.key))
        throw new Error(`mod_muc_light: config_schema has internal_key ${field.key} twice`);
      const expected = Object.hasOwn(reserved, field.key) ? reserved[field.key] : undefined;
      if (expected !== undefined && expected !== field.kind) {
        throw new Error(`mod_muc_light: config_schema: ${field.key} holds a ${field.kind}; allowed: ${expected}_value`);
      }
      this.#fields.set(field.name, field);
      this.#byKey.set(field.key, field);
    }
  }

  /** What a request wants of the configuration, in full or in part. @throws StanzaError bad-request. */
  read(elements: readonly Element[]): { config: RoomConfig; texts: ConfigTexts } {
    const config: Record<string, FieldValue> = {};
    const texts: [string, string][] = [];
    for (const element of elements) {
      const { name } = element;
      if (name === "version" || name === "prev-version") throw refused(`A field cannot be named ${name}`);
      if (element.firstElement() !== undefined) throw refused(`${name.slice(0, 100)} holds a text, no elements`);
      this.#take(config, texts, name, element.text());
    }
    return { config, texts };
  }

  /** As `read`, of texts by their names. */
  readTexts(given: ConfigTexts): { config: RoomConfig; texts: ConfigTexts } {
    const config: Record<string, FieldValue> = {};
    const texts: [string, string][] = [];
    for (const [name, text] of given) this.#take(config, texts, name, text);
    return { config, texts };
  }

  #take(config: Record<string, FieldValue>, texts: [string, string][], name: string, text: string): void {
    const field = this.#fields.get(name);
    if (field === undefined) throw refused(`Rooms have no ${name.slice(0, 100)}`);
    if (Object.hasOwn(config, field.key)) throw refused(`${name} is there twice`);
    if (text.length > this.#lengthMax) throw refused(`${name} has at most ${this.#lengthMax} characters`);
    const value = valueFrom(field.kind, text);
    if (value === undefined) throw refused(`${name} ${kindWords[field.kind]}`);
    config[field.key] = value;
    texts.push([name, text]);
  }

  /** All fields of a room with their values. */
  texts(config: RoomConfig): ConfigTexts {
    return [...this.#fields.values()].map(({ name, key, initial }) => [name, String(own(config, key) ?? initial)]);
  }

  /** What lists call a room; undefined where rooms have no names. */
  roomName(config: RoomConfig): string | undefined {
    const field = this.#byKey.get("roomname");
    return field === undefined ? undefined : String(own(config, "roomname") ?? field.initial);
  }

  /** What a room says of itself; undefined where that is for the service to say. */
  permission(config: RoomConfig, key: "all_can_configure" | "all_can_invite"): boolean | undefined {
    const field = this.#byKey.get(key);
    return field === undefined ? undefined : (own(config, key) ?? field.initial) === true;
  }
}

export function configXml(texts: ConfigTexts): string {
  let inner = "";
  for (const [name, text] of texts) inner += `<${name}>${escapeText(text)}</${name}>`;
  return inner;
}

/** A configuration as it rests in the database. */
export function parseConfig(json: string): RoomConfig {
  return JSON.parse(json) as RoomConfig;
}

function own(config: RoomConfig, key: string): FieldValue | undefined {
  return Object.hasOwn(config, key) ? config[key] : undefined;
}

function refused(text: string): StanzaError {
  return new StanzaError("bad-request", { text });
}

function fieldOf(option: SchemaFieldOption): Field {
  const { field: name, stringValue, integerValue, floatValue, booleanValue, internalKey } = option;
  const given: [FieldKind, FieldValue][] = [];
  if (stringValue !== undefined) given.push(["string", stringValue]);
  if (integerValue !== undefined) given.push(["integer", integerValue]);
  if (floatValue !== undefined) given.push(["float", floatValue]);
  if (booleanValue !== undefined) given.push(["boolean", booleanValue]);
  const [only] = given;
  if (only === undefined || given.length > 1) {
    throw new Error(
      `mod_muc_light: config_schema: ${name} needs exactly one of string_value, integer_value, float_value, boolean_value`,
    );
  }
  return { name, key: internalKey ?? name, kind: only[0], initial: only[1] };
}

const kindWords: Readonly<Record<FieldKind, string>> = {
  string: "holds a text",
  integer: "holds a whole number",
  float: "holds a number",
  boolean: "holds true or false",
};

function valueFrom(kind: FieldKind, text: string): FieldValue | undefined {
  switch (kind) {
    case "string":
      return text;
    case "integer": {
      const number = Number(text);
      return /^-?\d+$/.test(text) && Number.isSafeInteger(number) ? number : undefined;
    }
    case "float":
      return /^-?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?$/.test(text) && Number.isFinite(Number(text))
        ? Number(text)
        : undefined;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : undefined;
  }
}
