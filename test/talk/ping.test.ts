/** XEP-0199 XMPP Ping, both ways. */
import { afterEach, describe, expect, test } from "bun:test";
import { csi } from "../../src/modules/csi.ts";
import { ping } from "../../src/modules/ping.ts";
import { Conversation, type Person } from "../support/conversation.ts";

let talk: Conversation;
afterEach(() => talk?.stop());

async function start(options: Record<string, unknown> = {}): Promise<Person> {
  talk = await Conversation.start({ modules: [ping, csi], options: { mod_ping: options } });
  return talk.online("alice@localhost/phone");
}
const pinged = "<iq type='get' id='*' from='localhost' to='alice@localhost/phone'><ping xmlns='urn:xmpp:ping'/></iq>";

describe("a client's ping", () => {
  for (const to of ["localhost", "alice@localhost", undefined]) {
    test(`to ${to ?? "nobody"} is answered`, async () => {
      const phone = await start();
      await phone.sends(`<iq type='get' id='p'${to ? ` to='${to}'` : ""}><ping xmlns='urn:xmpp:ping'/></iq>`);
      await phone.receives(`<iq type='result' id='p' from='${to ?? "alice@localhost"}' to='alice@localhost/phone'/>`);
    });
  }

  test("to another account gives nothing away", async () => {
    const phone = await start();
    await talk.online("bob@localhost/desk");
    await phone.sends("<iq type='get' id='p' to='bob@localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    const [online] = await phone.takes();
    await phone.sends("<iq type='get' id='p' to='nobody@localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    const [unknown] = await phone.takes();
    expect(online?.attr("type")).toBe("error");
    expect(online!.toXml().replace("bob", "nobody")).toBe(unknown!.toXml());
  });
});

describe("the server's pings", () => {
  const kill = { send_pings: true, ping_interval: 60, ping_req_timeout: 32, timeout_action: "kill" };

  test("are off by default", async () => {
    const phone = await start();
    await talk.clock.advance(300_000);
    await phone.receivesNothing();
    expect(talk.clock.pending).toBe(0);
  });

  test("go to a client that has been silent for the interval, not to one that spoke", async () => {
    const phone = await start(kill);
    await talk.clock.advance(40_000);
    await phone.sends("<message to='bob@localhost' type='headline'/>");
    await talk.clock.advance(40_000);
    await phone.receivesNothing();
    await talk.clock.advance(25_000);
    await phone.receives(pinged);
  });

  test("are answered by a result, an error, or anything else, and come again", async () => {
    const phone = await start(kill);
    for (const reply of [
      "<iq type='result' to='localhost' id='ID'/>",
      "<iq type='error' to='localhost' id='ID'/>",
      "<message to='bob@localhost' type='headline'/>",
    ]) {
      await talk.clock.advance(65_000);
      const [request] = await phone.takes();
      await phone.sends(reply.replace("ID", request!.attr("id")!));
      await talk.clock.advance(40_000);
      await phone.receivesNothing();
      expect(phone.closedWith).toBeUndefined();
      await phone.sends("<message to='bob@localhost' type='headline'/>");
    }
  });

  test("that stay unanswered close the stream, if so configured", async () => {
    const phone = await start(kill);
    await talk.clock.advance(65_000);
    await phone.receives(pinged);
    await talk.clock.advance(25_000);
    expect(phone.closedWith).toBeUndefined();
    await talk.clock.advance(15_000);
    expect(phone.closedWith).toBe("connection-timeout");
  });

  test("that stay unanswered are repeated otherwise", async () => {
    const phone = await start({ ...kill, timeout_action: "none" });
    await talk.clock.advance(65_000);
    await phone.receives(pinged);
    await talk.clock.advance(100_000);
    await phone.receives(pinged);
    expect(phone.closedWith).toBeUndefined();
  });

  test("do not go to a session that waits to be resumed", async () => {
    const phone = await start(kill);
    const { link } = phone.session;
    phone.session.link = undefined;
    await talk.clock.advance(200_000);
    phone.session.link = link;
    await phone.receivesNothing();
    expect(phone.closedWith).toBeUndefined();
  });

  test("need one timer for all sessions, and none when the host stops", async () => {
    await start(kill);
    for (let number = 0; number < 50; number++) await talk.online(`alice@localhost/r${number}`);
    expect(talk.clock.pending).toBe(1);
    await talk.stop();
    expect(talk.clock.pending).toBe(0);
    talk = await Conversation.start({ modules: [] });
  });
});
