/** Queries whose SQL is made once: for what runs at each login or message, building the text anew costs more than the database takes. */

import type { CompiledQuery } from "kysely";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type BoundValue, bindAll, type SqlValue } from "./bind.ts";
import type { Engine } from "./engine.ts";
import { queryName } from "./query-name.ts";

/** Stands for an argument while the SQL is made. */
class Placeholder {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

interface Buildable<Row> {
  compile(): CompiledQuery<Row>;
}

interface Prepared {
  readonly name: string;
  readonly sql: string;
  /** For each parameter of the SQL: the value it always has, or which argument it is. */
  readonly parameters: readonly (BoundValue | Placeholder)[];
}

/**
 * A SELECT with arguments. Its results are there at once where the database is in this process and free, else promised;
 * every error is a rejection.
 */
export class PreparedSelect<Args extends SqlValue[], Row> {
  readonly #engine: Engine;
  readonly #build: (...args: Args) => Buildable<Row>;
  #prepared: Prepared | undefined = undefined;

  /**
   * For `Store.prepare`. `build` runs once, with something else in place of the arguments: it may only hand them on to the
   * query builder.
   */
  constructor(engine: Engine, build: (...args: Args) => Buildable<Row>) {
    this.#engine = engine;
    this.#build = build;
  }

  /** All rows. */
  all(...args: Args): MaybePromise<Row[]> {
    this.#prepared ??= this.#prepare();
    const { name, sql, parameters } = this.#prepared;
    const bound = bindAll(args);
    const values = new Array<BoundValue>(parameters.length);
    for (let index = 0; index < values.length; index++) {
      const parameter = parameters[index]!;
      values[index] = parameter instanceof Placeholder ? bound[parameter.index]! : parameter;
    }
    return this.#engine.select(name, sql, values) as MaybePromise<Row[]>;
  }

  /** The first row; undefined when there is none. */
  first(...args: Args): MaybePromise<Row | undefined> {
    const rows = this.all(...args);
    return rows instanceof Promise ? rows.then(firstOf) : rows[0];
  }

  #prepare(): Prepared {
    const places = Array.from({ length: this.#build.length }, (_, index) => new Placeholder(index));
    const compiled = this.#build(...(places as unknown as Args)).compile();
    return {
      name: queryName(compiled.query),
      sql: compiled.sql,
      parameters: compiled.parameters.map((value) =>
        value instanceof Placeholder ? value : (bindAll([value])[0] as BoundValue),
      ),
    };
  }
}

function firstOf<Row>(rows: Row[]): Row | undefined {
  return rows[0];
}
