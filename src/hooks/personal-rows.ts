/** Answers to `personalData` out of a query: most modules keep what is an account's in rows that bear its name. */
import type { Kysely, SelectQueryBuilder } from "kysely";
import { pages } from "../store/keyset.ts";
import type { PersonalData } from "./points.ts";

type Value = string | number | null;

/**
 * A table of what `query` finds, read in pages by `key`: columns that together are unique, in the order of an index, and selected. `columns` says
 * what a person sees.
 */
export function personalRows<T, Tables extends keyof T, Row>(
  name: string,
  db: Kysely<T>,
  query: SelectQueryBuilder<T, Tables, Row>,
  key: readonly (keyof NoInfer<Row> & string)[],
  columns: Readonly<Record<string, (row: NoInfer<Row>) => Value>>,
): PersonalData {
  const values = Object.values(columns);
  return {
    name,
    columns: Object.keys(columns),
    async *rows() {
      for await (const page of pages(db, query, { key })) {
        for (const row of page) yield values.map((of) => of(row));
      }
    },
  };
}

/** A time as people and programs read it. */
export const isoTime = (at: number): string => new Date(Number(at)).toISOString();
