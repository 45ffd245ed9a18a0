/** What of a room changes, who may change it, and what everybody is told. */
import { expect, test } from "bun:test";
import type { Person } from "../../support/conversation.ts";
import {
  affiliations,
  configuration,
  creation,
  den,
  hearsOf,
  light,
  online,
  request,
  room,
  say,
  service,
  start,
  user,
} from "./rooms.ts";

test("who knows the newest version gets an empty answer, everybody else all of it", async () => {
  const { talk, alice } = await den();
  for (const what of ["info", "configuration", "affiliations"]) {
    await alice.sends(request("get", what, "<version/>"));
    const [answer] = await alice.takes();
    const version = answer!.elements()[0]!.childText("version")!;
    await alice.sends(request("get", what, `<version>${version}</version>`));
    await alice.receives(`<iq type='result' id='r1' from='${room}' to='alice@localhost/phone'/>`);
    await alice.sends(request("get", what, "<version>another</version>"));
    expect((await alice.takes())[0]!.elements()).not.toEqual([]);
  }
  await talk.stop();
});

test("a change of the configuration is told to everybody with both versions, and then to whoever asked for it", async () => {
  const { talk, alice, bob } = await den();
  await alice.sends(configuration("<roomname>A Darker Cave</roomname>"));
  const notice = (to: string) =>
    `<message from='${room}' to='${to}@localhost' type='groupchat' id='cfg1'><x xmlns='${light}#configuration'><prev-version>random1</prev-version><version>random2</version><roomname>A Darker Cave</roomname></x><body/></message>`;
  await alice.receives(notice("alice"));
  await alice.receives(`<iq type='result' id='cfg1' from='${room}' to='alice@localhost/phone'/>`);
  await bob.receives(notice("bob"));
  await bob.sends(request("get", "configuration"));
  expect(await hearsOf(bob)).toEqual(["iq result configuration >v roomname=A Darker Cave subject="]);
  await talk.stop();
});

test("members may change the subject, and nothing else", async () => {
  const { talk, alice, bob } = await den();
  await bob.sends(configuration("<subject>To be or not to be?</subject>"));
  await bob.sends(configuration("<roomname>mine</roomname>"));
  await bob.sends(configuration("<subject>x</subject><roomname>mine</roomname>"));
  expect(await hearsOf(bob)).toEqual([
    "configuration v>v subject=To be or not to be?",
    "iq result",
    "iq error not-allowed",
    "iq error not-allowed",
  ]);
  expect(await hearsOf(alice)).toEqual(["configuration v>v subject=To be or not to be?"]);
  await bob.sends(configuration("<subject/>"));
  expect(await hearsOf(alice)).toEqual(["configuration v>v subject="]);
  await talk.stop();
});

test("members may configure where the service, or the room, lets them", async () => {
  const open = await den({ all_can_configure: true });
  await open.bob.sends(configuration("<roomname>ours</roomname>"));
  expect(await hearsOf(open.bob)).toEqual(["configuration v>v roomname=ours", "iq result"]);
  await open.talk.stop();

  const config_schema = [
    { field: "roomname", string_value: "Untitled" },
    { field: "everybody", boolean_value: false, internal_key: "all_can_configure" },
  ];
  const room = await den({ all_can_configure: true, config_schema });
  await room.bob.sends(configuration("<roomname>ours</roomname>"));
  await room.alice.sends(configuration("<everybody>true</everybody>"));
  await room.bob.sends(configuration("<roomname>ours</roomname>"));
  expect(await hearsOf(room.bob)).toEqual([
    "iq error not-allowed",
    "configuration v>v everybody=true",
    "configuration v>v roomname=ours",
    "iq result",
  ]);
  await room.talk.stop();
});

test("fields hold what the schema says", async () => {
  const config_schema = [
    { field: "display-lines", integer_value: 30, internal_key: "display_lines" },
    { field: "ratio", float_value: 1.5 },
    { field: "loud", boolean_value: true },
  ];
  const { talk, alice } = await den({ config_schema });
  const fields = [
    "<display-lines>many</display-lines>",
    "<display-lines>1.5</display-lines>",
    "<ratio>wide</ratio>",
    "<loud>perhaps</loud>",
    "<subject>none here</subject>",
    "",
    "<version>1</version>",
  ];
  for (const field of fields) await alice.sends(configuration(field));
  expect(await hearsOf(alice)).toEqual(fields.map(() => "iq error bad-request"));
  await alice.sends(configuration("<loud>false</loud><display-lines>40</display-lines><ratio>2.25</ratio>"));
  await alice.sends(request("get", "configuration"));
  expect(await hearsOf(alice)).toEqual([
    "configuration v>v loud=false display-lines=40 ratio=2.25",
    "iq result",
    "iq result configuration >v display-lines=40 ratio=2.25 loud=false",
  ]);
  await talk.stop();
});

test("newcomers are told what they are, those who stay all that changed, those who go that they are out, and last the result", async () => {
  const { talk, alice, bob, carol } = await den();
  await alice.sends(affiliations(user("carol", "member"), user("bob", "none")));
  await alice.receives(
    `<message from='${room}' to='alice@localhost' type='groupchat' id='aff1'><x xmlns='${light}#affiliations'><prev-version>random1</prev-version><version>random2</version><user affiliation='member'>carol@localhost</user><user affiliation='none'>bob@localhost</user></x><body/></message>`,
  );
  await alice.receives(`<iq type='result' id='aff1' from='${room}' to='alice@localhost/phone'/>`);
  await bob.receives(
    `<message from='${room}' to='bob@localhost' type='groupchat' id='aff1'><x xmlns='${light}#affiliations'><user affiliation='none'>bob@localhost</user></x><body/></message>`,
  );
  await carol.receives(
    `<message from='${room}' to='carol@localhost' type='groupchat' id='aff1'><x xmlns='${light}#affiliations'><version>random2</version><user affiliation='member'>carol@localhost</user></x><body/></message>`,
  );
  await talk.stop();
});

test("everybody may leave, and is then told nothing more", async () => {
  const { talk, alice, bob } = await den();
  await bob.sends(affiliations(user("bob", "none")));
  expect(await hearsOf(bob)).toEqual(["affiliations none:bob", "iq result"]);
  expect(await hearsOf(alice)).toEqual(["affiliations v>v none:bob"]);
  await alice.sends(say("is he gone?"));
  expect(await hearsOf(bob)).toEqual([]);
  await bob.sends(say("no"));
  expect(await hearsOf(bob)).toEqual(["message error item-not-found"]);
  await talk.stop();
});

test("members can change nobody else, and forge nothing", async () => {
  const { talk, alice, bob, carol } = await den();
  const tries = [
    affiliations(user("bob", "owner")),
    affiliations(user("alice", "none")),
    affiliations(user("alice", "member")),
    affiliations(user("carol", "member")),
    affiliations(user("carol", "owner")),
    affiliations(user("bob", "none"), user("alice", "none")),
  ];
  for (const one of tries) await bob.sends(one);
  expect(await hearsOf(bob)).toEqual(tries.map(() => "iq error not-allowed"));
  // Nor does it help to be outside.
  for (const one of tries) await carol.sends(one);
  expect(await hearsOf(carol)).toEqual(tries.map(() => "iq error item-not-found"));
  expect(await hearsOf(alice)).toEqual([]);
  await talk.stop();
});

test("members may add members where the service, or the room, lets them, but nothing more", async () => {
  const config_schema = [{ field: "all_can_invite", boolean_value: true }];
  for (const options of [{ all_can_invite: true }, { config_schema }]) {
    const { talk, bob, carol } = await den(options);
    await bob.sends(affiliations(user("carol", "owner")));
    await bob.sends(affiliations(user("alice", "member")));
    await bob.sends(affiliations(user("carol", "member")));
    expect(await hearsOf(bob)).toEqual([
      "iq error not-allowed",
      "iq error not-allowed",
      "affiliations v>v member:carol",
      "iq result",
    ]);
    expect(await hearsOf(carol)).toEqual(["affiliations >v member:carol"]);
    await talk.stop();
  }
});

test("a change that changes nothing, or is none, is a bad request", async () => {
  const { talk, alice, bob } = await den();
  const tries = [
    affiliations(user("bob", "member")),
    affiliations(user("carol", "none")),
    affiliations(user("alice", "owner")),
    affiliations(user("carol", "member"), user("carol", "member")),
    affiliations(user("carol", "member"), user("CAROL", "owner")),
    affiliations(),
    affiliations("<item role='participant'>bob@localhost</item>"),
    affiliations(user("bob", "admin")),
    affiliations("<user affiliation='member'><b/></user>"),
    affiliations(user(room, "member")),
    // Two who are to be owner at once.
    affiliations(user("bob", "owner"), user("carol", "owner")),
  ];
  for (const one of tries) await alice.sends(one);
  expect(await hearsOf(alice)).toEqual(tries.map(() => "iq error bad-request"));
  expect(await hearsOf(bob)).toEqual([]);
  await talk.stop();
});

test("who gives the room away is a member from then on", async () => {
  const { talk, alice, bob } = await den();
  await alice.sends(affiliations(user("bob", "owner")));
  expect(await hearsOf(bob)).toEqual(["affiliations v>v member:alice owner:bob"]);
  await alice.takes();
  await alice.sends(request("set", "destroy"));
  expect(await hearsOf(alice)).toEqual(["iq error not-allowed"]);
  await talk.stop();
});

test("an owner who leaves may say who follows", async () => {
  const { talk, alice, bob, carol } = await den();
  await alice.sends(affiliations(user("carol", "owner"), user("alice", "none")));
  expect(await hearsOf(alice)).toEqual(["affiliations none:alice", "iq result"]);
  expect(await hearsOf(bob)).toEqual(["affiliations v>v owner:carol none:alice"]);
  expect(await hearsOf(carol)).toEqual(["affiliations >v owner:carol"]);
  await talk.stop();
});

test("else a member follows: one of old before a newcomer", async () => {
  const { talk, alice, bob, carol } = await den();
  await alice.sends(affiliations(user("carol", "member"), user("alice", "none")));
  expect(await hearsOf(bob)).toEqual(["affiliations v>v owner:bob member:carol none:alice"]);
  expect(await hearsOf(carol)).toEqual(["affiliations >v member:carol"]);
  await talk.stop();
});

test("a newcomer becomes owner where nobody else is left", async () => {
  const { talk, alice, carol } = await den();
  await alice.sends(affiliations(user("carol", "member"), user("bob", "none"), user("alice", "none")));
  expect(await hearsOf(alice)).toEqual(["affiliations none:alice", "iq result"]);
  expect(await hearsOf(carol)).toEqual(["affiliations >v owner:carol"]);
  await talk.stop();
});

test("an owner who resigns when he is alone stays owner", async () => {
  const { talk, alice } = await den();
  await alice.sends(affiliations(user("alice", "member"), user("bob", "none")));
  expect(await hearsOf(alice)).toEqual(["affiliations v>v none:bob", "iq result"]);
  await alice.sends(affiliations(user("alice", "member")));
  expect(await hearsOf(alice)).toEqual(["iq error bad-request"]);
  await talk.stop();
});

test("without promotion the last owner stays, unless he is the last of all", async () => {
  const { talk, alice, bob } = await den({ promote_on_last_owner_leave: false });
  await alice.sends(affiliations(user("alice", "none")));
  expect(await hearsOf(alice)).toEqual(["iq error bad-request"]);
  await bob.sends(affiliations(user("bob", "none")));
  await alice.takes();
  await alice.sends(affiliations(user("alice", "none")));
  expect(await hearsOf(alice)).toEqual(["affiliations none:alice", "iq result"]);
  await talk.stop();
});

test("where rooms may have several owners, none replaces another", async () => {
  const { talk, alice, bob } = await den({ allow_multiple_owners: true });
  await alice.sends(affiliations(user("bob", "owner"), user("carol", "owner")));
  expect(await hearsOf(bob)).toEqual(["affiliations v>v owner:bob owner:carol"]);
  await bob.sends(affiliations(user("alice", "none")));
  await bob.sends(request("get", "affiliations"));
  expect((await hearsOf(bob)).slice(1)).toEqual(["iq result", "iq result affiliations >v owner:bob owner:carol"]);
  await talk.stop();
});

// Blocking.

const block = (items: string, to = service): string => request("set", "blocking", items, to, "b1");
const list = async (person: Person): Promise<string[]> => {
  await person.sends(request("get", "blocking", "", service));
  return hearsOf(person);
};

test("blocking lists hold rooms and users, and are changed in part", async () => {
  const { talk, bob } = await den();
  expect(await list(bob)).toEqual(["iq result blocking"]);
  await bob.sends(block(`<room action='deny'>${room}</room><user action='deny'>alice@localhost/phone</user>`));
  expect(await hearsOf(bob)).toEqual(["iq result"]);
  await bob.sends(block("<user action='deny'>alice@localhost</user><user action='deny'>carol@localhost</user>"));
  await bob.takes();
  expect(await list(bob)).toEqual([`iq result blocking room:deny:${room} deny:alice deny:carol`]);
  await bob.sends(block(`<user action='allow'>alice@localhost</user><user action='allow'>dave@localhost</user>`));
  expect(await hearsOf(bob)).toEqual(["iq result"]);
  expect(await list(bob)).toEqual([`iq result blocking room:deny:${room} deny:carol`]);
  await talk.stop();
});

test("what is no blocking list is refused, and so is one that is too long", async () => {
  const { talk, bob } = await den({ max_blocked: 2 });
  const tries = [
    block(""),
    block("<user>alice@localhost</user>"),
    block("<user action='maybe'>alice@localhost</user>"),
    block("<service action='deny'>alice@localhost</service>"),
    block("<user action='deny'>@</user>"),
    block("<user action='deny'>localhost</user>"),
  ];
  for (const one of tries) await bob.sends(one);
  expect(await hearsOf(bob)).toEqual(tries.map(() => "iq error bad-request"));
  await bob.sends(block("<user action='deny'>a@x</user><user action='deny'>b@x</user>"));
  await bob.sends(block("<user action='deny'>c@x</user>"));
  await bob.sends(block("<user action='deny'>c@x</user><user action='allow'>a@x</user>"));
  expect(await hearsOf(bob)).toEqual(["iq result", "iq error resource-constraint", "iq result"]);
  expect(await list(bob)).toEqual(["iq result blocking deny:b@x deny:c@x"]);
  await talk.stop();
});

test("whoever blocks the user or the room is left out in silence", async () => {
  const { talk, alice, bob, carol } = await den();
  const dave = await online(talk, "dave@localhost/x");
  await carol.sends(block("<user action='deny'>alice@localhost</user>"));
  await dave.sends(block(`<room action='deny'>${room}</room>`));
  for (const person of [carol, dave]) await person.takes();
  await alice.sends(affiliations(user("carol", "member"), user("dave", "member")));
  expect(await hearsOf(alice)).toEqual(["iq result"]);
  await alice.sends(affiliations(user("carol", "member"), user("eve", "member")));
  expect(await hearsOf(alice)).toEqual(["affiliations v>v member:eve", "iq result"]);
  expect(await hearsOf(bob)).toEqual(["affiliations v>v member:eve"]);
  for (const person of [carol, dave]) expect(await hearsOf(person)).toEqual([]);
  await talk.stop();
});

test("whoever blocks is left out of new rooms too, but can be put out of those he is in", async () => {
  const { talk, alice, bob } = await den();
  await bob.sends(block("<user action='deny'>alice@localhost</user>"));
  await bob.takes();
  await alice.sends(creation(user("bob", "member"), "", `second@${service}`));
  expect(await hearsOf(alice)).toEqual([`second@${service} affiliations >v owner:alice`, "iq result"]);
  await alice.sends(affiliations(user("bob", "none")));
  expect(await hearsOf(bob)).toEqual(["affiliations none:bob"]);
  await talk.stop();
});

test("a service may have no blocking lists", async () => {
  const talk = await start({ blocking: false });
  const bob = await online(talk, "bob@localhost/pc");
  await bob.sends(block(`<room action='deny'>${room}</room>`));
  expect([...(await hearsOf(bob)), ...(await list(bob))]).toEqual(["iq error bad-request", "iq error bad-request"]);
  await talk.stop();
});
