/** The Unix socket of the administration: HTTP on a file that only its owner can open. */
import type { AdminContext } from "../admin/command.ts";
import { type AdminRequest, answerAdminRequest, requestBytesMax, runPart } from "../admin/socket-api.ts";
import type { Log } from "../observe/log.ts";
import { serveUnix, type UnixServer } from "../runtime/bun/unix-http.ts";
import { jsonOf } from "./cluster/frames.ts";

/** Of several processes of one machine the first answers for all. */
export function adminSocketName(process: number | undefined): string {
  return process === undefined || process === 1 ? "meerkat.sock" : `meerkat-${process}.sock`;
}

/** Another node asks for this one's part of an answer. */
export async function answerPart(context: AdminContext, question: Uint8Array, log: Log): Promise<Uint8Array> {
  return new TextEncoder().encode(JSON.stringify(await runPart(context, jsonOf<AdminRequest>(question), log)));
}

/** Opens the socket; the file of a node that died is replaced. Throws `SocketTaken` when a node lives on that folder. */
export function openAdminSocket(path: string, context: AdminContext, log: Log): Promise<UnixServer> {
  return serveUnix({
    path,
    requestBytesMax,
    fetch: (request) => answerAdminRequest(context, request, log),
    failed: (error) => log.error({ err: error }, "an administration request failed"),
  });
}
