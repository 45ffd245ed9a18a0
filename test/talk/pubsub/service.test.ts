/** XEP-0060 on a domain of its own: each rule that section's text makes a MUST, as a conversation. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ns } from "../../../src/stanza/ns.ts";
import type { Element } from "../../../src/xml/element.ts";
import type { Conversation, Person } from "../../support/conversation.ts";
import {
  asks,
  configure,
  errorOf,
  events,
  field,
  form,
  idsOf,
  item,
  ok,
  owns,
  publish,
  sent,
  service,
  start,
  told,
} from "./pubsub-talk.ts";

let talk: Conversation;
let alice: Person;
let bob: Person;
let carol: Person;

async function begin(options: Record<string, unknown> = {}, access: Record<string, string> = {}) {
  talk = await start({ options: { mod_pubsub: options }, access });
  alice = await talk.online("alice@localhost/a");
  bob = await talk.online("bob@localhost/b");
  carol = await talk.online("carol@localhost/c");
  for (const person of [alice, bob, carol]) await person.takes();
}

beforeEach(() => begin());
afterEach(() => talk.stop());

const get = (person: Person, inside: string) => asks(person, "get", inside, service);
const set = (person: Person, inside: string) => asks(person, "set", inside, service);
const ownGet = (person: Person, inside: string) => owns(person, "get", inside, service);
const ownSet = (person: Person, inside: string) => owns(person, "set", inside, service);
const create = (...fields: readonly string[]) => set(alice, `<create node='n'/>${configure(...fields)}`);
const subscribe = (person: Person, jid = person.session.account.full, rest = "") =>
  set(person, `<subscribe node='n' jid='${jid}'/>${rest}`);
const affiliate = (who: string, affiliation: string) =>
  ownSet(
    alice,
    `<affiliations node='n'><affiliation jid='${who}@localhost' affiliation='${affiliation}'/></affiliations>`,
  );
const inside = (answer: Element, name: string) => ok(answer).child("pubsub", ns.pubsub)!.child(name)!;

describe("discovery", () => {
  test("the service says what it is, lists its nodes, and what a node is", async () => {
    const info = ok(await sent(alice, "get", `<query xmlns='${ns.discoInfo}'/>`, service)).child(
      "query",
      ns.discoInfo,
    )!;
    expect(info.child("identity")!.attr("category")).toBe("pubsub");
    expect(info.child("identity")!.attr("type")).toBe("service");
    expect(info.childrenNamed("feature").map((one) => one.attr("var"))).toContain(ns.pubsub);
    ok(await create(field("title", "Princely Musings"), field("type", "urn:example:note")));
    ok(await set(alice, publish("n", item("a"))));
    const nodes = ok(await sent(bob, "get", `<query xmlns='${ns.discoItems}'/>`, service)).child(
      "query",
      ns.discoItems,
    )!;
    expect(nodes.toXml(ns.discoItems)).toBe(`<query><item jid='${service}' node='n' name='Princely Musings'/></query>`);
    const node = ok(await sent(bob, "get", `<query xmlns='${ns.discoInfo}' node='n'/>`, service)).child(
      "query",
      ns.discoInfo,
    )!;
    expect(node.child("identity")!.attr("type")).toBe("leaf");
    const meta = node
      .child("x", ns.dataForms)!
      .childrenNamed("field")
      .map((one) => [one.attr("var"), one.childText("value")]);
    expect(Object.fromEntries(meta)).toMatchObject({
      FORM_TYPE: `${ns.pubsub}#meta-data`,
      "pubsub#title": "Princely Musings",
      "pubsub#type": "urn:example:note",
      "pubsub#creator": "alice@localhost",
      "pubsub#owner": "alice@localhost",
    });
    const items = ok(await sent(bob, "get", `<query xmlns='${ns.discoItems}' node='n'/>`, service)).child(
      "query",
      ns.discoItems,
    )!;
    expect(items.toXml(ns.discoItems)).toBe(`<query node='n'><item jid='${service}' name='a'/></query>`);
    expect(errorOf(await sent(bob, "get", `<query xmlns='${ns.discoInfo}' node='m'/>`, service))).toBe(
      "item-not-found",
    );
  });

  test("the host lists the service", async () => {
    const items = ok(await sent(alice, "get", `<query xmlns='${ns.discoItems}'/>`, "localhost")).child(
      "query",
      ns.discoItems,
    )!;
    expect(items.elements().map((one) => one.attr("jid"))).toContain(service);
  });

  test("many nodes come page by page", async () => {
    for (const name of ["a", "b", "c"]) ok(await set(alice, `<create node='${name}'/>`));
    const page = (rsm: string) =>
      sent(bob, "get", `<query xmlns='${ns.discoItems}'><set xmlns='${ns.rsm}'>${rsm}</set></query>`, service);
    const nodes = (answer: Element) =>
      ok(answer)
        .child("query", ns.discoItems)!
        .childrenNamed("item")
        .map((one) => one.attr("node"));
    expect(nodes(await page("<max>2</max>"))).toEqual(["a", "b"]);
    expect(nodes(await page("<max>2</max><after>b</after>"))).toEqual(["c"]);
  });
});

describe("making nodes", () => {
  test("a name that is taken is a conflict; without a name one is given", async () => {
    ok(await set(alice, "<create node='n'/>"));
    expect(errorOf(await set(bob, "<create node='n'/>"))).toBe("conflict");
    const name = inside(await set(alice, "<create/>"), "create").attr("node")!;
    expect(idsOf(await get(alice, `<items node='${name}'/>`))).toEqual([]);
  });

  test("names, types and forms that cannot be are refused", async () => {
    expect(errorOf(await set(alice, `<create node='${"x".repeat(251)}'/>`))).toBe("not-acceptable");
    expect(errorOf(await set(alice, "<create node='n' type='collection'/>"))).toBe(
      "feature-not-implemented unsupported",
    );
    expect(errorOf(await create(field("access_model", "secret")))).toBe("not-acceptable unsupported-access-model");
    expect(errorOf(await create(field("persist_items", "maybe")))).toBe("not-acceptable");
    expect(errorOf(await create(field("max_items", "-1")))).toBe("not-acceptable");
    expect(errorOf(await set(alice, `<create node='n'/><configure>${form("publish-options")}</configure>`))).toBe(
      "bad-request",
    );
    for (const wrong of [
      `<configure>${form("node_config")}</configure><create node='n'/>`,
      `<create node='n'/><configure node='n'>${form("node_config")}</configure>`,
      `<options>${form("subscribe_options")}</options><subscribe node='n' jid='alice@localhost'/>`,
      `<subscribe node='n' jid='alice@localhost'/><options node='n'>${form("subscribe_options")}</options>`,
    ]) {
      if (wrong.includes("subscribe ")) await create();
      expect(errorOf(await set(alice, wrong))).toBe("bad-request");
      await ownSet(alice, "<delete node='n'/>");
    }
    expect(errorOf(await set(alice, "<nonsense/>"))).toBe("bad-request");
    expect(errorOf(await get(alice, "<items node='n'/>"))).toBe("item-not-found");
  });

  test("an access rule says who may; a limit says how many", async () => {
    await talk.stop();
    await begin({ access_createnode: "creators", max_nodes_user: 1 }, { creators: "deny" });
    expect(errorOf(await set(alice, "<create node='n'/>"))).toBe("forbidden");
    expect(errorOf(await set(alice, publish("n", item("a"))))).toBe("forbidden");
    await talk.stop();
    await begin({ max_nodes_user: 1 });
    ok(await set(alice, "<create node='n'/>"));
    expect(errorOf(await set(alice, "<create node='m'/>"))).toBe("conflict max-nodes-exceeded");
    ok(await set(bob, "<create node='m'/>"));
  });
});

describe("publishing", () => {
  test("subscribers are told; whoever may not publish is refused", async () => {
    ok(await create());
    ok(await subscribe(bob));
    expect(errorOf(await set(carol, publish("n", item("a"))))).toBe("forbidden");
    ok(await set(alice, publish("n", item("a"))));
    const [event] = await events(bob);
    expect(event!.attr("from")).toBe(service);
    expect(event!.attr("to")).toBe("bob@localhost");
    expect(event!.child("event", ns.pubsubEvent)!.toXml()).toBe(
      `<event xmlns='${ns.pubsubEvent}'><items node='n'><item id='a'><note xmlns='urn:example:note'>a</note></item></items></event>`,
    );
  });

  test("an item of the same id is replaced and becomes the newest; the oldest goes when there are too many", async () => {
    ok(await create(field("max_items", "2")));
    for (const id of ["a", "b", "a"]) ok(await set(alice, publish("n", item(id))));
    expect(idsOf(await get(bob, "<items node='n'/>"))).toEqual(["a", "b"]);
    ok(await set(alice, publish("n", item("c"))));
    expect(idsOf(await get(bob, "<items node='n'/>"))).toEqual(["c", "a"]);
  });

  test("a full node may retract the oldest aloud, or refuse the newest", async () => {
    ok(await create(field("max_items", "1"), field("publish_node_full", "retract-oldest")));
    ok(await subscribe(bob));
    ok(await set(alice, publish("n", item("a"))));
    ok(await set(alice, publish("n", item("b"))));
    expect(await told(bob)).toEqual(["n item a", "n retract a", "n item b"]);
    ok(
      await ownSet(
        alice,
        `<configure node='n'>${form("node_config", field("publish_node_full", "reject"))}</configure>`,
      ),
    );
    expect(errorOf(await set(alice, publish("n", item("c"))))).toBe("conflict node-full");
    ok(await set(alice, publish("n", item("b", "new"))));
  });

  test("what does not fit the node is refused", async () => {
    ok(await create(field("type", "urn:example:note"), field("max_payload_size", "100"), field("max_items", "2")));
    expect(errorOf(await set(alice, "<publish node='n'/>"))).toBe("bad-request item-required");
    expect(errorOf(await set(alice, publish("n", "<item id='a'/>")))).toBe("bad-request payload-required");
    expect(errorOf(await set(alice, publish("n", "<item id='a'><x xmlns='urn:x'/></item>")))).toBe(
      "bad-request invalid-payload",
    );
    const two = "<note xmlns='urn:example:note'/><note xmlns='urn:example:note'/>";
    expect(errorOf(await set(alice, publish("n", `<item id='a'>${two}</item>`)))).toBe("bad-request invalid-payload");
    expect(errorOf(await set(alice, publish("n", item("a", "x".repeat(101)))))).toBe("not-acceptable payload-too-big");
    expect(errorOf(await set(alice, publish("n", item("a") + item("b") + item("c"))))).toBe(
      "not-allowed max-items-exceeded",
    );
    expect(errorOf(await set(alice, publish("n", item("a") + item("a"))))).toBe("bad-request");
    expect(errorOf(await set(alice, publish("n", item("x".repeat(251)))))).toBe("not-acceptable");
    expect(errorOf(await set(alice, `<publish>${item("a")}</publish>`))).toBe("bad-request nodeid-required");
    expect(
      errorOf(
        await set(
          bob,
          `<create node='t'/>${configure(field("persist_items", "0"), field("deliver_payloads", "0"))}`,
        ).then(() => set(bob, publish("t", item("a")))),
      ),
    ).toBe("bad-request item-forbidden");
  });

  test("a node without payloads tells of the item alone; one without memory keeps nothing", async () => {
    ok(await create(field("deliver_payloads", "0")));
    ok(await subscribe(bob));
    ok(await set(alice, publish("n", item("a"))));
    const [event] = await events(bob);
    expect(event!.child("event", ns.pubsubEvent)!.firstElement()!.firstElement()!.elements()).toEqual([]);
    ok(
      await ownSet(
        alice,
        `<configure node='n'>${form("node_config", field("persist_items", "0"), field("deliver_payloads", "1"))}</configure>`,
      ),
    );
    ok(await set(alice, publish("n", item("b"))));
    expect(await told(bob)).toEqual(["n item b"]);
    expect(errorOf(await get(alice, "<items node='n'/>"))).toBe("feature-not-implemented unsupported");
    expect(errorOf(await set(alice, "<retract node='n'><item id='b'/></retract>"))).toBe(
      "feature-not-implemented unsupported",
    );
  });

  test("items expire", async () => {
    ok(await create(field("item_expire", "60"), field("max_items", "5")));
    ok(await set(alice, publish("n", item("a"))));
    await talk.clock.advance(30_000);
    ok(await set(alice, publish("n", item("b"))));
    await talk.clock.advance(40_000);
    expect(idsOf(await get(alice, "<items node='n'/>"))).toEqual(["b"]);
  });

  test("item_publisher says who it was, whatever the client claims", async () => {
    await talk.stop();
    await begin({ item_publisher: true });
    ok(await create(field("publish_model", "open")));
    ok(
      await set(bob, publish("n", "<item id='a' publisher='alice@localhost'><note xmlns='urn:example:note'/></item>")),
    );
    expect(
      inside(await get(alice, "<items node='n'/>"), "items")
        .child("item")!
        .attr("publisher"),
    ).toBe("bob@localhost");
  });

  test("publishers take back what is theirs, owners everything", async () => {
    ok(await create(field("publish_model", "open"), field("max_items", "5")));
    ok(await set(bob, publish("n", item("b"))));
    ok(await set(carol, publish("n", item("c"))));
    expect(errorOf(await set(bob, "<retract node='n'><item id='c'/></retract>"))).toBe("forbidden");
    expect(errorOf(await set(bob, "<retract node='n'/>"))).toBe("bad-request item-required");
    expect(errorOf(await set(bob, "<retract node='n'><item/></retract>"))).toBe("bad-request item-required");
    expect(errorOf(await set(bob, "<retract><item id='b'/></retract>"))).toBe("bad-request nodeid-required");
    expect(errorOf(await set(bob, "<retract node='m'><item id='b'/></retract>"))).toBe("item-not-found");
    ok(await set(bob, "<retract node='n'><item id='b'/></retract>"));
    // All of a batch, or none.
    expect(errorOf(await set(alice, "<retract node='n'><item id='c'/><item id='b'/></retract>"))).toBe(
      "item-not-found",
    );
    expect(idsOf(await get(alice, "<items node='n'/>"))).toEqual(["c"]);
    ok(await set(alice, "<retract node='n'><item id='c'/></retract>"));
    expect(idsOf(await get(alice, "<items node='n'/>"))).toEqual([]);
  });

  test("publish models: subscribers may, once they are", async () => {
    ok(await create(field("publish_model", "subscribers")));
    expect(errorOf(await set(bob, publish("n", item("a"))))).toBe("forbidden");
    ok(await subscribe(bob));
    ok(await set(bob, publish("n", item("a"))));
  });
});

describe("subscribing", () => {
  test("of one's own addresses alone, to nodes that are there and allow it", async () => {
    ok(await create());
    expect(errorOf(await subscribe(bob, "alice@localhost"))).toBe("bad-request invalid-jid");
    expect(errorOf(await set(bob, "<subscribe node='m' jid='bob@localhost'/>"))).toBe("item-not-found");
    ok(await ownSet(alice, `<configure node='n'>${form("node_config", field("subscribe", "0"))}</configure>`));
    expect(errorOf(await subscribe(bob))).toBe("feature-not-implemented unsupported");
    ok(await ownSet(alice, `<configure node='n'>${form("node_config", field("subscribe", "1"))}</configure>`));
    const first = inside(await subscribe(bob), "subscription");
    const second = inside(await subscribe(bob), "subscription");
    expect(second.attr("subid")).toBe(first.attr("subid"));
  });

  test("one account cannot take all the places of a node by its resources", async () => {
    ok(await create());
    for (let number = 1; number <= 50; number++) ok(await subscribe(bob, `bob@localhost/${number}`));
    expect(errorOf(await subscribe(bob, "bob@localhost/51"))).toBe("policy-violation too-many-subscriptions");
    ok(await subscribe(bob, "bob@localhost/50"));
    ok(await subscribe(carol));
  });

  test("a limit of subscriptions holds", async () => {
    await talk.stop();
    await begin({ max_subscriptions_node: 1 });
    ok(await create());
    ok(await subscribe(bob));
    expect(errorOf(await subscribe(carol))).toBe("policy-violation too-many-subscriptions");
    ok(await subscribe(bob));
  });

  test("ends by unsubscribing, of what is there and one's own", async () => {
    ok(await create());
    const unsubscribe = (person: Person, rest: string) => set(person, `<unsubscribe node='n' ${rest}/>`);
    expect(errorOf(await unsubscribe(bob, "jid='bob@localhost'"))).toBe("unexpected-request not-subscribed");
    const subid = inside(await subscribe(bob), "subscription").attr("subid")!;
    expect(errorOf(await unsubscribe(carol, "jid='bob@localhost'"))).toBe("forbidden");
    expect(errorOf(await unsubscribe(bob, "jid='bob@localhost' subid='other'"))).toBe("not-acceptable invalid-subid");
    expect(errorOf(await unsubscribe(bob, ""))).toBe("bad-request jid-required");
    expect(
      inside(await unsubscribe(bob, `jid='bob@localhost' subid='${subid}'`), "subscription").attr("subscription"),
    ).toBe("none");
    ok(await set(alice, publish("n", item("a"))));
    expect(await told(bob)).toEqual([]);
  });

  test("options: delivery can be turned off, by show, and for a time", async () => {
    ok(await create());
    const options = (...fields: readonly string[]) =>
      set(bob, `<options node='n' jid='bob@localhost'>${form("subscribe_options", ...fields)}</options>`);
    expect(errorOf(await options(field("deliver", "0")))).toBe("unexpected-request not-subscribed");
    ok(await subscribe(bob, undefined, `<options>${form("subscribe_options", field("deliver", "0"))}</options>`));
    ok(await set(alice, publish("n", item("a"))));
    expect(await told(bob)).toEqual([]);
    expect(errorOf(await options(field("deliver", "maybe")))).toBe("bad-request invalid-options");
    expect(errorOf(await options(field("show-values", "asleep")))).toBe("bad-request invalid-options");
    ok(await options(field("deliver", "1"), field("show-values", "online", "chat")));
    const asked = inside(await get(bob, "<options node='n' jid='bob@localhost'/>"), "options");
    const values = asked
      .child("x", ns.dataForms)!
      .childrenNamed("field")
      .find((one) => one.attr("var") === "pubsub#show-values")!;
    expect(values.childrenNamed("value").map((one) => one.text())).toEqual(["online", "chat"]);
    ok(await set(alice, publish("n", item("b"))));
    expect(await told(bob)).toEqual(["n item b"]);
    await bob.sends("<presence><show>dnd</show></presence>");
    ok(await set(alice, publish("n", item("c"))));
    expect(await told(bob)).toEqual([]);
    const soon = new Date(talk.clock.now() + 60_000).toISOString();
    ok(await options(field("show-values"), field("expire", soon)));
    ok(await set(alice, publish("n", item("d"))));
    expect(await told(bob)).toEqual(["n item d"]);
    await talk.clock.advance(61_000);
    ok(await set(alice, publish("n", item("e"))));
    expect(await told(bob)).toEqual([]);
    expect(
      inside(await get(bob, "<default/>"), "default")
        .child("x", ns.dataForms)!
        .attr("type"),
    ).toBe("form");
  });

  test("two subscriptions of one entity are told apart by a header", async () => {
    ok(await create());
    const subid = inside(await subscribe(bob, "bob@localhost/b"), "subscription").attr("subid")!;
    ok(await subscribe(bob, "bob@localhost/other"));
    ok(await set(alice, publish("n", item("a"))));
    const [event] = await events(bob);
    const header = event!.child("headers", ns.shim)!.child("header")!;
    expect([header.attr("name"), header.text()]).toEqual(["SubID", subid]);
  });

  test("presence_based_delivery keeps events from those who are away", async () => {
    ok(await create(field("presence_based_delivery", "1"), field("notification_type", "normal")));
    ok(await subscribe(bob));
    await bob.sends("<presence type='unavailable'/>");
    await events(bob);
    ok(await set(alice, publish("n", item("a"))));
    expect(await told(bob)).toEqual([]);
  });

  test("who has what is told to him alone", async () => {
    ok(await create());
    ok(await set(alice, "<create node='m'/>"));
    ok(await subscribe(bob));
    ok(await set(bob, "<subscribe node='m' jid='bob@localhost/b'/>"));
    const mine = (answer: Element) =>
      inside(answer, "subscriptions")
        .elements()
        .map((one) => `${one.attr("node")} ${one.attr("jid")} ${one.attr("subscription")}`);
    expect(mine(await get(bob, "<subscriptions/>"))).toEqual([
      "m bob@localhost/b subscribed",
      "n bob@localhost subscribed",
    ]);
    expect(mine(await get(bob, "<subscriptions node='n'/>"))).toEqual(["n bob@localhost subscribed"]);
    expect(mine(await get(carol, "<subscriptions/>"))).toEqual([]);
    const affiliations = (answer: Element) =>
      inside(answer, "affiliations")
        .elements()
        .map((one) => `${one.attr("node")} ${one.attr("affiliation")}`);
    expect(affiliations(await get(alice, "<affiliations/>"))).toEqual(["m owner", "n owner"]);
    expect(affiliations(await get(bob, "<affiliations/>"))).toEqual([]);
  });
});

describe("retrieving", () => {
  beforeEach(async () => {
    ok(await create(field("max_items", "10")));
    for (const id of ["a", "b", "c", "d"]) ok(await set(alice, publish("n", item(id))));
  });

  test("all, the newest, or some by their ids; those that are not there are left out", async () => {
    expect(idsOf(await get(bob, "<items node='n'/>"))).toEqual(["d", "c", "b", "a"]);
    expect(idsOf(await get(bob, "<items node='n' max_items='2'/>"))).toEqual(["d", "c"]);
    expect(idsOf(await get(bob, "<items node='n'><item id='a'/><item id='nix'/></items>"))).toEqual(["a"]);
    expect(idsOf(await get(bob, "<items node='n'><item id='nix'/></items>"))).toEqual([]);
    expect(errorOf(await get(bob, "<items node='n' max_items='many'/>"))).toBe("bad-request");
    expect(errorOf(await get(bob, "<items/>"))).toBe("bad-request nodeid-required");
    expect(errorOf(await get(bob, `<items node='n'>${"<item id='a'/>".repeat(201)}</items>`))).toBe("policy-violation");
  });

  test("page by page in both directions", async () => {
    const page = (rsm: string) => get(bob, `<items node='n'/><set xmlns='${ns.rsm}'>${rsm}</set>`);
    const first = await page("<max>2</max>");
    expect(idsOf(first)).toEqual(["d", "c"]);
    const said = ok(first).child("pubsub", ns.pubsub)!.child("set", ns.rsm)!;
    expect(said.toXml(ns.rsm)).toBe("<set><first index='0'>d</first><last>c</last><count>4</count></set>");
    expect(idsOf(await page("<max>2</max><after>c</after>"))).toEqual(["b", "a"]);
    expect(idsOf(await page("<max>2</max><before/>"))).toEqual(["b", "a"]);
    expect(idsOf(await page("<max>1</max><before>b</before>"))).toEqual(["c"]);
    expect(idsOf(await page("<max>1</max><index>1</index>"))).toEqual(["c"]);
    expect(idsOf(await page("<max>0</max>"))).toEqual([]);
    expect(errorOf(await page("<after>nix</after>"))).toBe("item-not-found");
    expect(errorOf(await page("<max>x</max>"))).toBe("bad-request");
  });

  test("an answer ends where it is large enough, at the end that is not asked for, and skips nothing", async () => {
    const text = "x".repeat(200_000);
    const large = (id: string) => `<item id='${id}'><e xmlns='urn:x'>${text}</e></item>`;
    ok(await ownSet(alice, `<configure node='n'>${form("node_config", field("max_items", "6"))}</configure>`));
    for (const id of ["e", "f", "g", "h", "i", "j"]) ok(await set(alice, publish("n", large(id))));
    const page = async (rsm: string) => {
      const answer = ok(await get(bob, `<items node='n'/><set xmlns='${ns.rsm}'>${rsm}</set>`));
      const first = answer.child("pubsub", ns.pubsub)!.child("set", ns.rsm)!.child("first")!;
      return [...idsOf(answer), first.attr("index")];
    };
    expect(await page("")).toEqual(["j", "i", "0"]);
    expect(await page("<after>i</after>")).toEqual(["h", "g", "2"]);
    expect(await page("<before/>")).toEqual(["f", "e", "4"]);
    expect(await page("<before>f</before>")).toEqual(["h", "g", "2"]);
    expect(await page("<before>h</before>")).toEqual(["j", "i", "0"]);
    const byIds = (...ids: string[]) =>
      get(bob, `<items node='n'>${ids.map((id) => `<item id='${id}'/>`).join("")}</items>`);
    expect(idsOf(await byIds("h", "g"))).toHaveLength(2);
    expect(errorOf(await byIds("h", "g", "f"))).toBe("policy-violation");
  });
});

describe("owning", () => {
  test("the configuration is shown and changed by owners alone", async () => {
    ok(await create());
    const shown = ok(await ownGet(alice, "<configure node='n'/>"))
      .child("pubsub", ns.pubsubOwner)!
      .child("configure")!;
    const fields = new Map(
      shown
        .child("x", ns.dataForms)!
        .childrenNamed("field")
        .map((one) => [one.attr("var"), one]),
    );
    expect(fields.get("pubsub#access_model")!.childText("value")).toBe("open");
    expect(fields.get("pubsub#access_model")!.childrenNamed("option").length).toBe(5);
    expect(errorOf(await ownGet(bob, "<configure node='n'/>"))).toBe("forbidden");
    expect(errorOf(await ownGet(alice, "<configure/>"))).toBe("bad-request nodeid-required");
    expect(errorOf(await ownGet(alice, "<configure node='m'/>"))).toBe("item-not-found");
    const change = (person: Person, ...given: readonly string[]) =>
      ownSet(person, `<configure node='n'>${form("node_config", ...given)}</configure>`);
    expect(errorOf(await change(bob, field("title", "x")))).toBe("forbidden");
    expect(errorOf(await change(alice, field("notify_config", "perhaps")))).toBe("not-acceptable");
    ok(await subscribe(bob));
    ok(await change(alice, field("title", "x")));
    expect(await told(bob)).toEqual([]);
    ok(await change(alice, field("notify_config", "1")));
    expect(await told(bob)).toEqual(["n configuration"]);
    ok(await ownSet(alice, `<configure node='n'><x xmlns='${ns.dataForms}' type='cancel'/></configure>`));
    expect(
      ok(await ownGet(bob, "<default/>"))
        .child("pubsub", ns.pubsubOwner)!
        .child("default")!
        .child("x", ns.dataForms)!
        .attr("type"),
    ).toBe("form");
  });

  test("default_node_config is what a new node is", async () => {
    await talk.stop();
    await begin({ default_node_config: { access_model: "whitelist", max_items: 3 } });
    ok(await set(alice, "<create node='n'/>"));
    expect(errorOf(await get(bob, "<items node='n'/>"))).toBe("not-allowed closed-node");
  });

  test("purging and deleting are told to subscribers", async () => {
    ok(await create());
    ok(await set(alice, publish("n", item("a"))));
    ok(await subscribe(bob));
    await told(bob);
    expect(errorOf(await ownSet(bob, "<purge node='n'/>"))).toBe("forbidden");
    expect(errorOf(await ownSet(bob, "<delete node='n'/>"))).toBe("forbidden");
    expect(errorOf(await ownSet(alice, "<delete node='m'/>"))).toBe("item-not-found");
    ok(await ownSet(alice, "<purge node='n'/>"));
    expect(await told(bob)).toEqual(["n purge"]);
    ok(await ownSet(alice, "<delete node='n'><redirect uri='xmpp:x'/></delete>"));
    const [event] = await events(bob);
    expect(event!.child("event", ns.pubsubEvent)!.child("delete")!.child("redirect")!.attr("uri")).toBe("xmpp:x");
    expect(errorOf(await get(alice, "<items node='n'/>"))).toBe("item-not-found");
    ok(await set(bob, "<create node='n'/>"));
  });

  test("affiliations: an owner stays, outcasts lose their subscription, those changed are told", async () => {
    ok(await create());
    ok(await subscribe(bob));
    expect(errorOf(await affiliate("alice", "none"))).toBe("not-acceptable");
    expect(errorOf(await affiliate("bob", "king"))).toBe("not-acceptable");
    expect(
      errorOf(
        await ownSet(
          bob,
          "<affiliations node='n'><affiliation jid='bob@localhost' affiliation='owner'/></affiliations>",
        ),
      ),
    ).toBe("forbidden");
    ok(await affiliate("bob", "outcast"));
    const [word] = await events(bob);
    expect(word!.child("pubsub", ns.pubsub)!.child("affiliations")!.child("affiliation")!.attr("affiliation")).toBe(
      "outcast",
    );
    ok(await set(alice, publish("n", item("a"))));
    expect(await told(bob)).toEqual([]);
    expect(errorOf(await subscribe(bob))).toBe("forbidden");
    expect(errorOf(await get(bob, "<items node='n'/>"))).toBe("forbidden");
    ok(await affiliate("carol", "publish-only"));
    ok(await set(carol, publish("n", item("c"))));
    expect(errorOf(await get(carol, "<items node='n'/>"))).toBe("forbidden");
    ok(await affiliate("carol", "owner"));
    ok(await affiliate("alice", "none"));
    const list = ok(await owns(carol, "get", "<affiliations node='n'/>", service))
      .child("pubsub", ns.pubsubOwner)!
      .child("affiliations")!;
    expect(list.elements().map((one) => `${one.attr("jid")} ${one.attr("affiliation")}`)).toEqual([
      "bob@localhost outcast",
      "carol@localhost owner",
    ]);
  });

  test("what could not be changed comes back as it is, the rest is changed", async () => {
    ok(await create());
    const answer = await ownSet(
      alice,
      "<affiliations node='n'><affiliation jid='alice@localhost' affiliation='none'/><affiliation jid='bob@localhost' affiliation='member'/></affiliations>",
    );
    expect(errorOf(answer)).toBe("not-acceptable");
    expect(
      answer
        .child("pubsub", ns.pubsubOwner)!
        .child("affiliations")!
        .elements()
        .map((one) => `${one.attr("jid")} ${one.attr("affiliation")}`),
    ).toEqual(["alice@localhost owner"]);
    const list = ok(await ownGet(alice, "<affiliations node='n'/>"))
      .child("pubsub", ns.pubsubOwner)!
      .child("affiliations")!;
    expect(list.elements().length).toBe(2);
  });

  test("subscriptions are listed, made and ended by owners", async () => {
    ok(await create());
    ok(await subscribe(bob));
    expect(errorOf(await ownGet(bob, "<subscriptions node='n'/>"))).toBe("forbidden");
    const list = async () =>
      ok(await ownGet(alice, "<subscriptions node='n'/>"))
        .child("pubsub", ns.pubsubOwner)!
        .child("subscriptions")!
        .elements()
        .map((one) => one.attr("jid"));
    expect(await list()).toEqual(["bob@localhost"]);
    const change = (jid: string, to: string) =>
      ownSet(alice, `<subscriptions node='n'><subscription jid='${jid}' subscription='${to}'/></subscriptions>`);
    ok(await change("bob@localhost", "none"));
    expect(await told(bob)).toEqual(["n subscription"]);
    ok(await change("carol@localhost", "subscribed"));
    expect(await list()).toEqual(["carol@localhost"]);
    expect(errorOf(await change("carol@localhost", "half"))).toBe("not-acceptable");
  });

  test("authorize: pending until an owner says so", async () => {
    ok(await create(field("access_model", "authorize"), field("notify_sub", "1")));
    expect(inside(await subscribe(bob), "subscription").attr("subscription")).toBe("pending");
    await events(alice);
    ok(
      await ownSet(
        alice,
        "<subscriptions node='n'><subscription jid='bob@localhost' subscription='subscribed'/></subscriptions>",
      ),
    );
    expect(await told(bob)).toEqual(["n subscription"]);
    ok(await set(alice, publish("n", item("a"))));
    expect(await told(bob)).toEqual(["n item a"]);
    ok(await affiliate("carol", "member"));
    await events(carol);
    await events(alice);
    expect(inside(await subscribe(carol), "subscription").attr("subscription")).toBe("subscribed");
    expect(await told(alice)).toEqual(["n subscription"]);
  });

  test("a node that becomes a whitelist cancels the subscriptions of those that are not on it, and says so", async () => {
    ok(await create());
    ok(await subscribe(bob));
    ok(await subscribe(carol));
    ok(await affiliate("carol", "member"));
    await events(carol);
    ok(
      await ownSet(alice, `<configure node='n'>${form("node_config", field("access_model", "whitelist"))}</configure>`),
    );
    expect(await told(bob)).toEqual(["n subscription"]);
    ok(await set(alice, publish("n", item("a"))));
    expect(await told(bob)).toEqual([]);
    expect(await told(carol)).toEqual(["n item a"]);
    expect(errorOf(await subscribe(bob))).toBe("not-allowed closed-node");
    // It does not come back by itself.
    ok(await ownSet(alice, `<configure node='n'>${form("node_config", field("access_model", "open"))}</configure>`));
    ok(await set(alice, publish("n", item("b"))));
    expect(await told(bob)).toEqual([]);
    // Who is a member no more, and needs to be, has none either.
    ok(
      await ownSet(alice, `<configure node='n'>${form("node_config", field("access_model", "whitelist"))}</configure>`),
    );
    await told(carol);
    ok(await affiliate("carol", "none"));
    expect(await told(carol)).toContain("n subscription");
  });
});

test("what is no request gets the errors of XMPP, and errors end there", async () => {
  expect(errorOf(await sent(alice, "get", "<query xmlns='jabber:iq:version'/>", service))).toBe("service-unavailable");
  expect(errorOf(await sent(alice, "get", "<query xmlns='jabber:iq:version'/>", `x@${service}`))).toBe(
    "service-unavailable",
  );
  ok(await sent(alice, "get", "<ping xmlns='urn:xmpp:ping'/>", service));
  await alice.sends(`<message to='${service}' type='error'><body>x</body></message>`);
  await alice.sends(`<presence to='${service}'/>`);
  await alice.sends(`<iq to='${service}' type='result' id='x'/>`);
  expect(await alice.takes()).toEqual([]);
  await alice.sends(`<message to='${service}'><body>x</body></message>`);
  expect(errorOf((await alice.takes())[0]!)).toBe("service-unavailable");
});

test("without plugin pep accounts are no services, without flat there is no domain", async () => {
  await talk.stop();
  await begin({ plugins: ["flat"] });
  expect(errorOf(await asks(alice, "set", publish("n", item("a"))))).toBe("service-unavailable");
  await talk.stop();
  await begin({ plugins: ["pep"] });
  ok(await asks(alice, "set", publish("n", item("a"))));
  expect(errorOf(await set(alice, "<create node='n'/>"))).toBe("remote-server-not-found");
});
