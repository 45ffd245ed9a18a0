/** The web chat in tests: Chromium through playwright-core, and people who use the page as people do. */
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { eventually } from "./eventually.ts";
import type { TestServer } from "./server.ts";

const executablePath = process.env.MEERKAT_CHROMIUM ?? "/usr/bin/chromium";
/** Long enough for three browsers on a busy machine. */
const patienceMs = 25_000;

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const hasChromium = existsSync(executablePath);

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath, headless: true, args: flags });
}

/** A person in front of a browser of their own. */
export class Person {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What went wrong in the page: exceptions, breaches of its policy, files that are missing. */
  readonly problems: string[] = [];
  /** Pages that it asked archives for. */
  archivePages = 0;
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
      socket.on("framesent", ({ payload }) => {
        if (/<query [^>]*xmlns="urn:xmpp:mam:2"/.test(String(payload))) this.archivePages++;
      });
      if (!socket.url().startsWith(origin.replace(/^http/, "ws"))) this.foreign.push(socket.url());
    });
  }

  /** `prepare` sees the page before it is opened. */
  static async at(server: TestServer, browser: Browser, prepare?: (page: Page) => Promise<void>): Promise<Person> {
    const context = await browser.newContext({ locale: "en-US", viewport: { width: 1100, height: 680 } });
    const origin = `http://localhost:${server.httpPort}`;
    const person = new Person(context, await context.newPage(), origin);
    await prepare?.(person.page);
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
    return picture.evaluate(async (element) => {
      const image = element as unknown as {
        decode: () => Promise<void>;
        naturalWidth: number;
        naturalHeight: number;
        src: string;
      };
      await image.decode();
      return { width: image.naturalWidth, height: image.naturalHeight, source: image.src };
    });
  }

  /** The page shows a message before it has stored it; without an archive, a reload in between loses it. */
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

  /** Loads the page anew, in the same browser. */
  async reloads(): Promise<void> {
    await this.page.reload();
    await this.page.locator("converse-user-profile").waitFor();
  }

  async logOut(): Promise<void> {
    await this.page.locator("converse-user-profile .show-profile").click();
    await this.page.locator("converse-profile-modal .modal-footer .btn-danger").click();
    await this.page.locator("converse-confirm-modal button[type=submit]").click();
    await this.page.locator("#converse-login").waitFor();
  }

  /** What the open chat or room shows, from the top; of a long history that is a part. */
  messages(): Promise<string[]> {
    return this.page.locator("converse-chat .chat-msg__text, converse-muc .chat-msg__text").allInnerTexts();
  }

  /** Scrolls to the top of the open chat or room until this is the first message. */
  async scrollsUpTo(text: string): Promise<void> {
    const exactly = new RegExp(`^${text}$`);
    await this.page.locator(".chat-content__messages:visible").hover();
    await eventually(patienceMs, async () => {
      await this.page.mouse.wheel(0, -20_000);
      if (!exactly.test((await this.messages())[0] ?? "")) throw new Error(`'${text}' is not the first message`);
    });
  }

  /** Sets the picture of one's own account, and the name. */
  async setsPicture(picture: Buffer, name = ""): Promise<void> {
    await this.page.locator("converse-user-profile .show-profile").click();
    await this.page.locator("converse-profile-modal input[name=fn]").fill(name);
    await this.#picksPicture("converse-profile-modal", picture);
  }

  /** Sets the picture of the open room, as its owner. */
  async setsPictureOfRoom(picture: Buffer): Promise<void> {
    await this.page.locator("converse-muc-heading converse-dropdown button").first().click();
    await this.page.locator("converse-muc-heading .configure-chatroom-button").click();
    await this.#picksPicture("converse-muc-config-modal", picture);
  }

  async #picksPicture(modal: string, picture: Buffer): Promise<void> {
    const form = this.page.locator(`${modal} form`, { has: this.page.locator("converse-image-picker") });
    const [dialogue] = await Promise.all([
      this.page.waitForEvent("filechooser"),
      form.locator(".change-avatar").click(),
    ]);
    await dialogue.setFiles({ name: "me.png", mimeType: "image/png", buffer: picture });
    await form.locator("converse-image-picker image").waitFor();
    await form.locator("[type=submit]").click();
    await form.waitFor({ state: "hidden" });
  }

  /** Waits until this part of the page shows a picture, not initials; resolves to the picture's colour in the middle. */
  async pictureIn(part: Locator): Promise<readonly number[]> {
    const image = part.locator("converse-avatar image").first();
    await image.waitFor();
    const source = (await image.getAttribute("href")) ?? "";
    return (await this.page.evaluate(
      `(async () => {
        const image = new Image();
        image.src = ${JSON.stringify(source)};
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.width, image.height];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return [...context.getImageData(image.width / 2, image.height / 2, 1, 1).data].slice(0, 3);
      })()`,
    )) as number[];
  }

  /** Invites somebody into the open room. */
  async invites(address: string): Promise<void> {
    await this.page.locator("converse-muc-sidebar converse-dropdown button").first().click();
    await this.page.locator("converse-muc-sidebar .open-invite-modal").click();
    const form = this.page.locator("converse-muc-invite-modal form");
    await form.locator("input[name=invitee_jids]").fill(address);
    await form.locator("input[type=submit]").click();
    await form.waitFor({ state: "hidden" });
  }

  /** Says yes to the invitation that the page shows. */
  async acceptsInvitation(): Promise<void> {
    await this.page.locator("converse-confirm-modal button[type=submit]").click();
    await this.page.locator("converse-muc textarea").waitFor();
  }

  roomInList(address: string): Locator {
    return this.page.locator(`.available-chatroom[data-room-jid="${address}"]`);
  }

  contactInList(address: string): Locator {
    return this.page.locator("#converse-roster .list-item", { has: this.page.locator(`[data-jid="${address}"]`) });
  }

  /** Opens a room that is in the list already. */
  async opensRoom(address: string): Promise<void> {
    await this.roomInList(address).locator(".open-room").click();
    await this.page.locator("converse-muc textarea").waitFor();
  }

  /** Nothing went wrong in the page, and it asked nobody but the server. */
  async closes(): Promise<void> {
    expect(this.problems).toEqual([]);
    expect(this.foreign).toEqual([]);
    await this.context.close();
  }
}
