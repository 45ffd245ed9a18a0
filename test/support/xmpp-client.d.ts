/** What we use of @xmpp/client, which brings no types. */
declare module "@xmpp/client" {
  // biome-ignore lint/suspicious/noExplicitAny: the library is not typed
  type Anything = any;
  export function client(options: Record<string, unknown>): Anything;
  export function xml(name: string, attributes?: Anything, ...children: Anything[]): Anything;
  export function jid(text: string): Anything;
}
