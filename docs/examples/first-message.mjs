// Logs in, says hello to somebody, and prints what others write:
//   node first-message.mjs alice@localhost PASSWORD [bob@localhost]
import { client, xml } from "@xmpp/client";

const [me, password, to] = process.argv.slice(2);
const [username, domain] = me.split("@");
const service = process.env.XMPP_SERVICE ?? `xmpp://${domain}:5222`;
const xmpp = client({ service, domain, username, password });

xmpp.on("online", async (address) => {
  console.log(`online as ${address}`);
  await xmpp.send(xml("presence")); // from now on messages to alice@localhost come here
  if (to) await xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, "Hello")));
});

xmpp.on("stanza", (stanza) => {
  const body = stanza.is("message") && stanza.getChildText("body");
  if (body) console.log(`${stanza.attrs.from}: ${body}`);
});

// A connection that breaks is made anew; a password that is wrong stays wrong.
xmpp.on("error", (error) => {
  console.error(error.message);
  if (error.condition === "not-authorized") xmpp.stop();
});

process.on("SIGINT", () => xmpp.stop());
xmpp.start().catch(() => process.exit(1));
