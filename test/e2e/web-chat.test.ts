/** The web chat as people see it: the real server, the real page, two browsers (Chromium through playwright-core). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { hills } from "../support/pictures.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { hasChromium, launchChromium, Person } from "../support/web-chat.ts";

const withChromium = test.skipIf(!hasChromium);
const testTimeoutMs = 60_000;

const modules = ["roster", "presence", "disco", "carboncopy", "csi", "stream_management", "offline", "vcard", "ping"]
  .map((name) => `[modules.mod_${name}]`)
  .join("\n");

let browser: Browser;
/** Strangers may open accounts. */
let open: TestServer;
/** Only the operator makes accounts, and there is no blocking. */
let closed: TestServer;

beforeAll(async () => {
  if (!hasChromium) return;
  [browser, open, closed] = await Promise.all([
    launchChromium(),
    startServer({
      // Both people sit at one address.
      general: "registration_timeout = 0",
      modules: `${modules}\n[modules.mod_blocking]\n[modules.mod_register]\n[modules.mod_muc]\n[modules.mod_http_upload]`,
    }),
    startServer({ modules }),
  ]);
}, testTimeoutMs);

afterAll(async () => {
  await browser?.close();
  await Promise.all([open?.stop(), closed?.stop()]);
}, testTimeoutMs);

withChromium(
  "two people register, add each other and chat in both directions",
  async () => {
    const alice = await Person.at(open, browser);
    const bob = await Person.at(open, browser);
    await Promise.all([alice.register("alice", "correct horse"), bob.register("bob", "battery staple")]);

    await alice.addContact("bob@localhost");
    await bob.acceptRequestOf("alice@localhost");
    // Each asked for the other's presence, each allowed it.
    await alice.seesOnline("bob@localhost");
    await bob.seesOnline("alice@localhost");

    await alice.openChatWith("bob@localhost");
    await bob.openChatWith("alice@localhost");
    await alice.says("Hello Bob, how are you?");
    await alice.reads("Hello Bob, how are you?");
    await bob.reads("Hello Bob, how are you?");
    await bob.says("Very well, thank you.");
    await alice.reads("Very well, thank you.");
    await alice.says("Lunch at noon?");
    await bob.reads("Lunch at noon?");
    await bob.says("Gladly. See you there!");
    await alice.reads("Gladly. See you there!");

    for (const person of [alice, bob]) {
      expect(person.problems).toEqual([]);
      expect(person.foreign).toEqual([]);
      await person.context.close();
    }
  },
  testTimeoutMs,
);

withChromium(
  "a picture that one person sends is uploaded, and both see it",
  async () => {
    await Promise.all([open.register("kim"), open.register("lou")]);
    const [kim, lou] = await Promise.all([Person.at(open, browser), Person.at(open, browser)]);
    await Promise.all([kim.logIn("kim", "secret"), lou.logIn("lou", "secret")]);
    await kim.addContact("lou@localhost");
    await lou.acceptRequestOf("kim@localhost");
    await kim.seesOnline("lou@localhost");
    await lou.openChatWith("kim@localhost");
    await kim.uploads("Blue hills.png", "image/png", hills());
    const [sent, received] = await Promise.all([kim.seesPicture(), lou.seesPicture()]);
    expect(received).toEqual(sent);
    expect(received).toMatchObject({ width: 320, height: 200 });
    expect(received.source).toMatch(/^http:\/\/localhost:\d+\/upload\/[^/]+\/Blue%20hills\.png$/);
    for (const person of [kim, lou]) {
      expect(person.problems).toEqual([]);
      await person.context.close();
    }
  },
  testTimeoutMs,
);

withChromium(
  "a page loaded anew is still logged in, has the messages, and sends and receives",
  async () => {
    await Promise.all([closed.register("frank"), closed.register("grace")]);
    const [frank, grace] = await Promise.all([Person.at(closed, browser), Person.at(closed, browser)]);
    await Promise.all([frank.logIn("frank", "secret"), grace.logIn("grace", "secret")]);
    await frank.addContact("grace@localhost");
    await grace.acceptRequestOf("frank@localhost");
    await frank.seesOnline("grace@localhost");
    await frank.says("Before");
    await grace.openChatWith("frank@localhost");
    await grace.reads("Before");
    await grace.hasKept("Before");

    await grace.page.reload();
    await grace.page.locator("converse-user-profile").waitFor();
    await grace.openChatWith("frank@localhost");
    await grace.reads("Before");
    await frank.says("After");
    await grace.reads("After");
    await grace.says("Still here");
    await frank.reads("Still here");
    for (const person of [frank, grace]) {
      expect(person.problems).toEqual([]);
      await person.context.close();
    }
  },
  testTimeoutMs,
);

withChromium(
  "a message sent while the other is away is there when they come back",
  async () => {
    await Promise.all([closed.register("carol"), closed.register("dave")]);
    const carol = await Person.at(closed, browser);
    await carol.logIn("carol", "secret");
    await carol.addContact("dave@localhost");
    await carol.says("Read <this> & smile when you are back 👋🏽");
    await carol.reads("Read <this> & smile when you are back 👋🏽");

    const dave = await Person.at(closed, browser);
    await dave.logIn("dave", "secret");
    await dave.openChatWith("carol@localhost");
    await dave.reads("Read <this> & smile when you are back 👋🏽");
    for (const person of [carol, dave]) await person.context.close();
  },
  testTimeoutMs,
);

withChromium(
  "where registration is off there is no way to it, and a wrong password is said to be wrong",
  async () => {
    await closed.register("erin");
    const erin = await Person.at(closed, browser);
    expect(await erin.page.getByText("Create an account").count()).toBe(0);
    await erin.submitLogin("erin", "not secret");
    await erin.page.locator(".conn-feedback", { hasText: /password/i }).waitFor();
    await erin.logIn("erin", "secret");
    expect(erin.foreign).toEqual([]);
    await erin.context.close();
  },
  testTimeoutMs,
);

withChromium(
  "two people meet in a room, and one who comes later reads what was said",
  async () => {
    await Promise.all(["heidi", "ivan", "judy"].map((name) => open.register(name)));
    const [heidi, ivan] = await Promise.all([Person.at(open, browser), Person.at(open, browser)]);
    await Promise.all([heidi.logIn("heidi", "secret"), ivan.logIn("ivan", "secret")]);
    await heidi.entersRoom("den@conference.localhost");
    await heidi.saysInRoom("Anybody here?");
    await heidi.readsInRoom("Anybody here?");
    await ivan.entersRoom("den@conference.localhost");
    await ivan.readsInRoom("Anybody here?");
    await heidi.seesOccupant("ivan");
    await ivan.saysInRoom("I am & <you>?");
    await heidi.readsInRoom("I am & <you>?");
    const judy = await Person.at(open, browser);
    await judy.logIn("judy", "secret");
    await judy.entersRoom("den@conference.localhost");
    await judy.readsInRoom("I am & <you>?");
    await judy.seesOccupant("heidi");
    for (const person of [heidi, ivan, judy]) {
      expect(person.problems).toEqual([]);
      expect(person.foreign).toEqual([]);
      await person.context.close();
    }
  },
  testTimeoutMs,
);
