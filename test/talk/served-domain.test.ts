/** A module that serves a domain of its own, as group chats do: every address in it is the module's. */
import { expect, test } from "bun:test";
import { defineModule } from "../../src/hooks/define-module.ts";
import { handled, route } from "../../src/hooks/effect.ts";
import { disco } from "../../src/modules/disco.ts";
import { StanzaError } from "../../src/stanza/errors.ts";
import { message, type Stanza } from "../../src/stanza/stanza.ts";
import { Conversation } from "../support/conversation.ts";

const domain = "echo.localhost";

const echo = defineModule({
  name: "mod_echo",
  summary: "Answers every message.",
  options: {},
  setup(on) {
    on.serve(domain, (stanza: Stanza) => {
      if (stanza.kind !== "message") throw new StanzaError("feature-not-implemented");
      if (stanza.type === "error") return handled;
      return route(message({ from: stanza.to, to: stanza.from, type: stanza.type, payload: stanza.inner }));
    });
    return undefined;
  },
});

test("its module takes what is for any address there, and what it throws is the answer", async () => {
  const talk = await Conversation.start({ modules: [echo] });
  const alice = await talk.login("alice@localhost/phone");
  await alice.sends(`<message type='chat' to='room@${domain}/nick'><body>hello</body></message>`);
  await alice.receives(
    `<message type='chat' from='room@${domain}/nick' to='alice@localhost/phone'><body>hello</body></message>`,
  );
  await alice.sends(`<iq type='get' id='1' to='${domain}'><query xmlns='jabber:iq:version'/></iq>`);
  const [error] = await alice.takes();
  expect(error!.attr("from")).toBe(domain);
  expect(error!.child("error")!.elements()[0]!.name).toBe("feature-not-implemented");
  await talk.stop();
});

test("an error the module's own stanza meets comes back to it", async () => {
  const talk = await Conversation.start({ modules: [echo] });
  // Nobody stores messages here, so the echo to an absent resource is refused, and the refusal must end at the module.
  await talk.arrives(
    `<message type='chat' from='alice@localhost/gone' to='room@${domain}'><body>hello</body></message>`,
  );
  expect(talk.router.counters.bounced).toBe(1);
  await talk.stop();
});

test("service discovery lists it among the host's items", async () => {
  const talk = await Conversation.start({ modules: [echo, disco] });
  const alice = await talk.login("alice@localhost/phone");
  await alice.sends(
    "<iq type='get' id='1' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
  );
  await alice.receives(
    `<iq type='result' id='1' from='localhost' to='alice@localhost/phone'>
      <query xmlns='http://jabber.org/protocol/disco#items'><item jid='${domain}'/></query></iq>`.replace(
      /\s+(?=<)/g,
      "",
    ),
  );
  await talk.stop();
});
