/** XEP-0424 and XEP-0425: what was said in a room and taken back is gone from the archives of those who were there, too. */
import { expect, test } from "bun:test";
import type { ModuleDefinition } from "../../../src/hooks/define-module.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import type { Person } from "../../support/conversation.ts";
import { enter, inRoom, room, say } from "./rooms.ts";

const sids = "urn:xmpp:sid:0";
const more = {
  modules: [mam as ModuleDefinition],
  options: { mod_mam: { pm: { archive_groupchats: true }, muc: {} } },
};

/** What Bob said, by the room's id, and that id. */
async function spoken() {
  const { talk, alice, bob } = await inRoom({}, more);
  await bob.sends(say("oops"));
  const [heard] = await alice.takes();
  await bob.takes();
  const id = heard!
    .childrenNamed("stanza-id", sids)
    .find((each) => each.attr("by") === room)!
    .attr("id")!;
  return { talk, alice, bob, id };
}

const retraction = (id: string): string =>
  `<message type='groupchat' id='r1' to='${room}'><retract xmlns='urn:xmpp:message-retract:1' id='${id}'/></message>`;

/** The messages of a user's own archive, as XML. */
async function archiveOf(person: Person): Promise<string[]> {
  await person.takes();
  await person.sends("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
  const results = (await person.takes()).flatMap((stanza) => stanza.child("result", "urn:xmpp:mam:2") ?? []);
  return results.map((result) => result.toXml());
}

test("a message that its sender takes back leaves a tombstone with the room's id in every archive", async () => {
  const { talk, alice, bob, id } = await spoken();
  await bob.sends(retraction(id));
  for (const person of [alice, bob]) {
    const [first] = await archiveOf(person);
    expect(first).not.toContain("oops");
    expect(first).toContain("<retracted xmlns='urn:xmpp:message-retract:1' id='r1'");
    expect(first).toContain(`by='${room}' id='${id}'`);
    expect(first).toContain("<occupant-id");
  }
  await talk.stop();
});

test("a moderator takes it out of all archives, and says so in them", async () => {
  const { talk, alice, bob, id } = await spoken();
  await alice.sends(
    `<iq type='set' id='m' to='${room}'><moderate xmlns='urn:xmpp:message-moderate:1' id='${id}'><retract xmlns='urn:xmpp:message-retract:1'/><reason>spam</reason></moderate></iq>`,
  );
  const [first] = await archiveOf(bob);
  expect(first).not.toContain("oops");
  expect(first).toContain(`<moderated xmlns='urn:xmpp:message-moderate:1' by='${room}/Alice'>`);
  expect(first).toContain("<reason>spam</reason>");
  await talk.stop();
});

test("nobody else takes it back: not by the nickname, nor by claiming to be a moderator", async () => {
  const { talk, alice, bob, id } = await spoken();
  await bob.sends(`<presence type='unavailable' to='${room}/Bob'/>`);
  const carol = await talk.login("carol@localhost/pc");
  await carol.sends(enter("Bob"));
  await carol.sends(retraction(id));
  await carol.sends(
    retraction(id).replace(
      "/></message>",
      `><moderated xmlns='urn:xmpp:message-moderate:1' by='${room}/Alice'/></retract></message>`,
    ),
  );
  expect((await archiveOf(alice))[0]).toContain("oops");
  await talk.stop();
});
