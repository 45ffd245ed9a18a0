/** XEP-0163: every account is a publish-subscribe service, and whoever sees its presence gets the events he wants. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { parseJid } from "../../../src/stanza/jid.ts";
import { ns } from "../../../src/stanza/ns.ts";
import type { Conversation, Person } from "../../support/conversation.ts";
import {
  asks,
  befriend,
  configure,
  errorOf,
  events,
  field,
  idsOf,
  item,
  ok,
  onlineWanting,
  owns,
  present,
  publish,
  sent,
  start,
  told,
} from "./pubsub-talk.ts";

let talk: Conversation;
let alice: Person;
const tune = "http://jabber.org/protocol/tune";

beforeEach(async () => {
  talk = await start();
  await befriend(talk, "alice", "bob");
  alice = await onlineWanting(talk, "alice@localhost/phone", tune);
});
afterEach(() => talk.stop());

describe("publishing", () => {
  test("makes the node, answers with the id, and tells the account's own resources and contacts that want it", async () => {
    const bob = await onlineWanting(talk, "bob@localhost/pc", tune);
    const deaf = await onlineWanting(talk, "bob@localhost/other", "urn:example:other");
    const stranger = await onlineWanting(talk, "carol@localhost/pc", tune);
    await events(alice);
    const answer = ok(await asks(alice, "set", publish(tune, item("a"))));
    expect(answer.child("pubsub", ns.pubsub)!.child("publish")!.toXml(ns.pubsub)).toBe(
      `<publish node='${tune}'><item id='a'/></publish>`,
    );
    const [event] = await events(bob);
    expect(event!.attr("from")).toBe("alice@localhost");
    expect(event!.attr("to")).toBe("bob@localhost/pc");
    expect(event!.attr("type")).toBe("headline");
    expect(event!.child("event", ns.pubsubEvent)!.child("items")!.child("item")!.firstElement()!.toXml()).toBe(
      "<note xmlns='urn:example:note'>a</note>",
    );
    expect(await told(alice)).toEqual([`${tune} item a`]);
    expect(await told(deaf)).toEqual([]);
    expect(await told(stranger)).toEqual([]);
  });

  test("an item without id gets one", async () => {
    const answer = ok(await asks(alice, "set", publish(tune, "<item><note xmlns='urn:example:note'/></item>")));
    const id = answer.child("pubsub", ns.pubsub)!.child("publish")!.child("item")!.attr("id")!;
    expect(idsOf(await asks(alice, "get", `<items node='${tune}'/>`))).toEqual([id]);
  });

  test("a node of an account has one item unless configured otherwise", async () => {
    await asks(alice, "set", publish(tune, item("a")));
    await asks(alice, "set", publish(tune, item("b")));
    expect(idsOf(await asks(alice, "get", `<items node='${tune}'/>`))).toEqual(["b"]);
  });

  test("of nobody else's account a node is made or published on", async () => {
    const bob = await onlineWanting(talk, "bob@localhost/pc");
    expect(errorOf(await asks(bob, "set", publish(tune, item("a")), "alice@localhost"))).toBe("item-not-found");
    await asks(alice, "set", publish(tune, item("a")));
    expect(errorOf(await asks(bob, "set", publish(tune, item("b")), "alice@localhost"))).toBe("forbidden");
    expect(errorOf(await asks(bob, "set", "<create node='x'/>", "alice@localhost"))).toBe("forbidden");
  });

  test("a payload in no namespace stays in none", async () => {
    await asks(alice, "set", publish(tune, "<item id='a'><song xmlns=''><title/></song></item>"));
    const answer = ok(await asks(alice, "get", `<items node='${tune}'/>`));
    const song = answer.child("pubsub", ns.pubsub)!.child("items")!.child("item")!.firstElement()!;
    expect([song.name, song.ns, song.firstElement()!.ns]).toEqual(["song", "", ""]);
  });
});

describe("publish options", () => {
  test("configure a node that is made, and have to hold for one that is there", async () => {
    const options = [field("access_model", "whitelist"), field("max_items", "max"), field("persist_items", "true")];
    ok(await asks(alice, "set", publish("private", item("a"), ...options)));
    ok(await asks(alice, "set", publish("private", item("b"), ...options)));
    expect(idsOf(await asks(alice, "get", "<items node='private'/>"))).toEqual(["b", "a"]);
    expect(errorOf(await asks(alice, "set", publish("private", item("c"), field("access_model", "open"))))).toBe(
      "conflict precondition-not-met",
    );
    expect(errorOf(await asks(alice, "set", publish("private", item("c"), field("unknown", "1"))))).toBe(
      "conflict precondition-not-met",
    );
    expect(errorOf(await asks(alice, "set", publish("new", item("c"), field("unknown", "1"))))).toBe(
      "conflict precondition-not-met",
    );
  });

  test("without their form nothing is published, least of all where everybody reads it", async () => {
    const bare = `${publish("n", item("a"))}<publish-options/>`;
    expect(errorOf(await asks(alice, "set", bare))).toBe("bad-request");
    expect(errorOf(await asks(alice, "get", "<items node='n'/>"))).toBe("item-not-found");
  });

  test("with values that cannot be make no node", async () => {
    expect(errorOf(await asks(alice, "set", publish("n", item("a"), field("access_model", "secret"))))).toBe(
      "not-acceptable unsupported-access-model",
    );
    expect(errorOf(await asks(alice, "set", publish("n", item("a"), field("max_items", "1000000"))))).toBe(
      "not-acceptable",
    );
    expect(errorOf(await asks(alice, "get", "<items node='n'/>"))).toBe("item-not-found");
  });
});

describe("access", () => {
  let bob: Person;
  let carol: Person;
  beforeEach(async () => {
    bob = await onlineWanting(talk, "bob@localhost/pc", "n");
    carol = await onlineWanting(talk, "carol@localhost/pc", "n");
    await present(alice, "n");
  });
  const make = (...fields: readonly string[]) => asks(alice, "set", publish("n", item("a"), ...fields));
  const reads = (person: Person) => asks(person, "get", "<items node='n'/>", "alice@localhost");

  test("presence: contacts that see the account's presence", async () => {
    ok(await make());
    expect(idsOf(await reads(bob))).toEqual(["a"]);
    expect(errorOf(await reads(carol))).toBe("not-authorized presence-subscription-required");
    expect(errorOf(await asks(carol, "set", "<subscribe node='n' jid='carol@localhost'/>", "alice@localhost"))).toBe(
      "not-authorized presence-subscription-required",
    );
  });

  test("open: everybody reads, contacts are told", async () => {
    ok(await make(field("access_model", "open")));
    expect(idsOf(await reads(carol))).toEqual(["a"]);
    expect(await told(bob)).toEqual(["n item a"]);
    expect(await told(carol)).toEqual([]);
  });

  test("open: whoever subscribes is told, and gets the last item at once", async () => {
    ok(await make(field("access_model", "open")));
    const answer = ok(await asks(carol, "set", "<subscribe node='n' jid='carol@localhost'/>", "alice@localhost"));
    const subscription = answer.child("pubsub", ns.pubsub)!.child("subscription")!;
    expect(subscription.attr("subscription")).toBe("subscribed");
    expect(subscription.attr("node")).toBe("n");
    expect(await told(carol)).toEqual(["n item a"]);
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(carol)).toEqual(["n item b"]);
    ok(await asks(carol, "set", "<unsubscribe node='n' jid='carol@localhost'/>", "alice@localhost"));
    ok(await asks(alice, "set", publish("n", item("c"))));
    expect(await told(carol)).toEqual([]);
  });

  test("presence: a subscription ends with what allowed it (section 6.3)", async () => {
    await befriend(talk, "alice", "carol");
    ok(await make());
    ok(await asks(carol, "set", "<subscribe node='n' jid='carol@localhost'/>", "alice@localhost"));
    await told(carol);
    const service = talk.host.registry.service("roster")!;
    const parties = ["alice", "carol"].map((name) => ({ account: parseJid(`${name}@localhost`)!, groups: [] }));
    await service.setMutual(parties[0]!, parties[1]!, "disconnect");
    await talk.settle();
    await carol.takes();
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(carol)).toEqual(["n subscription"]);
    await befriend(talk, "alice", "carol");
    const listed = ok(await asks(carol, "get", "<subscriptions/>", "alice@localhost"));
    expect(listed.child("pubsub", ns.pubsub)!.child("subscriptions")!.elements()).toEqual([]);
  });

  test("whitelist: nobody but the owner and members, and it is not shown to others", async () => {
    ok(await make(field("access_model", "whitelist")));
    expect(errorOf(await reads(bob))).toBe("not-allowed closed-node");
    expect(await told(bob)).toEqual([]);
    expect(await told(alice)).toEqual(["n item a"]);
    const items = ok(await sent(bob, "get", `<query xmlns='${ns.discoItems}'/>`, "alice@localhost"));
    expect(
      items
        .child("query", ns.discoItems)!
        .elements()
        .map((one) => one.attr("node")),
    ).not.toContain("n");
    expect(errorOf(await sent(bob, "get", `<query xmlns='${ns.discoInfo}' node='n'/>`, "alice@localhost"))).toBe(
      "item-not-found",
    );
    ok(
      await owns(
        alice,
        "set",
        "<affiliations node='n'><affiliation jid='bob@localhost' affiliation='member'/></affiliations>",
      ),
    );
    expect(idsOf(await reads(bob))).toEqual(["a"]);
    await told(bob);
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(bob)).toEqual(["n item b"]);
  });

  test("roster: contacts in a group", async () => {
    ok(await make(field("access_model", "roster"), field("roster_groups_allowed", "Friends")));
    expect(errorOf(await reads(bob))).toBe("not-authorized not-in-roster-group");
    expect(await told(bob)).toEqual([]);
    await sent(
      alice,
      "set",
      `<query xmlns='${ns.roster}'><item jid='bob@localhost'><group>Friends</group></item></query>`,
    );
    expect(idsOf(await reads(bob))).toEqual(["a"]);
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(bob)).toEqual(["n item b"]);
  });

  test("authorize: the owner is asked, and answers by a form", async () => {
    ok(await make(field("access_model", "authorize")));
    expect(errorOf(await reads(bob))).toBe("not-authorized not-subscribed");
    expect(await told(bob)).toEqual([]);
    await events(alice);
    const answer = ok(await asks(bob, "set", "<subscribe node='n' jid='bob@localhost'/>", "alice@localhost"));
    expect(answer.child("pubsub", ns.pubsub)!.child("subscription")!.attr("subscription")).toBe("pending");
    expect(errorOf(await asks(bob, "set", "<subscribe node='n' jid='bob@localhost'/>", "alice@localhost"))).toBe(
      "not-authorized pending-subscription",
    );
    const [asking] = await events(alice);
    const values = asking!
      .child("x", ns.dataForms)!
      .childrenNamed("field")
      .map((one) => [one.attr("var"), one.childText("value")]);
    expect(Object.fromEntries(values)).toMatchObject({
      FORM_TYPE: `${ns.pubsub}#subscribe_authorization`,
      "pubsub#node": "n",
      "pubsub#subscriber_jid": "bob@localhost",
    });
    const approval = (type: string, allow: string) =>
      `<message to='alice@localhost' id='${asking!.attr("id")}'><x xmlns='${ns.dataForms}' type='${type}'>` +
      `<field var='FORM_TYPE'><value>${ns.pubsub}#subscribe_authorization</value></field>${field("node", "n")}` +
      `${field("subscriber_jid", "bob@localhost")}${field("allow", allow)}</x></message>`;
    // Cancelled, or said by somebody else: nothing changes.
    await alice.sends(approval("cancel", "1"));
    await bob.sends(approval("submit", "1"));
    expect(errorOf(await reads(bob))).toBe("not-authorized not-subscribed");
    await events(bob);
    await alice.sends(approval("submit", "1"));
    expect(await told(bob)).toEqual(["n subscription", "n item a"]);
    expect(idsOf(await reads(bob))).toEqual(["a"]);
  });

  test("an outcast gets nothing, though he sees the account's presence", async () => {
    ok(await make());
    await told(bob);
    ok(
      await owns(
        alice,
        "set",
        "<affiliations node='n'><affiliation jid='bob@localhost' affiliation='outcast'/></affiliations>",
      ),
    );
    expect(errorOf(await reads(bob))).toBe("forbidden");
    await events(bob);
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(bob)).toEqual([]);
  });

  test("whoever is blocked gets nothing", async () => {
    ok(await make());
    await told(bob);
    await sent(alice, "set", `<block xmlns='${ns.blocking}'><item jid='bob@localhost'/></block>`);
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(bob)).toEqual([]);
    expect(errorOf(await reads(bob))).not.toBe("");
  });

  test("whoever blocks the account gets nothing", async () => {
    ok(await make());
    await told(bob);
    await sent(bob, "set", `<block xmlns='${ns.blocking}'><item jid='alice@localhost'/></block>`);
    ok(await asks(alice, "set", publish("n", item("b"))));
    expect(await told(bob)).toEqual([]);
  });
});

describe("the last item", () => {
  test("comes when somebody appears, of his own nodes and his contacts', late by its stamp", async () => {
    await asks(alice, "set", publish(tune, item("a")));
    await alice.leaves();
    const bob = await talk.login("bob@localhost/pc");
    const got = (await present(bob, tune)).filter((stanza) => stanza.name === "message");
    expect(got.length).toBe(1);
    expect(got[0]!.attr("from")).toBe("alice@localhost");
    expect(got[0]!.child("delay", ns.delay)).toBeDefined();
    const again = await talk.login("alice@localhost/pc");
    expect((await present(again, tune)).filter((stanza) => stanza.name === "message").length).toBe(1);
    const carol = await talk.login("carol@localhost/pc");
    expect((await present(carol, tune)).filter((stanza) => stanza.name === "message")).toEqual([]);
  });

  test("comes once, and again only for what a client wants newly", async () => {
    await asks(alice, "set", publish(tune, item("a")));
    await asks(alice, "set", publish("n", item("b")));
    const bob = await onlineWanting(talk, "bob@localhost/pc", tune);
    const now = await present(bob, tune, "n");
    expect(
      now
        .filter((stanza) => stanza.name === "message")
        .map((one) => one.child("event", ns.pubsubEvent)!.firstElement()!.attr("node")),
    ).toEqual(["n"]);
  });

  test("comes to a contact that has just been allowed to see the presence", async () => {
    await asks(alice, "set", publish(tune, item("a")));
    const carol = await onlineWanting(talk, "carol@localhost/pc", tune);
    await carol.sends("<presence type='subscribe' to='alice@localhost'/>");
    await alice.sends("<presence type='subscribed' to='carol@localhost'/>");
    expect(await told(carol)).toEqual([`${tune} item a`]);
  });

  test("is not sent where the node says so", async () => {
    ok(await asks(alice, "set", publish(tune, item("a"), field("send_last_published_item", "never"))));
    const bob = await talk.login("bob@localhost/pc");
    expect((await present(bob, tune)).filter((stanza) => stanza.name === "message")).toEqual([]);
  });

  test("is not sent between those who block each other", async () => {
    await asks(alice, "set", publish(tune, item("a")));
    await sent(alice, "set", `<block xmlns='${ns.blocking}'><item jid='bob@localhost'/></block>`);
    const bob = await talk.login("bob@localhost/pc");
    expect((await present(bob, tune)).filter((stanza) => stanza.name === "message")).toEqual([]);
  });
});

test("ignore_pep_from_offline keeps back the items of those who are not there", async () => {
  await alice.leaves();
  await talk.stop();
  talk = await start({ options: { mod_pubsub: { ignore_pep_from_offline: true } } });
  await befriend(talk, "alice", "bob");
  alice = await onlineWanting(talk, "alice@localhost/phone", tune);
  await asks(alice, "set", publish(tune, item("a")));
  await alice.leaves();
  const bob = await talk.login("bob@localhost/pc");
  expect((await present(bob, tune)).filter((stanza) => stanza.name === "message")).toEqual([]);
});

test("an event for a resource on another node is filtered there", async () => {
  const bob = await onlineWanting(talk, "bob@localhost/pc", tune);
  const event = (node: string) =>
    `<message type='headline' from='alice@localhost' to='bob@localhost/pc'><event xmlns='${ns.pubsubEvent}'>` +
    `<items node='${node}'><item id='a'/></items></event><wanted xmlns='urn:x-meerkat:events' node='${node}'/></message>`;
  await events(bob);
  await talk.arrives(event("urn:example:other"));
  await talk.arrives(event(tune));
  const got = await events(bob);
  expect(got.length).toBe(1);
  expect(got[0]!.elements().map((one) => one.name)).toEqual(["event"]);
});

test("retract, purge and delete are told", async () => {
  const bob = await onlineWanting(talk, "bob@localhost/pc", "n");
  await asks(alice, "set", `<create node='n'/>${configure(field("max_items", "10"))}`);
  for (const id of ["a", "b", "c"]) await asks(alice, "set", publish("n", item(id)));
  await told(bob);
  ok(await asks(alice, "set", "<retract node='n' notify='true'><item id='b'/></retract>"));
  expect(await told(bob)).toEqual(["n retract b"]);
  expect(errorOf(await asks(alice, "set", "<retract node='n'><item id='b'/></retract>"))).toBe("item-not-found");
  expect(errorOf(await owns(bob, "set", "<purge node='n'/>", "alice@localhost"))).toBe("forbidden");
  ok(await owns(alice, "set", "<purge node='n'/>"));
  expect(await told(bob)).toEqual(["n purge"]);
  expect(idsOf(await asks(alice, "get", "<items node='n'/>"))).toEqual([]);
  expect(errorOf(await owns(bob, "set", "<delete node='n'/>", "alice@localhost"))).toBe("forbidden");
  ok(await owns(alice, "set", "<delete node='n'/>"));
  expect(await told(bob)).toEqual(["n delete"]);
  expect(errorOf(await asks(alice, "get", "<items node='n'/>"))).toBe("item-not-found");
});

test("the account says that it is a pubsub service, and which nodes there are", async () => {
  await asks(alice, "set", publish(tune, item("a")));
  const bob = await onlineWanting(talk, "bob@localhost/pc");
  const info = ok(await sent(bob, "get", `<query xmlns='${ns.discoInfo}'/>`, "alice@localhost")).child(
    "query",
    ns.discoInfo,
  )!;
  expect(info.childrenNamed("identity").map((one) => `${one.attr("category")}/${one.attr("type")}`)).toEqual([
    "account/registered",
    "pubsub/pep",
  ]);
  const features = info.childrenNamed("feature").map((one) => one.attr("var"));
  for (const feature of [
    "publish",
    "auto-create",
    "auto-subscribe",
    "filtered-notifications",
    "access-presence",
    "publish-options",
  ]) {
    expect(features).toContain(`${ns.pubsub}#${feature}`);
  }
  const items = ok(await sent(bob, "get", `<query xmlns='${ns.discoItems}'/>`, "alice@localhost")).child(
    "query",
    ns.discoItems,
  )!;
  expect(items.elements().map((one) => `${one.attr("jid")} ${one.attr("node")}`)).toContain(`alice@localhost ${tune}`);
  const node = ok(await sent(bob, "get", `<query xmlns='${ns.discoInfo}' node='${tune}'/>`, "alice@localhost")).child(
    "query",
    ns.discoInfo,
  )!;
  expect(node.child("identity")!.attr("type")).toBe("leaf");
  const inside = ok(
    await sent(bob, "get", `<query xmlns='${ns.discoItems}' node='${tune}'/>`, "alice@localhost"),
  ).child("query", ns.discoItems)!;
  expect(inside.elements().map((one) => one.attr("name"))).toEqual(["a"]);
});

test("a node with purge_offline loses its items with the account's last resource", async () => {
  const bob = await onlineWanting(talk, "bob@localhost/pc", "n");
  ok(await asks(alice, "set", publish("n", item("a"), field("purge_offline", "1"))));
  await told(bob);
  await alice.leaves();
  expect(await told(bob)).toEqual(["n purge"]);
  expect(idsOf(await asks(bob, "get", "<items node='n'/>", "alice@localhost"))).toEqual([]);
});

test("a removed account leaves nothing", async () => {
  const bob = await onlineWanting(talk, "bob@localhost/pc");
  ok(await asks(alice, "set", publish(tune, item("a"))));
  ok(
    await asks(
      bob,
      "set",
      publish("b", item("x"), field("publish_model", "open"), field("access_model", "open"), field("max_items", "5")),
    ),
  );
  ok(await asks(alice, "set", "<subscribe node='b' jid='alice@localhost'/>", "bob@localhost"));
  ok(await asks(alice, "set", publish("b", item("y")), "bob@localhost"));
  ok(await asks(alice, "set", "<create node='mine'/>", "pubsub.localhost"));
  await alice.leaves();
  for (const removed of talk.host.registry.accounts.removed) await removed(parseJid("alice@localhost")!);
  for (const table of ["pubsub_node", "pubsub_item", "pubsub_affiliation", "pubsub_subscription"]) {
    const rows = await talk.store.db.selectFrom(table).selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain("alice");
  }
  expect(idsOf(await asks(bob, "get", "<items node='b'/>"))).toEqual(["x"]);
});
