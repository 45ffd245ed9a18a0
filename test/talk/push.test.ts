/** XEP-0357: devices that sleep are woken through their app's service, and those that are awake are not. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { defineModule } from "../../src/hooks/define-module.ts";
import { handled, route } from "../../src/hooks/effect.ts";
import type { Questions } from "../../src/hooks/points.ts";
import { csi } from "../../src/modules/csi.ts";
import { pubsub } from "../../src/modules/pubsub/pubsub.ts";
import { push } from "../../src/modules/push/push.ts";
import { runSessionEvent } from "../../src/router/from-client.ts";
import { marks } from "../../src/session/resource.ts";
import { StanzaError } from "../../src/stanza/errors.ts";
import { type Jid, parseJid } from "../../src/stanza/jid.ts";
import { ns } from "../../src/stanza/ns.ts";
import { errorOf as errorFor, resultOf } from "../../src/stanza/reply.ts";
import type { Stanza } from "../../src/stanza/stanza.ts";
import type { Element } from "../../src/xml/element.ts";
import { Conversation, type Person } from "../support/conversation.ts";
import { asks, configure, errorOf, field, form, ok, sent, service } from "./pubsub/pubsub-talk.ts";

const app = "push.example";
let talk: Conversation;
let alice: Person;
let bob: Person;
/** What has arrived at the app's service. */
let arrived: Stanza[];
let answer: (request: Stanza) => Stanza | undefined;

const appService = defineModule({
  name: "mod_app",
  summary: "An app's service.",
  options: {},
  setup(on) {
    on.serve(app, (stanza) => {
      arrived.push(stanza);
      const said = answer(stanza);
      return said === undefined ? handled : [handled, route(said)];
    });
    return undefined;
  },
});

async function begin(options: Record<string, unknown> = {}, answers: Partial<Questions> = {}) {
  talk = await Conversation.start({
    modules: [pubsub, push, csi, appService],
    options: { mod_push: options, mod_pubsub: { plugins: ["flat", "pep", "push"] } },
    answers,
    access: { all: "allow" },
  });
  alice = await talk.online("alice@localhost/phone");
  bob = await talk.online("bob@localhost/pc");
  for (const person of [alice, bob]) await person.takes();
}

/** The module's metrics, without its name. */
const counted = () =>
  Object.fromEntries(Array.from(talk.counted, ([key, value]) => [key.replace("mod_push ", ""), value]));

beforeEach(async () => {
  arrived = [];
  answer = (request) => resultOf(request);
  await begin();
});
afterEach(() => talk.stop());

const enable = (person: Person, node = "device", inside = "") =>
  sent(person, "set", `<enable xmlns='${ns.push}' jid='${app}' node='${node}'>${inside}</enable>`);
const disable = (person: Person, node?: string) =>
  sent(person, "set", `<disable xmlns='${ns.push}' jid='${app}'${node === undefined ? "" : ` node='${node}'`}/>`);
const writes = (body = "hello", inside = "") =>
  bob.sends(`<message type='chat' to='alice@localhost'><body>${body}</body>${inside}</message>`);

/** The notifications since the last call: node and fields of the summary. */
function notifications(): (readonly [string, Record<string, string>])[] {
  return arrived.splice(0).map((stanza) => {
    const published = stanza.child("pubsub", ns.pubsub)!.child("publish")!;
    return [
      published.attr("node")!,
      fields(published.child("item")!.child("notification", ns.push)!.child("x", ns.dataForms)!),
    ];
  });
}

function fields(element: Element): Record<string, string> {
  return Object.fromEntries(
    element.childrenNamed("field").map((one) => [one.attr("var"), one.childText("value") ?? ""]),
  );
}

describe("a device", () => {
  test("that is gone is told, with a summary, by the host", async () => {
    const options = form("publish-options", "<field var='secret'><value>s3cret</value></field>");
    ok(await enable(alice, "device", options));
    await alice.leaves();
    await writes("hello &amp; &lt;you>");
    expect(arrived[0]!.from!.full).toBe("localhost");
    expect(
      arrived[0]!.child("pubsub", ns.pubsub)!.child("publish-options")!.child("x", ns.dataForms)!.toXml(ns.pubsub),
    ).toBe(options);
    expect(notifications()).toEqual([
      [
        "device",
        {
          FORM_TYPE: "urn:xmpp:push:summary",
          "message-count": "1",
          "last-message-sender": "bob@localhost",
          "last-message-body": "hello & <you>",
        },
      ],
    ]);
  });

  test("that is there is not told; one whose client says it is inactive is", async () => {
    ok(await enable(alice));
    await writes();
    expect(notifications()).toEqual([]);
    await alice.sends(`<inactive xmlns='${ns.csi}'/>`);
    await writes();
    expect(notifications().length).toBe(1);
    await alice.sends(`<active xmlns='${ns.csi}'/>`);
    await writes();
    expect(notifications()).toEqual([]);
  });

  test("sleeps while another of the account is awake: it is told", async () => {
    ok(await enable(alice));
    await alice.leaves();
    await talk.online("alice@localhost/pc");
    await writes();
    expect(notifications().length).toBe(1);
  });

  test("whose stream is gone is told; also of what it has not acknowledged before, and not of what it has", async () => {
    alice.managed();
    ok(await enable(alice));
    await alice.acknowledges();
    await writes("lost");
    expect(notifications()).toEqual([]);
    await detach();
    expect(notifications().map(([, summary]) => summary["last-message-body"])).toEqual(["lost"]);
    await writes("later");
    expect(notifications().map(([, summary]) => summary["last-message-body"])).toEqual(["later"]);
    alice.session.mark(marks.detached, false);
    await writes("seen");
    await alice.acknowledges();
    await detach();
    expect(notifications()).toEqual([]);
  });

  async function detach() {
    alice.session.mark(marks.detached, true);
    await runSessionEvent(talk.router, talk.host, "detached", alice.session, false);
    await talk.settle();
  }

  test("without presence is told", async () => {
    ok(await enable(alice));
    await alice.sends("<presence type='unavailable'/>");
    await writes();
    expect(notifications().length).toBe(1);
  });

  test("is told no more once disabled, by node or all of a service", async () => {
    ok(await enable(alice, "one"));
    ok(await enable(alice, "two"));
    ok(await enable(alice, "three"));
    ok(await disable(alice, "one"));
    await alice.leaves();
    await writes();
    expect(
      notifications()
        .map(([node]) => node)
        .sort(),
    ).toEqual(["three", "two"]);
    alice = await talk.online("alice@localhost/phone");
    ok(await disable(alice));
    await alice.leaves();
    await writes();
    expect(notifications()).toEqual([]);
  });
});

describe("what wakes", () => {
  beforeEach(async () => {
    ok(await enable(alice));
    await alice.leaves();
  });
  const sends = async (inside: string, attributes = "type='chat'") => {
    await bob.sends(`<message ${attributes} to='alice@localhost'>${inside}</message>`);
    return notifications().length;
  };

  test("a body, or a hint that it matters", async () => {
    expect(await sends("<body>x</body>")).toBe(1);
    expect(await sends("<body>x</body>", "")).toBe(1);
    expect(await sends(`<propose xmlns='urn:xmpp:jingle-message:0' id='a'/><store xmlns='${ns.hints}'/>`)).toBe(1);
  });

  test("no chat state, marker, receipt, error, headline or empty body, and nothing that is not to be kept", async () => {
    expect(await sends(`<composing xmlns='${ns.chatStates}'/>`)).toBe(0);
    expect(await sends(`<displayed xmlns='${ns.chatMarkers}' id='a'/><store xmlns='${ns.hints}'/>`)).toBe(0);
    expect(await sends(`<received xmlns='${ns.receipts}' id='a'/><store xmlns='${ns.hints}'/>`)).toBe(0);
    expect(await sends("<body>x</body>", "type='headline'")).toBe(0);
    expect(await sends("<body>x</body>", "type='error'")).toBe(0);
    expect(await sends("<body></body>")).toBe(0);
    expect(await sends(`<body>x</body><no-store xmlns='${ns.hints}'/>`)).toBe(0);
    await talk.arrives(
      `<message type='groupchat' from='r@c/n' to='alice@localhost/phone'><body>x</body><delay xmlns='${ns.delay}' stamp='2020-01-01T00:00:00Z'/></message>`,
    );
    expect(notifications()).toEqual([]);
  });

  test("a message of a room names its sender in the room", async () => {
    await talk.arrives("<message type='groupchat' from='r@c/n' to='alice@localhost/phone'><body>x</body></message>");
    expect(notifications()[0]![1]["last-message-sender"]).toBe("r@c/n");
  });

  test("his own words, which a group of MUC Light sends back to him, wake nobody", async () => {
    const said = (who: string) =>
      talk.arrives(`<message type='groupchat' from='r@c/${who}' to='alice@localhost'><body>x</body></message>`);
    await said("alice@localhost");
    expect(notifications()).toEqual([]);
    await said("bob@localhost");
    expect(notifications().length).toBe(1);
  });
});

test("a conversation that is muted wakes nobody, and another one does; so does the first when its time is over", async () => {
  await talk.stop();
  const quiet = new Set(["bob@localhost", "r@c"]);
  const asked: string[] = [];
  const isMuted = (account: Jid, peer: Jid) => {
    asked.push(`${account.full} ${peer.full}`);
    return asked.length % 2 === 0 ? quiet.has(peer.full) : Promise.resolve(quiet.has(peer.full));
  };
  await begin({}, { isMuted });
  ok(await enable(alice));
  await bob.sends("<message to='alice@localhost' type='chat'><body>x</body></message>");
  // She is there and awake, so nobody asks.
  expect(asked).toEqual([]);
  await alice.leaves();
  await writes();
  await writes();
  await talk.arrives("<message type='groupchat' from='r@c/n' to='alice@localhost/phone'><body>x</body></message>");
  expect(notifications()).toEqual([]);
  expect(asked.slice(-1)).toEqual(["alice@localhost r@c"]);
  await talk.arrives("<message type='chat' from='carol@localhost/x' to='alice@localhost'><body>x</body></message>");
  expect(notifications()).toHaveLength(1);
  quiet.clear();
  await writes();
  expect(notifications()).toHaveLength(1);
});

test("options: without sender and body, with the count of unread messages, without hints", async () => {
  await talk.stop();
  await begin(
    { last_message_sender: false, last_message_body: false, plugin_module: "mod_event_pusher_push_plugin_defaults" },
    { unreadCount: () => 7 },
  );
  ok(await enable(alice));
  await alice.leaves();
  await writes();
  expect(notifications()[0]![1]).toEqual({ FORM_TYPE: "urn:xmpp:push:summary", "message-count": "7" });
  await bob.sends(`<message to='alice@localhost'><propose xmlns='urn:x'/><store xmlns='${ns.hints}'/></message>`);
  expect(notifications()).toEqual([]);
});

describe("a service", () => {
  test("that does not know the device any more is told no more", async () => {
    ok(await enable(alice));
    await alice.leaves();
    answer = (request) => errorFor(request, new StanzaError("item-not-found"));
    await writes();
    expect(notifications().length).toBe(1);
    await writes();
    expect(notifications()).toEqual([]);
    expect(counted()).toEqual({ "notifications_total failed": 1, devices_gone_total: 1 });
  });

  test("in passing trouble is told again, but not for ever", async () => {
    ok(await enable(alice));
    await alice.leaves();
    answer = (request) => errorFor(request, new StanzaError("internal-server-error"));
    for (let time = 0; time < 12; time++) await writes();
    expect(notifications().length).toBe(10);
    expect(counted()).toEqual({ "notifications_total failed": 10, devices_gone_total: 1 });
  });

  test("that is slow gets one notification at a time, then the newest", async () => {
    ok(await enable(alice));
    await alice.leaves();
    answer = () => undefined;
    for (const body of ["1", "2", "3"]) await writes(body);
    expect(notifications().map(([, summary]) => summary["last-message-body"])).toEqual(["1"]);
    answer = (request) => resultOf(request);
    await talk.clock.advance(30_000);
    await talk.settle();
    expect(notifications().map(([, summary]) => summary["last-message-body"])).toEqual(["3"]);
    expect(counted()).toEqual({ "notifications_total failed": 1, "notifications_total sent": 1 });
  });

  test("may revoke a device by a message", async () => {
    ok(await enable(alice));
    await talk.arrives(
      `<message from='${app}' to='alice@localhost'><pubsub xmlns='${ns.pubsub}' node='device'><affiliation jid='alice@localhost' affiliation='none'/></pubsub></message>`,
    );
    await alice.leaves();
    await writes();
    expect(notifications()).toEqual([]);
  });

  test("of somebody else cannot", async () => {
    ok(await enable(alice));
    await bob.sends(
      `<message to='alice@localhost'><pubsub xmlns='${ns.pubsub}' node='device'><affiliation jid='alice@localhost' affiliation='none'/></pubsub></message>`,
    );
    await alice.leaves();
    await writes();
    expect(notifications().length).toBe(1);
  });
});

test("requests that cannot be are refused", async () => {
  const wrong = async (inside: string) => errorOf(await sent(alice, "set", inside));
  expect(await wrong(`<enable xmlns='${ns.push}' jid='${app}'/>`)).toBe("bad-request");
  expect(await wrong(`<enable xmlns='${ns.push}' node='x'/>`)).toBe("bad-request");
  expect(await wrong(`<enable xmlns='${ns.push}' jid='@' node='x'/>`)).toBe("bad-request");
  expect(await wrong(`<enable xmlns='${ns.push}' jid='a' node='x'>${form("node_config")}</enable>`)).toBe(
    "bad-request",
  );
  expect(await wrong(`<enable xmlns='${ns.push}' jid='a' node='x'><x/></enable>`)).toBe("bad-request");
  expect(await wrong(`<enable xmlns='${ns.push}' jid='a' node='${"x".repeat(1001)}'/>`)).toBe("not-acceptable");
  expect(await wrong(`<disable xmlns='${ns.push}'/>`)).toBe("bad-request");
  expect(errorOf(await sent(bob, "set", `<enable xmlns='${ns.push}' jid='a' node='x'/>`, "alice@localhost"))).toBe(
    "service-unavailable",
  );
  await talk.stop();
  await begin({ max_devices: 1 });
  ok(await enable(alice, "one"));
  ok(await enable(alice, "one"));
  expect(errorOf(await enable(alice, "two"))).toBe("resource-constraint");
});

test("a removed account leaves no device", async () => {
  ok(await enable(alice));
  for (const removed of talk.host.registry.accounts.removed) await removed(parseJid("alice@localhost")!);
  expect(await talk.store.db.selectFrom("push_registration").selectAll().execute()).toEqual([]);
});

describe("our own pubsub as the app's service", () => {
  const handed: string[] = [];
  const answers: Partial<Questions> = {
    pushNotification: (node, notification, options) => {
      handed.push(
        `${node} ${fields(notification.child("x", ns.dataForms)!)["last-message-body"]} ${fields(options!).device_id}`,
      );
      return true as const;
    },
  };
  const options = form("publish-options", "<field var='device_id'><value>d1</value></field>");

  test("a push node hands notifications of the host on, and keeps nothing", async () => {
    await talk.stop();
    await begin({}, answers);
    ok(
      await asks(
        alice,
        "set",
        `<create node='p' type='push'/>${configure(field("access_model", "whitelist"))}`,
        service,
      ),
    );
    ok(await sent(alice, "set", `<enable xmlns='${ns.push}' jid='${service}' node='p'>${options}</enable>`));
    await alice.leaves();
    await writes("hello");
    expect(handed.splice(0)).toEqual(["p hello d1"]);
    const notification = `<item><notification xmlns='${ns.push}'/></item>`;
    expect(errorOf(await asks(bob, "set", `<publish node='p'>${notification}</publish>`, service))).toBe("forbidden");
    expect(await talk.store.db.selectFrom("pubsub_item").selectAll().execute()).toEqual([]);
  });

  test("a virtual host needs no node", async () => {
    await talk.stop();
    await begin({ virtual_pubsub_hosts: ["virtual.@HOST@"] }, answers);
    ok(await sent(alice, "set", `<enable xmlns='${ns.push}' jid='virtual.localhost' node='any'>${options}</enable>`));
    await alice.leaves();
    await writes("hi");
    expect(handed.splice(0)).toEqual(["any hi d1"]);
  });
});
