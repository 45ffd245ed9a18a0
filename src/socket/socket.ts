/** The byte-level interface between a stream and whatever carries it: TCP, TLS, a WebSocket (RFC 7395), or memory. */

/** Which channel binding a SASL mechanism asks for (RFC 9266, RFC 5929). */
export type ChannelBindingType = "tls-exporter" | "tls-server-end-point";

/** What was negotiated when TLS came up. */
export interface TlsInfo {
  /** "TLSv1.2" or "TLSv1.3". */
  readonly version: string;
  /** The cipher suite by its OpenSSL name. */
  readonly cipher: string;
  /** The host the client asked for by SNI; undefined when it named none. */
  readonly servername: string | undefined;
  /** The application protocol agreed on; undefined when none was. */
  readonly alpn: string | undefined;
}

/** One connection, as its stream sees it. All methods may be called at any time; after the end they do nothing. */
export interface ByteSocket {
  /**
   * "stream": bytes without borders, `write` takes any piece of text. "message": every `write` is exactly one complete
   * XML element, which travels as one WebSocket text frame (RFC 7395 section 3.3), and arrives by `receivedMessage`.
   */
  readonly framing: "stream" | "message";
  readonly transport: "tcp" | "tls" | "websocket" | "memory";
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** TLS is on. */
  readonly secure: boolean;
  /** UTF-8 bytes (at least; exact once encoded) that the peer has not been able to take yet. */
  readonly queuedBytes: number;
  /** Queues text. All that is written within one turn of the event loop leaves in one system call. */
  write(text: string): void;
  /** Sends what is queued now instead of at the end of the turn. */
  flush(): void;
  /** Stops reading: nothing is received until `resume`, and the peer is slowed down by TCP. */
  pause(): void;
  resume(): void;
  /**
   * The server side of STARTTLS (RFC 6120 section 5.4.3.1): what was written before goes out in clear first; then the
   * handshake; then `secured`. Bytes received together with the `<starttls/>` were handed over before this call and
   * must be thrown away by the stream (a command injected in front of the handshake).
   * Throws when the listener has no certificate, or TLS is already on.
   */
  startTls(): void;
  /** Sends what is queued, then closes our half and waits, for a bounded time, until the peer closes its own. */
  close(): void;
  /** Closes at once; what is queued is lost. */
  abort(): void;
  /** The binding of this TLS connection; undefined where the type does not exist (no TLS; "tls-exporter" before TLS 1.3). */
  channelBinding(type: ChannelBindingType): Uint8Array | undefined;
  /** Whether `channelBinding` would give one, for less than computing it. */
  hasChannelBinding(type: ChannelBindingType): boolean;
  /** Undefined without TLS. */
  tlsInfo(): TlsInfo | undefined;
}

/** The stream's end of it: one object per connection. A method that throws ends its own connection and no other. */
export interface SocketHandler {
  /** Bytes of a "stream" socket, decrypted. The chunk is the handler's to keep. */
  received(chunk: Uint8Array): void;
  /** One frame of a "message" socket. */
  receivedMessage?(text: string): void;
  /** The TLS handshake is done; `secure`, `tlsInfo` and `channelBinding` hold from now on. */
  secured(): void;
  /** The queue, which the peer had been slow to take, is empty again. */
  drained(): void;
  /** The peer does not read: more than `writeQueueBytesMax` is queued. Called once; what is written after that is dropped. */
  overflowed(): void;
  /** The connection is over; called exactly once, and nothing is called after it. No reason when it ended in order. */
  closed(reason: Error | undefined): void;
}
