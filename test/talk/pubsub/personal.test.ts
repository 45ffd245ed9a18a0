/** Bookmarks and avatars, whose older forms live in private storage and vCards: old and new clients see the same. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { privateStorage } from "../../../src/modules/private.ts";
import { vcard } from "../../../src/modules/vcard/vcard.ts";
import { ns } from "../../../src/stanza/ns.ts";
import type { Conversation, Person } from "../../support/conversation.ts";
import { asks, errorOf, field, idsOf, ok, onlineWanting, owns, publish, sent, start, told } from "./pubsub-talk.ts";

let talk: Conversation;
let alice: Person;

beforeEach(async () => {
  talk = await start({ modules: [privateStorage, vcard] });
  alice = await onlineWanting(talk, "alice@localhost/new", ns.bookmarks, ns.avatarMetadata);
});
afterEach(() => talk.stop());

const bookmarkOptions = [
  field("access_model", "whitelist"),
  field("persist_items", "true"),
  field("max_items", "max"),
  field("send_last_published_item", "never"),
];
const conference = (inside: string, attributes = "") =>
  `<conference xmlns='${ns.bookmarks}'${attributes}>${inside}</conference>`;
const store = (inside: string) =>
  sent(alice, "set", `<query xmlns='${ns.private}'><storage xmlns='${ns.bookmarkStorage}'>${inside}</storage></query>`);
const stored = async () =>
  ok(await sent(alice, "get", `<query xmlns='${ns.private}'><storage xmlns='${ns.bookmarkStorage}'/></query>`))
    .child("query", ns.private)!
    .child("storage", ns.bookmarkStorage)!
    .toXml(ns.bookmarkStorage);
const items = async () => {
  const answer = ok(await asks(alice, "get", `<items node='${ns.bookmarks}'/>`));
  return answer
    .child("pubsub", ns.pubsub)!
    .child("items")!
    .elements()
    .map((one) => one.toXml(ns.pubsub));
};
const features = async () => {
  const info = ok(await sent(alice, "get", `<query xmlns='${ns.discoInfo}'/>`, "alice@localhost")).child(
    "query",
    ns.discoInfo,
  )!;
  return info.childrenNamed("feature").map((one) => one.attr("var"));
};

describe("bookmarks", () => {
  test("the account says that both forms are one", async () => {
    expect(await features()).toContain(`${ns.bookmarks}#compat`);
  });

  test("what old clients have stored before is there for new ones, and for nobody else", async () => {
    ok(await store(""));
    ok(
      await sent(
        alice,
        "set",
        `<query xmlns='${ns.private}'><storage xmlns='${ns.bookmarkStorage}'><url name='u' url='https://x'/></storage></query>`,
      ),
    );
    expect(errorOf(await asks(alice, "get", `<items node='${ns.bookmarks}'/>`))).toBe("item-not-found");
    ok(
      await store(
        "<conference jid='r@c' name='R' autojoin='1'><nick>al</nick></conference><url name='u' url='https://x'/>",
      ),
    );
    expect(await items()).toEqual([
      `<item id='r@c'>${conference("<nick>al</nick>", " name='R' autojoin='true'")}</item>`,
    ]);
    const bob = await onlineWanting(talk, "bob@localhost/x");
    expect(errorOf(await asks(bob, "get", `<items node='${ns.bookmarks}'/>`, "alice@localhost"))).toBe(
      "not-allowed closed-node",
    );
    expect(await stored()).toBe(
      "<storage><conference name='R' autojoin='true' jid='r@c'><nick>al</nick></conference><url name='u' url='https://x'/></storage>",
    );
  });

  test("what was stored while there was no publish-subscribe is taken over when asked for", async () => {
    await talk.store.db
      .insertInto("private_storage")
      .values({
        server: "localhost",
        username: "alice",
        element: `storage ${ns.bookmarkStorage}`,
        data: `<storage xmlns='${ns.bookmarkStorage}'><conference jid='r@c'/></storage>`,
        created_at: 0,
      })
      .execute();
    expect(await items()).toEqual([`<item id='r@c'>${conference("").replace("></conference>", "/>")}</item>`]);
  });

  test("an old client's changes are told to new ones, one by one, and keep what only those know", async () => {
    const extensions = "<extensions><pin xmlns='urn:example:pin'/></extensions>";
    ok(
      await asks(
        alice,
        "set",
        publish(ns.bookmarks, `<item id='a@c'>${conference(extensions, " name='A'")}</item>`, ...bookmarkOptions),
      ),
    );
    ok(
      await asks(
        alice,
        "set",
        publish(ns.bookmarks, `<item id='b@c'>${conference("", " name='B'")}</item>`, ...bookmarkOptions),
      ),
    );
    await told(alice);
    expect(await stored()).toBe("<storage><conference name='A' jid='a@c'/><conference name='B' jid='b@c'/></storage>");
    ok(await store("<conference jid='a@c' name='A2'/><conference jid='c@c'/>"));
    expect(await told(alice)).toEqual([
      `${ns.bookmarks} item a@c`,
      `${ns.bookmarks} item c@c`,
      `${ns.bookmarks} retract b@c`,
    ]);
    expect(await items()).toContain(`<item id='a@c'>${conference(extensions, " name='A2'")}</item>`);
    ok(await store("<conference jid='a@c' name='A2'/><conference jid='c@c'/>"));
    expect(await told(alice)).toEqual([]);
    ok(await asks(alice, "set", `<retract node='${ns.bookmarks}'><item id='a@c'/></retract>`));
    expect(await stored()).toBe("<storage><conference jid='c@c'/></storage>");
  });
});

describe("avatars", () => {
  const base64 = Buffer.from("a picture").toString("base64");
  const hash = createHash("sha1").update("a picture").digest("hex");
  const data = `<item id='${hash}'><data xmlns='${ns.avatarData}'>${base64}</data></item>`;
  const metadata = (info: string) =>
    `<item id='${hash}'><metadata xmlns='${ns.avatarMetadata}'>${info}</metadata></item>`;
  const info = `<info id='${hash}' type='image/gif' bytes='9'/>`;
  const open = field("access_model", "open");
  const card = () => sent(alice, "get", `<vCard xmlns='${ns.vcard}'/>`);
  const photo = async () =>
    ok(await card())
      .child("vCard", ns.vcard)!
      .child("PHOTO");

  test("the account says that it converts", async () => {
    expect(await features()).toContain(ns.avatarConversion);
  });

  test("a published picture becomes that of the vCard, which keeps the rest, and of presence", async () => {
    ok(await sent(alice, "set", `<vCard xmlns='${ns.vcard}'><FN>Alice</FN></vCard>`));
    ok(await asks(alice, "set", publish(ns.avatarData, data, open)));
    ok(await asks(alice, "set", publish(ns.avatarMetadata, metadata(info), open)));
    const vCard = ok(await card()).child("vCard", ns.vcard)!;
    expect(vCard.childText("FN")).toBe("Alice");
    expect(vCard.child("PHOTO")!.childText("TYPE")).toBe("image/gif");
    expect(vCard.child("PHOTO")!.childText("BINVAL")).toBe(base64);
    await alice.sends("<presence/>");
    const presence = (await alice.takes()).find((stanza) => stanza.name === "presence")!;
    expect(presence.child("x", ns.vcardUpdate)!.childText("photo")).toBe(hash);
    ok(await asks(alice, "set", publish(ns.avatarMetadata, metadata(""))));
    expect(await photo()).toBeUndefined();
    expect(
      ok(await card())
        .child("vCard", ns.vcard)!
        .childText("FN"),
    ).toBe("Alice");
  });

  test("one that not everybody may see does not, nor one that is not what it is called", async () => {
    ok(await asks(alice, "set", publish(ns.avatarData, data)));
    ok(await asks(alice, "set", publish(ns.avatarMetadata, metadata(info))));
    expect(errorOf(await card())).toBe("item-not-found");
    ok(await owns(alice, "set", `<delete node='${ns.avatarData}'/>`));
    const forged = `<item id='${hash}'><data xmlns='${ns.avatarData}'>${Buffer.from("another").toString("base64")}</data></item>`;
    ok(await asks(alice, "set", publish(ns.avatarData, forged, open)));
    ok(await asks(alice, "set", publish(ns.avatarMetadata, metadata(info))));
    expect(errorOf(await card())).toBe("item-not-found");
  });

  test("a picture in the vCard is published, once, and goes with it", async () => {
    const set = (inside: string) => sent(alice, "set", `<vCard xmlns='${ns.vcard}'>${inside}</vCard>`);
    const picture = `<PHOTO><TYPE>image/gif</TYPE><BINVAL>\n${base64.slice(0, 4)}\n${base64.slice(4)}</BINVAL></PHOTO>`;
    ok(await set(picture));
    expect(await told(alice)).toEqual([`${ns.avatarMetadata} item ${hash}`]);
    expect(idsOf(await asks(alice, "get", `<items node='${ns.avatarData}'/>`))).toEqual([hash]);
    const said = ok(await asks(alice, "get", `<items node='${ns.avatarMetadata}'/>`))
      .child("pubsub", ns.pubsub)!
      .child("items")!
      .child("item")!;
    expect(said.child("metadata", ns.avatarMetadata)!.child("info")!.toXml(ns.avatarMetadata)).toBe(
      `<info id='${hash}' type='image/gif' bytes='9'/>`,
    );
    ok(await set(`<FN>Alice</FN>${picture}`));
    expect(await told(alice)).toEqual([]);
    ok(await set("<FN>Alice</FN>"));
    expect((await told(alice)).length).toBe(1);
    const now = ok(await asks(alice, "get", `<items node='${ns.avatarMetadata}' max_items='1'/>`))
      .child("pubsub", ns.pubsub)!
      .child("items")!
      .child("item")!;
    expect(now.child("metadata", ns.avatarMetadata)!.elements()).toEqual([]);
  });
});

describe("keys of OMEMO", () => {
  test("are published open, several devices in one node, and read by everybody", async () => {
    const options = [open("access_model"), field("max_items", "max")];
    function open(name: string) {
      return field(name, "open");
    }
    for (const device of ["1", "2"]) {
      const bundle = `<item id='${device}'><bundle xmlns='urn:xmpp:omemo:2'/></item>`;
      ok(await asks(alice, "set", publish("urn:xmpp:omemo:2:bundles", bundle, ...options)));
    }
    const bob = await onlineWanting(talk, "bob@localhost/x");
    const read = await asks(
      bob,
      "get",
      "<items node='urn:xmpp:omemo:2:bundles'><item id='2'/></items>",
      "alice@localhost",
    );
    expect(idsOf(read)).toEqual(["2"]);
  });
});
