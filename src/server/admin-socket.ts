/** The Unix socket of the administration: HTTP on a file that only its owner can open. */
import type { AdminContext } from "../admin/command.ts";
import { answerAdminRequest, requestBytesMax } from "../admin/socket-api.ts";
import type { Log } from "../observe/log.ts";
import { serveUnix, type UnixServer } from "../runtime/bun/unix-http.ts";

/** Opens the socket; the file of a node that died is replaced. Throws `SocketTaken` when a node lives on that folder. */
export function openAdminSocket(path: string, context: AdminContext, log: Log): Promise<UnixServer> {
  return serveUnix({
    path,
    requestBytesMax,
    fetch: (request) => answerAdminRequest(context, request, log),
    failed: (error) => log.error({ err: error }, "an administration request failed"),
  });
}
