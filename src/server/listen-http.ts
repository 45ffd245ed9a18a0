/** Opens the listeners for HTTP. */
import type { HttpListener } from "../config/settings.ts";
import type { NodeParts } from "./node-parts.ts";

export function listenHttp(_node: NodeParts, plan: HttpListener): { readonly port: number; stop(): void } {
  throw new Error(`${plan.option} cannot be opened`);
}
