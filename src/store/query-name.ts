/** A short name for a query, such as "select users", derived from its shape: few of them, so metrics can carry it. */

import type { OperationNode, RootOperationNode } from "kysely";

interface Shape {
  kind: string;
  from?: { froms: readonly OperationNode[] };
  into?: OperationNode;
  table?: OperationNode;
}

/** Verb and first table; "raw" for hand-written SQL, whose text must not become a metric label. */
export function queryName(query: RootOperationNode): string {
  const shape = query as unknown as Shape;
  switch (shape.kind) {
    case "SelectQueryNode":
      return `select ${tableName(shape.from?.froms[0])}`;
    case "InsertQueryNode":
      return `insert ${tableName(shape.into)}`;
    case "UpdateQueryNode":
      return `update ${tableName(shape.table)}`;
    case "DeleteQueryNode":
      return `delete ${tableName(shape.from?.froms[0])}`;
    case "RawNode":
      return "raw";
    default:
      return "schema";
  }
}

interface Named {
  kind: string;
  node?: OperationNode;
  table?: { identifier?: { name?: string } };
}

function tableName(node: OperationNode | undefined): string {
  let named = node as unknown as Named | undefined;
  if (named?.kind === "AliasNode") named = named.node as unknown as Named | undefined;
  return named?.table?.identifier?.name ?? "?";
}
