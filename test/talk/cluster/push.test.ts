/** XEP-0357 in a cluster: a device is woken for what its session has not acknowledged, whichever node has the session, and whoever wrote. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { defineModule } from "../../../src/hooks/define-module.ts";
import { route } from "../../../src/hooks/effect.ts";
import { presence } from "../../../src/modules/presence.ts";
import { push } from "../../../src/modules/push/push.ts";
import { streamManagement } from "../../../src/modules/stream-management.ts";
import { ns } from "../../../src/stanza/ns.ts";
import { resultOf } from "../../../src/stanza/reply.ts";
import { ClusterTalk, type TalkClient, type TalkNode } from "../../support/cluster-talk.ts";

const app = "push.example";
let talk: ClusterTalk;
/** What has arrived at the app's service: the words in the notifications. */
let told: (string | undefined)[];
let one: TalkNode;
let two: TalkNode;
let alice: TalkClient;
let bob: TalkClient;

const appService = defineModule({
  name: "mod_app",
  summary: "An app's service.",
  options: {},
  setup(on) {
    on.serve(app, (stanza) => {
      const item = stanza.child("pubsub", ns.pubsub)!.child("publish")!.child("item")!;
      const fields = item.child("notification", ns.push)!.child("x", ns.dataForms)!.childrenNamed("field");
      told.push(fields.find((field) => field.attr("var") === "last-message-body")?.childText("value"));
      return route(resultOf(stanza));
    });
    return undefined;
  },
});

beforeEach(async () => {
  told = [];
  talk = await ClusterTalk.start(3, [streamManagement, push, presence, appService]);
  for (const name of ["alice", "bob"]) await talk.account(name);
  [one, two] = talk.nodes as [TalkNode, TalkNode];
  alice = await talk.login(one, "alice@localhost/phone");
  bob = await talk.login(two, "bob@localhost/pc");
  await alice.sends(`<iq type='set' id='p'><enable xmlns='${ns.push}' jid='${app}' node='phone'/></iq>`);
  await talk.settle();
  alice.acknowledges();
});
afterEach(() => talk.stop());

async function writes(body: string) {
  await bob.sends(`<message type='chat' to='alice@localhost'><body>${body}</body></message>`);
  await talk.settle();
}

test("what somebody on another node wrote wakes a device that seemed awake and was not", async () => {
  await writes("seen");
  alice.acknowledges();
  alice.deaf = true;
  await writes("lost");
  expect(told).toEqual([]);
  await alice.breaks();
  await talk.settle();
  expect(told).toEqual(["lost"]);
});

test("what was on its way to a session that has just ended wakes its device, and is told once", async () => {
  // The other node still believes that she is there.
  const before = two.core.router.resourceAt(alice.session.jid)!;
  expect(before.available).toBe(true);
  await one.core.keeper.end(alice.session, "closed");
  await writes("just too late");
  expect(told).toEqual(["just too late"]);
  await writes("later");
  expect(told).toEqual(["just too late", "later"]);
});

test("a session that moves with its node wakes its device when the client does not come back", async () => {
  alice.deaf = true;
  await writes("lost");
  await talk.drain(one);
  await talk.settle(1_000);
  expect(told).toEqual([]);
  await talk.settle(12_000);
  expect(told).toEqual(["lost"]);
});

test("one that comes back elsewhere wakes nobody; but for what it does not acknowledge there either", async () => {
  alice.deaf = true;
  await writes("first");
  expect(await alice.resumes(two)).toBe(true);
  await talk.settle(12_000);
  expect(told).toEqual([]);
  await alice.breaks();
  await talk.settle();
  expect(told).toEqual(["first"]);
  expect(await alice.resumes(one)).toBe(true);
  // Bob's node has to hear that she is back.
  await talk.settle();
  await writes("second");
  alice.acknowledges();
  expect(await alice.resumes(two)).toBe(true);
  await alice.breaks();
  await talk.settle(12_000);
  expect(told).toEqual(["first"]);
});
