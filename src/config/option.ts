/**
 * How an option is declared: once, with type, range, default, unit and one sentence. From the declaration come the
 * check of the file, the default, the TypeScript type, `config show` and the reference table of the documentation.
 *
 * Names are those of the file (`resume_timeout`). In code they are camel case, and durations are milliseconds
 * whatever their unit in the file, and say so: `options.resumeTimeoutMs`. "infinity" is the number `Infinity`;
 * no timer takes it, so ask `Number.isFinite` before starting one.
 */

/** Units a duration may have in the file. */
export type DurationUnit = "ms" | "s" | "min" | "h" | "d";

/** Why a name or value that MongooseIM knows is not taken, by name. */
export type Reasons = Readonly<Record<string, string>>;

interface Common {
  /** One sentence for the reference; of a table, what it is for. */
  readonly doc: string;
  /** The option has no default and must be given. */
  readonly required?: boolean;
  /** Never printed; may come from a file: `{ file = "path" }`. */
  readonly secret?: boolean;
}

export interface IntegerOption extends Common {
  readonly kind: "integer";
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  readonly unit?: string;
  readonly infinity?: boolean;
}

export interface NumberOption extends Common {
  readonly kind: "number";
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  readonly unit?: string;
}

export interface DurationOption extends Common {
  readonly kind: "duration";
  /** All three in `unit`, as in the file. */
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  readonly unit: DurationUnit;
  readonly infinity?: boolean;
}

export interface StringOption extends Common {
  readonly kind: "string";
  readonly default?: string;
  /** What is allowed, in words, such as "an IPv4 or IPv6 address"; for the error. */
  readonly allowed?: string;
  /** Whether a text is allowed. */
  readonly check?: (text: string) => boolean;
  /** The value names something that the file defines. */
  readonly refersTo?: "access" | "shaper";
}

export interface BooleanOption extends Common {
  readonly kind: "boolean";
  readonly default?: boolean;
  /** The one value that works, where MongooseIM has both; the other is refused as not supported. */
  readonly only?: boolean;
}

export interface ChoiceOption extends Common {
  readonly kind: "choice";
  readonly values: readonly string[];
  readonly default?: string;
  /** Values that MongooseIM knows and that are refused, with the reason. */
  readonly unsupported?: Reasons;
}

/** A text or a number, as the values of access rules are. */
export interface ScalarOption extends Common {
  readonly kind: "scalar";
  readonly default?: string | number;
}

export interface ListOption extends Common {
  readonly kind: "list";
  readonly item: Option;
  readonly default?: readonly unknown[];
  readonly minItems?: number;
  /** No item twice. */
  readonly distinct?: boolean;
}

export interface TableOption extends Common {
  readonly kind: "table";
  readonly shape: OptionSpec;
  /** When the table is not in the file: its value is undefined, instead of one made of defaults. */
  readonly optional?: boolean;
  /** Names that are accepted without effect, and why that is harmless. */
  readonly ignored?: Reasons;
  /** Names that MongooseIM knows and that are refused, with what else to say (or ""). */
  readonly unsupported?: Reasons;
}

/** A table whose names the operator chooses. */
export interface MapOption extends Common {
  readonly kind: "map";
  readonly item: Option;
}

export type Option =
  | IntegerOption
  | NumberOption
  | DurationOption
  | StringOption
  | BooleanOption
  | ChoiceOption
  | ScalarOption
  | ListOption
  | TableOption
  | MapOption;

export type OptionKind = Option["kind"];

/** The options of a table, by their names in the file. */
export type OptionSpec = Readonly<Record<string, Option>>;

declare const value: unique symbol;
/** An option whose value in code is a `T`. */
export type Typed<O extends Option, T> = O & { readonly [value]?: (of: T) => T };

/** The value of one option in code. */
export type ValueOf<O> = O extends { readonly [value]?: (of: infer T) => unknown } ? T : unknown;

type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;
type NameInCode<Name, O> = Name extends string
  ? O extends { readonly kind: "duration" }
    ? `${Camel<Name>}Ms`
    : Camel<Name>
  : never;

/** The options of a table as code sees them: camel case, durations in milliseconds with `Ms` at the end. */
export type OptionsOf<Spec extends OptionSpec> = {
  readonly [Name in keyof Spec as NameInCode<Name, Spec[Name]>]: ValueOf<Spec[Name]>;
};

/** Without a default and not required, an option may be undefined. */
type Given<T, Declared> = Declared extends { default: unknown } | { required: true } ? T : T | undefined;

type Without<O extends Option> = Omit<O, "kind">;

/** The declarations. Each takes `doc` and, as a rule, `default`; without it and `required` the value may be undefined. */
export const option = {
  integer: <const D extends Without<IntegerOption>>(declared: D): Typed<IntegerOption, Given<number, D>> => ({
    kind: "integer",
    ...declared,
  }),

  /** A number that need not be whole. */
  number: <const D extends Without<NumberOption>>(declared: D): Typed<NumberOption, Given<number, D>> => ({
    kind: "number",
    ...declared,
  }),

  /** An integer in `unit` in the file, milliseconds in code. */
  duration: <const D extends Without<DurationOption>>(declared: D): Typed<DurationOption, Given<number, D>> => ({
    kind: "duration",
    ...declared,
  }),

  string: <const D extends Without<StringOption>>(declared: D): Typed<StringOption, Given<string, D>> => ({
    kind: "string",
    ...declared,
  }),

  boolean: <const D extends Without<BooleanOption>>(declared: D): Typed<BooleanOption, Given<boolean, D>> => ({
    kind: "boolean",
    ...declared,
  }),

  choice: <const D extends Without<ChoiceOption>>(declared: D): Typed<ChoiceOption, Given<D["values"][number], D>> => ({
    kind: "choice",
    ...declared,
  }),

  scalar: <const D extends Without<ScalarOption>>(declared: D): Typed<ScalarOption, Given<string | number, D>> => ({
    kind: "scalar",
    ...declared,
  }),

  /** The name of an access rule; one that the file gives must be defined there, unless it is the default. */
  access: <const D extends Without<StringOption>>(declared: D): Typed<StringOption, Given<string, D>> => ({
    kind: "string",
    refersTo: "access",
    allowed: "the name of an access rule",
    ...declared,
  }),

  /** The name of a shaper, or "none". */
  shaper: <const D extends Without<StringOption>>(declared: D): Typed<StringOption, Given<string, D>> => ({
    kind: "string",
    refersTo: "shaper",
    allowed: "the name of a shaper",
    ...declared,
  }),

  /** An array of `item`; without a default it is empty. */
  list: <I extends Option>(
    item: I,
    declared: Omit<ListOption, "kind" | "item">,
  ): Typed<ListOption, readonly NonNullable<ValueOf<I>>[]> => ({ kind: "list", item, ...declared }),

  /** A table of options of its own; not given, it is made of their defaults. */
  table: <const S extends OptionSpec>(
    shape: S,
    declared: Omit<TableOption, "kind" | "shape" | "optional">,
  ): Typed<TableOption, OptionsOf<S>> => ({ kind: "table", shape, ...declared }),

  /** A table of options that may be left out: then undefined. */
  optionalTable: <const S extends OptionSpec>(
    shape: S,
    declared: Omit<TableOption, "kind" | "shape" | "optional">,
  ): Typed<TableOption, OptionsOf<S> | undefined> => ({ kind: "table", shape, optional: true, ...declared }),

  /** A table whose names the operator chooses. */
  map: <I extends Option>(
    item: I,
    declared: Omit<MapOption, "kind" | "item">,
  ): Typed<MapOption, ReadonlyMap<string, NonNullable<ValueOf<I>>>> => ({ kind: "map", item, ...declared }),

  /** Also takes "infinity"; the default may then be `Infinity`. */
  infinityOr: <O extends IntegerOption | DurationOption>(limited: O): O => ({ ...limited, infinity: true }),
};

/** What the configuration needs to know of a module: the part of its definition that is about options. */
export interface ModuleSchema {
  /** As in the file: `mod_roster`. */
  readonly name: string;
  readonly summary?: string;
  readonly options: OptionSpec;
}

/** The modules there are, by name. */
export type ModuleSchemaRegistry = ReadonlyMap<string, ModuleSchema>;

/** @throws Error when two modules bear one name. */
export function moduleRegistry(modules: Iterable<ModuleSchema>): ModuleSchemaRegistry {
  const registry = new Map<string, ModuleSchema>();
  for (const module of modules) {
    if (registry.has(module.name)) throw new Error(`two modules are named ${module.name}`);
    registry.set(module.name, module);
  }
  return registry;
}

const MS_PER_UNIT: Record<DurationUnit, number> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a duration written in `unit`. */
export function toMs(amount: number, unit: DurationUnit): number {
  return amount * MS_PER_UNIT[unit];
}

/** The name in code of an option of the file; see `OptionsOf`. */
export function nameInCode(name: string, kind: OptionKind): string {
  const camel = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return kind === "duration" ? `${camel}Ms` : camel;
}
