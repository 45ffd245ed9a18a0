/** The values that may travel to and from a database, the same for every dialect. */

/** What a query parameter may be. Booleans travel as 1 and 0, undefined as NULL. */
export type SqlValue = string | number | bigint | boolean | Uint8Array | null | undefined;

/** A parameter as drivers take it. */
export type BoundValue = string | number | bigint | Uint8Array | null;

/**
 * Checks and normalises the parameters of one query. Objects are refused: drivers differ in what they make of them,
 * and one of them would splice them into the SQL.
 * @throws TypeError naming the position of a value that is none of `SqlValue`.
 */
export function bindAll(parameters: readonly unknown[]): BoundValue[] {
  const bound = new Array<BoundValue>(parameters.length);
  for (let index = 0; index < parameters.length; index++) {
    const value = parameters[index];
    switch (typeof value) {
      case "string":
      case "bigint":
        bound[index] = value;
        break;
      case "number":
        if (!Number.isFinite(value)) throw new TypeError(`query parameter ${index + 1} is ${value}`);
        bound[index] = value;
        break;
      case "boolean":
        bound[index] = value ? 1 : 0;
        break;
      case "undefined":
        bound[index] = null;
        break;
      default:
        if (value === null || value instanceof Uint8Array) bound[index] = value;
        else throw new TypeError(`query parameter ${index + 1} is of a kind no column holds`);
    }
  }
  return bound;
}

/** Integers come back as numbers, and as bigint only where a number would not be exact. */
export function exactInteger(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}
