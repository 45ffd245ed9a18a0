/** What a node says when it has started is what its configuration opens. */
import { expect, test } from "bun:test";
import { loadConfig } from "../config/load.ts";
import { moduleRegistry } from "../config/option.ts";
import { catalogue } from "../modules/catalogue.ts";
import { type OpenPort, summaryOf } from "./summary.ts";

function told(toml: string, ports: readonly OpenPort[], selfSigned = false): string {
  const { settings } = loadConfig(`general.hosts = ["example.org"]\n${toml}`, { modules: moduleRegistry(catalogue) });
  return summaryOf({ settings, dataDir: "/d", certificates: { selfSigned } }, ports, "./bin/meerkat ctl").join("\n");
}

test("each port with what is there, and the address of the chat", () => {
  const text = told(
    `
[[listen.c2s]]
port = 5222
[[listen.c2s]]
port = 5223
[listen.c2s.tls]
mode = "tls"
[[listen.http]]
port = 9090
ip_address = "::1"
[[listen.http.handlers.mongoose_prometheus_handler]]
[[listen.http]]
port = 5443
[listen.http.tls]
[[listen.http.handlers.mongoose_websocket_handler]]
[[listen.http.handlers.meerkat_chat_handler]]
host = "chat.example.org"
path = "/talk"
`,
    [
      { option: "listen.c2s[0]", kind: "c2s", address: "0.0.0.0", port: 5222 },
      { option: "listen.c2s[1]", kind: "c2s-tls", address: "0.0.0.0", port: 5223 },
      { option: "listen.http[0]", kind: "http", address: "::1", port: 9090 },
      { option: "listen.http[1]", kind: "http", address: "0.0.0.0", port: 5443 },
    ],
    true,
  );
  expect(text).toContain("0.0.0.0:5222           XMPP clients (without encryption)\n");
  expect(text).toContain("0.0.0.0:5223           XMPP clients (TLS)\n");
  expect(text).toContain("[::1]:9090             HTTP: metrics\n");
  expect(text).toContain("0.0.0.0:5443           HTTPS: WebSocket, web chat\n");
  expect(text).toContain("The certificate is self-signed");
  expect(text).toContain("  ./bin/meerkat ctl account registerUser --domain example.org --username alice");
  expect(text).toContain("Then chat:        https://chat.example.org:5443/talk\n");
});

test("no chat is promised where there is none", () => {
  const text = told('[[listen.c2s]]\nport = 5222\ntls.mode = "starttls"', [
    { option: "listen.c2s[0]", kind: "c2s", address: "0.0.0.0", port: 5222 },
  ]);
  expect(text).toContain("XMPP clients (STARTTLS)");
  expect(text).not.toContain("chat");
  expect(text).not.toContain("self-signed");
});
