/** The service as a whole: what it says of itself, the rooms somebody is in, rosters, and what the operator does. */
import { expect, test } from "bun:test";
import { disco } from "../../../src/modules/disco.ts";
import { mam } from "../../../src/modules/mam/mam.ts";
import { roster } from "../../../src/modules/roster/roster.ts";
import { parseJid } from "../../../src/stanza/jid.ts";
import type { Person } from "../../support/conversation.ts";
import {
  configuration,
  creation,
  den,
  hears,
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

const items = "http://jabber.org/protocol/disco#items";
const info = "http://jabber.org/protocol/disco#info";
const rsm = "http://jabber.org/protocol/rsm";

test("the host names the service, which says what it is, and so does a room to its occupants", async () => {
  const { talk, alice, carol } = await den({}, { modules: [disco, mam] });
  await alice.sends(`<iq type='get' id='d' to='localhost'><query xmlns='${items}'/></iq>`);
  expect((await alice.takes())[0]!.child("query", items)!.child("item")!.attr("jid")).toBe(service);
  const about = async (person: Person, to: string) => {
    await person.sends(`<iq type='get' id='d' to='${to}'><query xmlns='${info}'/></iq>`);
    const query = (await person.takes())[0]!.child("query", info);
    if (query === undefined) return "error";
    const { attributes } = query.child("identity")!;
    const features = query.childrenNamed("feature").map((each) => each.attr("var")!);
    expect(features).toContain(light);
    expect(features).toContain("urn:xmpp:mam:2");
    expect(features).not.toContain("http://jabber.org/protocol/muc");
    return `${attributes.get("category")}/${attributes.get("type")} ${attributes.get("name")}`;
  };
  expect(await about(carol, service)).toBe("conference/text Group chats of localhost");
  expect(await about(alice, room)).toBe("conference/text Untitled");
  expect(await about(carol, room)).toBe("error");
  await talk.stop();
});

test("what nobody answers is refused, and pings are answered", async () => {
  const { talk, alice, carol } = await den();
  const ping = (to: string) => `<iq type='get' id='p' to='${to}'><ping xmlns='urn:xmpp:ping'/></iq>`;
  const version = (to: string) => `<iq type='get' id='p' to='${to}'><query xmlns='jabber:iq:version'/></iq>`;
  for (const one of [ping(service), ping(room), version(service), version(room), ping(`${room}/alice@localhost`)])
    await alice.sends(one);
  expect(await hears(alice)).toEqual([
    "iq result",
    "iq result",
    "iq error service-unavailable",
    "iq error service-unavailable",
    "iq error service-unavailable",
  ]);
  for (const one of [ping(room), version(room), request("get", "info"), request("set", "destroy")])
    await carol.sends(one);
  expect(new Set(await hears(carol))).toEqual(new Set(["iq error item-not-found"]));
  await talk.stop();
});

async function rooms(person: Person, set = ""): Promise<string> {
  await person.sends(`<iq type='get' id='l' to='${service}'><query xmlns='${items}'>${set}</query></iq>`);
  const query = (await person.takes())[0]!.child("query", items);
  if (query === undefined) return "error";
  const page = query.child("set", rsm);
  const names = query.childrenNamed("item").map((item) => `${item.attr("jid")!.split("@")[0]}=${item.attr("name")}`);
  const at = page?.child("first")?.attr("index");
  return [...names, ...(page === undefined ? [] : [`${at ?? "-"}/${page.childText("count")}`])].join(" ");
}
const page = (inside: string) => `<set xmlns='${rsm}'>${inside}</set>`;

test("everybody finds the rooms he is in, page by page", async () => {
  const talk = await start({ rooms_per_page: 2 });
  const alice = await online(talk, "alice@localhost/phone");
  const bob = await online(talk, "bob@localhost/pc");
  expect(await rooms(alice)).toBe("");
  for (const name of ["c", "a", "d", "b"]) {
    await alice.sends(
      creation(name === "a" ? user("bob", "member") : "", `<roomname>Room ${name}</roomname>`, `${name}@${service}`),
    );
  }
  for (const person of [alice, bob]) await person.takes();
  expect(await rooms(bob)).toBe("a=Room a");
  expect(await rooms(alice)).toBe("a=Room a b=Room b 0/4");
  expect(await rooms(alice, page("<max>100</max>"))).toBe("a=Room a b=Room b 0/4");
  expect(await rooms(alice, page("<max>1</max>"))).toBe("a=Room a 0/4");
  expect(await rooms(alice, page(`<after>b@${service}</after>`))).toBe("c=Room c d=Room d 2/4");
  expect(await rooms(alice, page("<before/>"))).toBe("c=Room c d=Room d 2/4");
  expect(await rooms(alice, page(`<before>b@${service}</before>`))).toBe("a=Room a 0/4");
  expect(await rooms(alice, page("<index>1</index><max>2</max>"))).toBe("b=Room b c=Room c 1/4");
  expect(await rooms(alice, page("<max>0</max>"))).toBe("-/4");
  expect(await rooms(alice, page(`<after>d@${service}</after>`))).toBe("-/4");
  for (const none of [`z@${service}`, "b@elsewhere", "@", service]) {
    expect(await rooms(alice, page(`<after>${none}</after>`))).toBe("error");
  }
  // What somebody else is in is not there for bob.
  expect(await rooms(bob, page(`<after>b@${service}</after>`))).toBe("error");
  await talk.stop();
});

test("a list gives the version of each room, and its address where rooms have no names", async () => {
  const { talk, alice } = await den({ config_schema: [{ field: "subject", string_value: "" }] });
  await alice.sends(`<iq type='get' id='l' to='${service}'><query xmlns='${items}'/></iq>`);
  await alice.receives(
    `<iq type='result' id='l' from='${service}' to='alice@localhost/phone'><query xmlns='${items}'><item jid='${room}' name='den' version='random1'/></query></iq>`,
  );
  await talk.stop();
});

test("rosters show rooms where the service is told so, whatever version the client has", async () => {
  const more = { modules: [roster], options: { mod_roster: { versioning: true } } };
  const get = "<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver='0'/></iq>";
  const { talk, alice, carol } = await den({ rooms_in_rosters: true }, more);
  for (const time of [1, 2]) {
    await alice.sends(get.replace("'r'", `'r${time}'`));
    await alice.receives(
      `<iq type='result' id='r${time}' from='alice@localhost' to='alice@localhost/phone'><query xmlns='jabber:iq:roster' ver='*'><item jid='${room}' name='Untitled' subscription='to'><group>${light}</group><version>*</version></item></query></iq>`.replace(
        "<version>*</version>",
        "<version>random1</version>",
      ),
    );
  }
  await carol.sends(get);
  expect((await carol.takes())[0]!.child("query", "jabber:iq:roster")!.elements()).toEqual([]);
  await talk.stop();
  const plain = await den({}, more);
  await plain.alice.sends(get);
  expect((await plain.alice.takes())[0]!.elements()).toEqual([]);
  await plain.talk.stop();
});

test("remembered occupants are forgotten when they change", async () => {
  const { talk, alice, bob, carol } = await den({ cache_affs: {} });
  await alice.sends(say("one"));
  talk.queries.length = 0;
  await alice.sends(say("two"));
  expect(talk.queries).toEqual([]);
  await alice.sends(request("set", "affiliations", user("carol", "member") + user("bob", "none")));
  await alice.sends(say("three"));
  expect((await hears(bob)).slice(2)).toEqual(["affiliations none:bob"]);
  expect((await hears(carol)).at(-1)).toBe("alice@localhost says three");
  await bob.sends(say("four"));
  expect(await hears(bob)).toEqual(["message error item-not-found"]);
  await talk.stop();
});

test("what happens is counted", async () => {
  const { talk, alice, bob } = await den();
  await alice.sends(configuration("<subject>tea</subject>"));
  await bob.sends(request("set", "affiliations", user("bob", "none")));
  await alice.sends(request("set", "destroy"));
  const counted = [...talk.counted].filter(([name]) => name.startsWith("mod_muc_light"));
  expect(counted).toEqual(
    ["created", "configured", "occupants", "destroyed"].map((change) => [`mod_muc_light changes_total ${change}`, 1]),
  );
  await talk.stop();
});

test("a person's data names his rooms and whom he blocks", async () => {
  const { talk, bob } = await den();
  await bob.sends(request("set", "blocking", "<user action='deny'>carol@localhost</user>", service));
  const found: Record<string, unknown[]> = {};
  for (const table of (await talk.host.registry.askAll("personalData", bob.session.account)).flat()) {
    found[table.name] = await Array.fromAsync(table.rows());
  }
  expect(found).toEqual({
    muc_light_occupants: [["den", "member"]],
    muc_light_blocking: [["user", "carol@localhost"]],
  });
  await talk.stop();
});

test("the operator makes, changes and ends rooms; occupants are told as ever", async () => {
  const { talk, alice, bob, carol } = await den({}, { modules: [mam] });
  const rooms = talk.host.registry.service("lightRooms")!;
  const [address, al, bo, ca] = [room, "alice@localhost", "bob@localhost", "carol@localhost"].map(
    (text) => parseJid(text)!,
  );
  const made = await rooms.create(al!, "Tea", [["roomname", "Tea"]]);
  expect(made).toEqual({
    jid: `tea@${service}`,
    name: "Tea",
    subject: "",
    participants: [{ jid: "alice@localhost", affiliation: "owner" }],
    options: [
      { key: "roomname", value: "Tea" },
      { key: "subject", value: "" },
    ],
  });
  expect((await rooms.create(al!, undefined, [])).jid).toMatch(/@muclight\.localhost$/);
  await alice.takes();

  await rooms.invite(address!, al!, ca!);
  await rooms.configure(address!, al!, [["subject", "tea"]]);
  await rooms.send(address!, bo!, "hello");
  expect((await hearsOf(carol)).slice(0, 3)).toEqual([
    "affiliations >v member:carol",
    "configuration v>v subject=tea",
    "bob@localhost says hello",
  ]);
  expect((await rooms.list({ limit: 2 })).nextPage).toBe(true);
  expect(await rooms.list({ filter: "TE", limit: 10 })).toEqual({
    rooms: [{ jid: `tea@${service}`, name: "Tea", subject: "", usersNumber: 1 }],
    count: 1,
    nextPage: false,
  });
  expect(await rooms.list({ filter: "_", limit: 10 })).toEqual({ rooms: [], count: 0, nextPage: false });
  expect(await rooms.roomsOf(bo!)).toEqual([room]);
  await rooms.setBlocking(bo!, [{ kind: "user", jid: "alice@localhost" }], []);
  expect(await rooms.blocking(bo!)).toEqual([{ kind: "user", jid: "alice@localhost" }]);

  await rooms.kick(address!, bo!);
  await talk.settle();
  expect((await hears(bob)).at(-1)).toBe("affiliations none:bob");
  await rooms.remove(address!);
  expect((await hears(carol)).at(-1)).toBe("affiliations none:carol destroyed");

  const failure = (done: Promise<unknown>) =>
    done.then(
      () => "done",
      (error) => error.condition,
    );
  expect(await failure(rooms.create(al!, "tea", []))).toBe("conflict");
  expect(await failure(rooms.create(al!, "a b", []))).toBe("jid-malformed");
  expect(await failure(rooms.create(al!, "new", [["colour", "blue"]]))).toBe("bad-request");
  expect(await failure(rooms.room(address!))).toBe("item-not-found");
  expect(await failure(rooms.remove(address!))).toBe("item-not-found");
  const tea = parseJid(`tea@${service}`)!;
  expect(await failure(rooms.kick(tea, bo!))).toBe("item-not-found");
  expect(await failure(rooms.send(tea, bo!, "hi"))).toBe("item-not-found");
  expect(await failure(rooms.invite(tea, bo!, ca!))).toBe("item-not-found");
  expect(await failure(rooms.configure(tea, bo!, [["subject", "x"]]))).toBe("item-not-found");
  await talk.stop();
});

test("a schema that is none is said at the start", async () => {
  const failed = (config_schema: unknown[]) =>
    start({ config_schema }).then(
      () => "started",
      (error: Error) => error.message,
    );
  const two = { field: "a", string_value: "", boolean_value: true };
  expect(await failed([two])).toContain("exactly one of string_value");
  expect(await failed([{ field: "a" }])).toContain("exactly one of string_value");
  const a = { field: "a", string_value: "" };
  expect(await failed([a, a])).toContain("a twice");
  expect(await failed([a, { ...a, field: "b", internal_key: "a" }])).toContain("internal_key a twice");
  expect(await failed([{ field: "all_can_invite", string_value: "yes" }])).toContain("boolean_value");
});

test("messages of a change leave in the order of the changes, also where many come at once", async () => {
  const { talk, alice, bob } = await den();
  await Promise.all(["one", "two", "three"].map((text) => alice.sends(configuration(`<subject>${text}</subject>`))));
  const versions = (await bob.takes()).map((each) => each.child("x", `${light}#configuration`)!);
  for (let at = 1; at < versions.length; at++) {
    expect(versions[at]!.childText("prev-version")).toBe(versions[at - 1]!.childText("version"));
  }
  expect(versions.length).toBe(3);
  await talk.stop();
});
