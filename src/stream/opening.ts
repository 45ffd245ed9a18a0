/** RFC 6120 section 4.3: the client's stream header, ours, and the features. */
import { StreamError } from "../stanza/errors.ts";
import { parseJid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import type { Frame } from "../xml/scanner.ts";
import type { C2sStream, State } from "./c2s-stream.ts";
import { featuresAfterLogin, featuresBeforeLogin } from "./stream-features.ts";
import { readHeader } from "./stream-header.ts";

/** Takes the header of a stream, the first one or that after authentication. Throws `StreamError`. */
export function openStream(stream: C2sStream, state: State, frame: Frame): void {
  if (state.at !== "opening") throw new StreamError("policy-violation", "This stream is open already");
  const { environment } = stream;
  const { framing } = stream.socket;
  const expected = framing === "stream" ? ns.streams : ns.framing;
  if (frame.ns !== expected || frame.name !== (framing === "stream" ? "stream" : "open")) {
    throw new StreamError("invalid-namespace", `A stream header in ${expected} is expected`);
  }
  const header = readHeader(frame);
  const to = header.to === undefined ? undefined : parseJid(header.to);
  const host = header.to === undefined ? environment.defaultHost : environment.router.hosts.get(to?.domain ?? "");
  const from = header.from === undefined ? undefined : parseJid(header.from);
  stream.sendHeader(host ?? environment.defaultHost, from);
  if (host === undefined || to?.local) throw new StreamError("host-unknown", "This server does not serve that domain");
  if (header.version !== undefined && !/^[1-9]\d*\.\d+$/.test(header.version))
    throw new StreamError("unsupported-version");
  if (header.version === undefined) throw new StreamError("unsupported-version", "XMPP 1.0 is needed (RFC 6120)");
  if (header.from !== undefined && (from === undefined || from.domain !== host.domain))
    throw new StreamError("invalid-from");
  if (state.account === undefined) {
    stream.become({ at: "stranger", host, triesLeft: state.triesLeft, claimed: from?.toBare() });
    stream.sendFeatures(featuresBeforeLogin(stream, host));
    return;
  }
  if (state.account.domain !== host.domain)
    throw new StreamError("not-authorized", "This stream was authenticated for another domain");
  stream.become({
    at: "authenticated",
    host,
    account: state.account,
    triesLeft: environment.listener.bindTries,
    userAgent: undefined,
  });
  stream.sendFeatures(featuresAfterLogin(stream, host));
}
