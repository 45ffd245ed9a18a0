/** The web chat as people see it: the real server, the real page, two browsers (Chromium through playwright-core). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { pngOf } from "../support/png.ts";
import { startServer, type TestServer } from "../support/server.ts";

const executablePath = process.env.MEERKAT_CHROMIUM ?? "/usr/bin/chromium";
const withChromium = test.skipIf(!existsSync(executablePath));
/** Where the README's picture goes; taken only when asked for, because it differs from run to run. */
const screenshot = fileURLToPath(new URL("../../docs/images/web-chat.png", import.meta.url));
const patienceMs = 15_000;
const testTimeoutMs = 60_000;

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const modules = ["roster", "presence", "disco", "carboncopy", "csi", "stream_management", "offline", "vcard", "ping"]
  .map((name) => `[modules.mod_${name}]`)
  .join("\n");

/** Hills under a sky. */
const picture = pngOf(320, 200, (x, y) =>
  y > 120 + 30 * Math.sin(x / 40) ? [60, 110, 90] : y > 90 + 20 * Math.cos(x / 60) ? [70, 100, 160] : [180, 210, 250],
);

let browser: Browser;
/** Strangers may open accounts. */
let open: TestServer;
/** Only the operator makes accounts, and there is no blocking. */
let closed: TestServer;

beforeAll(async () => {
  if (!existsSync(executablePath)) return;
  [browser, open, closed] = await Promise.all([
    chromium.launch({ executablePath, headless: true, args: flags }),
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

/** A person in front of a browser of their own. */
class Person {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What went wrong in the page: exceptions, breaches of its policy, files that are missing. */
  readonly problems: string[] = [];
  /** Requests to anything but the server. */
  readonly foreign: string[] = [];

  private constructor(context: BrowserContext, page: Page, origin: string) {
    this.context = context;
    this.page = page;
    page.setDefaultTimeout(patienceMs);
    page.on("pageerror", (error) => this.problems.push(`exception: ${error.message}`));
    page.on("console", (message) => {
      // Converse also logs error stanzas there, such as the answer to its question for PEP, which is no problem.
      if (message.type() === "error" && !message.text().startsWith("<iq"))
        this.problems.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) this.foreign.push(url);
    });
    page.on("websocket", (socket) => {
      if (!socket.url().startsWith(origin.replace(/^http/, "ws"))) this.foreign.push(socket.url());
    });
  }

  static async at(server: TestServer): Promise<Person> {
    const context = await browser.newContext({ locale: "en-US", viewport: { width: 1100, height: 680 } });
    const origin = `http://localhost:${server.httpPort}`;
    const person = new Person(context, await context.newPage(), origin);
    await person.page.goto(`${origin}/chat`);
    await person.page.locator("#converse-login").waitFor();
    return person;
  }

  async register(username: string, password: string): Promise<void> {
    await this.page.getByText("Create an account").click();
    const form = this.page.locator("#converse-register");
    await form.locator("input[name=username]").fill(username);
    await form.locator("input[name=password]").fill(password);
    await form.locator("input[type=submit]").click();
    await this.page.locator("converse-user-profile").waitFor();
  }

  async submitLogin(username: string, password: string): Promise<void> {
    const form = this.page.locator("#converse-login");
    await form.locator("input[name=jid]").fill(username);
    await form.locator("input[name=password]").fill(password);
    await form.locator("button[type=submit]").click();
  }

  async logIn(username: string, password: string): Promise<void> {
    await this.submitLogin(username, password);
    await this.page.locator("converse-user-profile").waitFor();
  }

  async addContact(address: string): Promise<void> {
    await this.page.locator(".dropdown--contacts button").click();
    await this.page.locator(".add-contact").click();
    const form = this.page.locator("converse-add-contact-modal form");
    await form.locator("input[name=jid]").fill(address);
    await form.locator("button[type=submit]").click();
    await form.waitFor({ state: "hidden" });
  }

  async acceptRequestOf(address: string): Promise<void> {
    const request = this.page.locator("converse-roster-contact", { has: this.page.locator(`[data-jid="${address}"]`) });
    await request.locator(".contact-actions button").click();
    await request.locator(".accept-xmpp-request").click();
    const form = this.page.locator("converse-accept-contact-request-modal form");
    await form.locator("button[type=submit]").click();
    await form.waitFor({ state: "hidden" });
  }

  /** Waits until the list of contacts shows this one as there. */
  async seesOnline(address: string): Promise<void> {
    const contact = this.page.locator(".list-item[data-status=online]", {
      has: this.page.locator(`[data-jid="${address}"]`),
    });
    await contact.waitFor();
  }

  async openChatWith(address: string): Promise<void> {
    await this.page.locator(`#converse-roster [data-jid="${address}"]`).first().click();
    await this.page.locator("converse-chat textarea").waitFor();
  }

  async says(text: string): Promise<void> {
    const box = this.page.locator("converse-chat textarea");
    await box.fill(text);
    await box.press("Enter");
  }

  /** Picks a file for the open chat, as from the dialogue of the browser. */
  async uploads(name: string, type: string, content: Buffer): Promise<void> {
    const [dialogue] = await Promise.all([
      this.page.waitForEvent("filechooser"),
      this.page.getByTitle("Choose a file to send").click(),
    ]);
    await dialogue.setFiles({ name, mimeType: type, buffer: content });
  }

  /** Waits until a picture of the chat is shown; resolves to its size in pixels of its own. */
  async seesPicture(): Promise<{ width: number; height: number; source: string }> {
    const picture = this.page.locator("converse-chat .chat-msg img.chat-image").first();
    await picture.waitFor();
    return picture.evaluate(async (image) => {
      const { decode, naturalWidth, naturalHeight, src } = image as unknown as {
        decode: () => Promise<void>;
        naturalWidth: number;
        naturalHeight: number;
        src: string;
      };
      await decode.call(image);
      return { width: naturalWidth, height: naturalHeight, source: src };
    });
  }

  /** The page shows a message before it has stored it; a reload in between would lose it, there being no archive yet. */
  async hasKept(text: string): Promise<void> {
    await this.page.waitForFunction(
      `(async () => {
        const text = ${JSON.stringify(text)};
        const answer = (request) => new Promise((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(request.error);
        });
        for (const storage of [sessionStorage, localStorage]) {
          if (Object.values(storage).some((value) => value.includes(text))) return true;
        }
        for (const { name } of await indexedDB.databases()) {
          const database = await answer(indexedDB.open(name));
          for (const store of database.objectStoreNames) {
            const all = await answer(database.transaction(store).objectStore(store).getAll());
            if (JSON.stringify(all).includes(text)) { database.close(); return true; }
          }
          database.close();
        }
        return false;
      })()`,
    );
  }

  async reads(text: string): Promise<void> {
    await this.page.locator("converse-chat .chat-msg__text", { hasText: text }).waitFor();
  }

  /** Enters a room by its address, making it if it is not there. */
  async entersRoom(address: string): Promise<void> {
    await this.page.locator("#chatrooms converse-dropdown button").click();
    await this.page.locator(".show-add-muc-modal").click();
    const form = this.page.locator("converse-add-muc-modal form");
    await form.locator("input[name=chatroom]").fill(address);
    await form.locator("input[name=join]").click();
    await this.page.locator("converse-muc textarea").waitFor();
  }

  async saysInRoom(text: string): Promise<void> {
    const box = this.page.locator("converse-muc textarea");
    await box.fill(text);
    await box.press("Enter");
  }

  async readsInRoom(text: string): Promise<void> {
    await this.page.locator("converse-muc .chat-msg__text", { hasText: text }).waitFor();
  }

  /** Waits until the room's list of occupants shows this nickname. */
  async seesOccupant(nick: string): Promise<void> {
    await this.page
      .locator("converse-muc .occupant-list, converse-muc .occupants-list", { hasText: nick })
      .first()
      .waitFor();
  }
}

withChromium(
  "two people register, add each other and chat in both directions",
  async () => {
    const alice = await Person.at(open);
    const bob = await Person.at(open);
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

    if (process.env.MEERKAT_SCREENSHOT === "1") {
      mkdirSync(dirname(screenshot), { recursive: true });
      await alice.page.locator("converse-toast button").first().click();
      await alice.page.screenshot({ path: screenshot });
    }
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
    const [kim, lou] = await Promise.all([Person.at(open), Person.at(open)]);
    await Promise.all([kim.logIn("kim", "secret"), lou.logIn("lou", "secret")]);
    await kim.addContact("lou@localhost");
    await lou.acceptRequestOf("kim@localhost");
    await kim.seesOnline("lou@localhost");
    await lou.openChatWith("kim@localhost");
    await kim.uploads("Blue hills.png", "image/png", picture);
    const [sent, received] = await Promise.all([kim.seesPicture(), lou.seesPicture()]);
    expect(received).toEqual(sent);
    expect(received).toMatchObject({ width: 320, height: 200 });
    expect(received.source).toMatch(/^http:\/\/localhost:\d+\/upload\/[^/]+\/Blue%20hills\.png$/);
    if (process.env.MEERKAT_SCREENSHOT !== undefined) {
      await lou.page.screenshot({
        path: process.env.MEERKAT_SCREENSHOT_UPLOAD ?? join(tmpdir(), "meerkat-upload.png"),
      });
    }
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
    const [frank, grace] = await Promise.all([Person.at(closed), Person.at(closed)]);
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
    const carol = await Person.at(closed);
    await carol.logIn("carol", "secret");
    await carol.addContact("dave@localhost");
    await carol.says("Read <this> & smile when you are back 👋🏽");
    await carol.reads("Read <this> & smile when you are back 👋🏽");

    const dave = await Person.at(closed);
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
    const erin = await Person.at(closed);
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
    const [heidi, ivan] = await Promise.all([Person.at(open), Person.at(open)]);
    await Promise.all([heidi.logIn("heidi", "secret"), ivan.logIn("ivan", "secret")]);
    await heidi.entersRoom("den@conference.localhost");
    await heidi.saysInRoom("Anybody here?");
    await heidi.readsInRoom("Anybody here?");
    await ivan.entersRoom("den@conference.localhost");
    await ivan.readsInRoom("Anybody here?");
    await heidi.seesOccupant("ivan");
    await ivan.saysInRoom("I am & <you>?");
    await heidi.readsInRoom("I am & <you>?");
    const judy = await Person.at(open);
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
