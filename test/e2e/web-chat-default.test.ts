/** The web chat with the configuration that `npm start` uses: history, rooms and pictures, in Chromium. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { xml } from "@xmpp/client";
import type { Browser } from "playwright-core";
import { hills, plain, portrait, soup } from "../support/pictures.ts";
import { defaultConfig, startServer, type TestServer } from "../support/server.ts";
import { hasChromium, launchChromium, Person } from "../support/web-chat.ts";
import { XmppJs } from "../support/xmpp-js.ts";

const withChromium = test.skipIf(!hasChromium);
const testTimeoutMs = 60_000;

let browser: Browser;
let server: TestServer;

beforeAll(async () => {
  if (!hasChromium) return;
  [browser, server] = await Promise.all([launchChromium(), startServer({ config: defaultConfig(), alone: true })]);
}, testTimeoutMs);

afterAll(async () => {
  await browser?.close();
  await server?.stop();
}, testTimeoutMs);

const green = [30, 150, 70] as const;
const purple = [130, 50, 160] as const;

/** Browsers that encode a picture anew change colours a little. */
function expectColour(found: readonly number[], wanted: readonly number[]): void {
  for (const [index, value] of wanted.entries()) expect(Math.abs(found[index]! - value)).toBeLessThan(12);
}

async function anotherClient(username: string): Promise<XmppJs> {
  const client = await new XmppJs({
    service: `xmpp://localhost:${server.c2sPort}`,
    username,
    password: "secret",
    resource: "elsewhere",
  }).start();
  await client.send(xml("presence"));
  return client;
}

async function loggedIn(username: string): Promise<Person> {
  const person = await Person.at(server, browser);
  await person.logIn(username, "secret");
  return person;
}

/** Two people who see each other. */
async function acquainted(one: string, other: string): Promise<[Person, Person]> {
  await Promise.all([server.register(one), server.register(other)]);
  const pair = await Promise.all([loggedIn(one), loggedIn(other)]);
  await pair[0].addContact(`${other}@localhost`);
  await pair[1].acceptRequestOf(`${one}@localhost`);
  await pair[0].seesOnline(`${other}@localhost`);
  return pair;
}

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}`);

withChromium(
  "what was said is there in a browser that was never used before, and older lines come on scrolling up",
  async () => {
    const [anna, ben] = await acquainted("anna", "ben");
    // 75 lines from another client of Ben's, which are more than a page of the archive.
    const elsewhere = await anotherClient("ben");
    for (const text of numbered(1, 75)) {
      await elsewhere.send(xml("message", { to: "anna@localhost", type: "chat" }, xml("body", {}, text)));
      await elsewhere.caughtUp();
      // Converse sorts by milliseconds, so no two lines may share one.
      const sent = Date.now();
      while (Date.now() === sent) await elsewhere.caughtUp();
    }
    await anna.openChatWith("ben@localhost");
    await anna.reads("line 75");
    await anna.says("That is a lot");
    await ben.openChatWith("anna@localhost");
    await ben.reads("That is a lot");
    // His page, too, has just learned of the chat, by 75 messages.
    expect(ben.archivePages).toBeGreaterThan(0);
    expect(ben.archivePages).toBeLessThan(10);

    const fresh = await loggedIn("anna");
    await fresh.openChatWith("ben@localhost");
    await fresh.reads("That is a lot");
    const everything = [...numbered(1, 75), "That is a lot"];
    const newest = await fresh.messages();
    expect(newest).toEqual(everything.slice(-newest.length));
    await fresh.scrollsUpTo("line 1");
    expect(await fresh.messages()).toEqual(everything);
    await fresh.reloads();
    await fresh.openChatWith("ben@localhost");
    await fresh.reads("That is a lot");
    await ben.says("Still here?");
    await fresh.reads("Still here?");
    await fresh.scrollsUpTo("line 1");
    expect(await fresh.messages()).toEqual([...everything, "Still here?"]);
    await elsewhere.stop();
    for (const person of [anna, ben, fresh]) await person.closes();
  },
  testTimeoutMs,
);

withChromium(
  "what came while away is there once, from the offline messages and the archive together",
  async () => {
    const [cleo, dora] = await acquainted("cleo", "dora");
    await cleo.says("Before");
    await dora.openChatWith("cleo@localhost");
    await dora.reads("Before");
    await dora.logOut();
    await cleo.says("While you were away");
    await cleo.says("And one more");
    await cleo.reads("And one more");
    // The same browser, which has what was said before, and another one.
    await dora.logIn("dora", "secret");
    const fresh = await loggedIn("dora");
    for (const browser of [dora, fresh]) {
      await browser.openChatWith("cleo@localhost");
      await browser.reads("And one more");
    }
    await cleo.says("Welcome back");
    for (const browser of [dora, fresh]) {
      await browser.reads("Welcome back");
      expect(await browser.messages()).toEqual(["Before", "While you were away", "And one more", "Welcome back"]);
      await browser.reloads();
      await browser.openChatWith("cleo@localhost");
      await browser.reads("Welcome back");
      expect(await browser.messages()).toEqual(["Before", "While you were away", "And one more", "Welcome back"]);
    }
    for (const person of [cleo, dora, fresh]) await person.closes();
  },
  testTimeoutMs,
);

withChromium(
  "a connection that breaks is made anew, and what was said meanwhile is there once",
  async () => {
    await Promise.all([server.register("lia"), server.register("max")]);
    const lia = await loggedIn("lia");
    let cut: () => Promise<void> = async () => {};
    let mend: () => void = () => {};
    let mended: Promise<void> = Promise.resolve();
    const max = await Person.at(server, browser, (page) =>
      page.routeWebSocket(/ws-xmpp/, async (socket) => {
        await mended;
        const upstream = socket.connectToServer();
        cut = async () => {
          mended = new Promise((resolve) => {
            mend = resolve;
          });
          await Promise.all([upstream.close(), socket.close({ code: 4000 })]);
        };
      }),
    );
    await max.logIn("max", "secret");
    await lia.addContact("max@localhost");
    await max.acceptRequestOf("lia@localhost");
    await lia.seesOnline("max@localhost");
    await max.openChatWith("lia@localhost");
    await lia.says("Can you hear me?");
    await max.reads("Can you hear me?");
    const broken = max.page.getByText("The connection is lost");
    expect(await broken.isVisible()).toBe(false);
    await cut();
    await lia.says("And now?");
    await lia.reads("And now?");
    await broken.waitFor();
    mend();
    await max.reads("And now?");
    await broken.waitFor({ state: "hidden" });
    await max.says("Yes");
    await lia.reads("Yes");
    expect(await max.messages()).toEqual(["Can you hear me?", "And now?", "Yes"]);
    await max.reloads();
    await max.openChatWith("lia@localhost");
    await max.reads("Yes");
    expect(await max.messages()).toEqual(["Can you hear me?", "And now?", "Yes"]);
    await Promise.all([lia.closes(), max.context.close()]);
  },
  testTimeoutMs,
);

withChromium(
  "a room: invited, both speak, and it is in the list with all that was said wherever one logs in",
  async () => {
    const address = "tea@conference.localhost";
    const [ella, finn] = await acquainted("ella", "finn");
    await ella.entersRoom(address);
    await ella.saysInRoom("Who is here?");
    await ella.readsInRoom("Who is here?");
    await ella.invites("finn@localhost");
    await finn.acceptsInvitation();
    await finn.readsInRoom("Who is here?");
    await Promise.all([ella.seesOccupant("finn"), finn.seesOccupant("ella")]);
    await finn.saysInRoom("I am");
    await ella.readsInRoom("I am");

    await finn.reloads();
    await finn.opensRoom(address);
    await finn.readsInRoom("I am");
    expect(await finn.messages()).toEqual(["Who is here?", "I am"]);

    // Nobody is left: the room, its bookmark and its archive stay.
    await finn.logOut();
    await ella.logOut();
    const fresh = await loggedIn("finn");
    await fresh.opensRoom(address);
    await fresh.readsInRoom("I am");
    expect(await fresh.messages()).toEqual(["Who is here?", "I am"]);
    await ella.logIn("ella", "secret");
    await ella.opensRoom(address);
    await fresh.seesOccupant("ella");
    await ella.saysInRoom("Good morning");
    await fresh.readsInRoom("Good morning");
    expect(await ella.messages()).toEqual(["Who is here?", "I am", "Good morning"]);
    for (const person of [ella, finn, fresh]) await person.closes();
  },
  testTimeoutMs,
);

withChromium(
  "pictures of a person and of a room are seen by others, next to what is said and in the lists",
  async () => {
    const address = "garden@conference.localhost";
    const [gina, hugo] = await acquainted("gina", "hugo");
    const elsewhere = await anotherClient("hugo");
    await gina.setsPicture(plain(green));
    expectColour(await gina.pictureIn(gina.page.locator("converse-user-profile")), green);
    expectColour(await hugo.pictureIn(hugo.contactInList("gina@localhost")), green);
    await hugo.openChatWith("gina@localhost");
    await gina.says("How do I look?");
    await hugo.reads("How do I look?");
    expectColour(await hugo.pictureIn(hugo.page.locator("converse-chat .chat-msg").first()), green);

    // Clients that know only pictures in personal nodes (XEP-0084) see it too, as XEP-0398 wants.
    const metadata = await elsewhere.request(
      xml(
        "iq",
        { type: "get", to: "gina@localhost" },
        xml(
          "pubsub",
          "http://jabber.org/protocol/pubsub",
          xml("items", { node: "urn:xmpp:avatar:metadata", max_items: "1" }),
        ),
      ),
    );
    const info = metadata.getChild("pubsub").getChild("items").getChild("item").getChild("metadata").getChild("info");
    expect(info.attrs.id).toMatch(/^[0-9a-f]{40}$/);
    expect(info.attrs.type).toMatch(/^image\//);

    await gina.entersRoom(address);
    await gina.setsPictureOfRoom(plain(purple));
    await hugo.entersRoom(address);
    expectColour(await hugo.pictureIn(hugo.roomInList(address)), purple);
    await gina.saysInRoom("What a garden");
    await hugo.readsInRoom("What a garden");
    expectColour(await hugo.pictureIn(hugo.page.locator("converse-muc .chat-msg").first()), green);

    const fresh = await loggedIn("hugo");
    expectColour(await fresh.pictureIn(fresh.contactInList("gina@localhost")), green);
    expectColour(await fresh.pictureIn(fresh.roomInList(address)), purple);
    await elsewhere.stop();
    for (const person of [gina, hugo, fresh]) await person.closes();
  },
  testTimeoutMs,
);

/** The picture of the README and of docs/web-chat.md; taken only when asked for, because it differs from run to run. */
if (process.env.MEERKAT_SCREENSHOT === "1") {
  withChromium(
    "the picture of the README",
    async () => {
      const room = "lunch@conference.localhost";
      const [alice, bob] = await acquainted("alice", "bob");
      await alice.setsPicture(portrait([120, 170, 200], [214, 164, 108]), "Alice");
      await bob.setsPicture(portrait([216, 150, 120], [172, 122, 80]), "Bob");
      await bob.entersRoom(room);
      await bob.setsPictureOfRoom(soup());
      await alice.entersRoom(room);
      await alice.pictureIn(alice.roomInList(room));
      await alice.openChatWith("bob@localhost");
      await bob.openChatWith("alice@localhost");
      await alice.says("Hello Bob, back from the mountains?");
      await bob.reads("back from the mountains?");
      await bob.says("Since yesterday. This is what I saw in the morning:");
      await bob.uploads("Blue hills.png", "image/png", hills());
      await alice.seesPicture();
      await alice.says("Lovely! See you at noon, it is all in the room.");
      await alice.reads("See you at noon");
      await alice.pictureIn(alice.contactInList("bob@localhost"));
      for (const toast of await alice.page.locator("converse-toast button").all()) await toast.click();
      await alice.page.locator("converse-toast").first().waitFor({ state: "hidden" });
      await alice.page.screenshot({
        path: fileURLToPath(new URL("../../docs/images/web-chat.png", import.meta.url)),
        animations: "disabled",
      });
    },
    testTimeoutMs,
  );
}
