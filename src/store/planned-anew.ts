/** Queries that PostgreSQL plans for the very values they are asked with. */
import { type RawBuilder, sql } from "kysely";

/** SQL that ends so gets no prepared statement. */
export const plannedAnewMark = "/* planned anew */";

/**
 * `query.modifyEnd(plannedAnew)`. The plan of a prepared statement fits values that are like all others; where they differ much
 * (a long archive among short ones, a rare word) it may read a whole table for one page. Planning takes some 0.3 ms.
 */
export const plannedAnew: RawBuilder<unknown> = sql.raw(plannedAnewMark);
