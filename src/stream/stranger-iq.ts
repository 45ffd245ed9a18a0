/** Requests before authentication: XEP-0077 and what modules declare; everything else is refused (RFC 6120 section 6.3.1). */
import { toStanzaError } from "../router/failure.ts";
import type { Host } from "../router/host.ts";
import { carryOut } from "../router/stages.ts";
import { StanzaError, StreamError } from "../stanza/errors.ts";
import { errorOf, resultOf } from "../stanza/reply.ts";
import { stanzaFromFrame } from "../stanza/stanza.ts";
import type { Frame } from "../xml/scanner.ts";
import type { C2sStream } from "./c2s-stream.ts";

/** Throws `StreamError` not-authorized for what nobody answers. */
export async function answerStranger(stream: C2sStream, host: Host, frame: Frame): Promise<void> {
  const stanza = stanzaFromFrame(frame);
  if (stanza?.kind !== "iq" || (stanza.type !== "get" && stanza.type !== "set"))
    throw new StreamError("not-authorized", "Authenticate first");
  const [name, namespace] = stanza.children as readonly string[];
  const handler = host.registry.findStrangerIq(stanza.type, namespace!, name!);
  if (handler === undefined) throw new StreamError("not-authorized", "Authenticate first");
  const request = stanza.withAddresses(undefined, undefined);
  try {
    const outcome = await handler(request, { remoteAddress: stream.remoteAddress, secure: stream.secure });
    const effects = outcome === undefined ? [] : "length" in outcome ? outcome : [outcome];
    const replied = effects.find((effect) => effect.do === "reply");
    stream.send(resultOf(request, replied?.payload).withFrom(host.address));
    for (const effect of effects)
      if (effect.do !== "reply") await carryOut(effect, request, stream.environment.router, undefined);
  } catch (error) {
    stream.send(errorOf(request, asStanzaError(stream, error)).withFrom(host.address));
  }
}

function asStanzaError(stream: C2sStream, error: unknown): StanzaError {
  if (error instanceof StanzaError) return error;
  stream.environment.log.error({ err: error, remote: stream.remoteAddress }, "request before login failed");
  return toStanzaError(error);
}
