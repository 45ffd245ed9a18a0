/** XEP-0363: what HTTP takes and gives back, and what it refuses. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Person } from "../support/conversation.ts";
import { filesBelow, UploadTalk } from "../support/upload-talk.ts";

let upload: UploadTalk;
let alice: Person;

beforeEach(async () => {
  upload = await UploadTalk.start({ max_file_size: 1_000_000 });
  alice = await upload.talk.login("alice@localhost/desk");
});
afterEach(() => upload.stop());

const folder = () => join(upload.folder, "uploads");

function chunked(...parts: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const next = parts.shift();
      if (next === undefined) controller.close();
      else if (next === "!") controller.error(new Error("the connection broke"));
      else controller.enqueue(new TextEncoder().encode(next));
    },
  });
}

describe("taking a file", () => {
  test("stores it whole, for everybody who knows the URL", async () => {
    const slot = await upload.slot(alice, "très cool.txt", 11, "text/plain");
    expect((await upload.get(slot.get)).status).toBe(404);
    const answer = await upload.put(slot.put, chunked("hello", " ", "world"), {
      "content-length": "11",
      "content-type": "text/plain",
    });
    expect(answer.status).toBe(201);
    const got = await upload.get(slot.get);
    expect([got.status, await got.text()]).toEqual([200, "hello world"]);
    expect(filesBelow(folder()).map((path) => readFileSync(path, "utf8"))).toEqual(["hello world"]);
  });

  test("is done once for each slot", async () => {
    const slot = await upload.slot(alice, "a.txt", 3);
    const [one, two] = await Promise.all([upload.put(slot.put, "one"), upload.put(slot.put, "two")]);
    expect([one.status, two.status].sort()).toEqual([201, 409]);
    expect((await upload.put(slot.put, "new")).status).toBe(409);
    expect(await (await upload.get(slot.get)).text()).toBe(one.status === 201 ? "one" : "two");
  });

  test("needs the URL of the slot, not that of the file", async () => {
    const slot = await upload.slot(alice, "a.txt", 3);
    for (const url of [slot.get, `${slot.get}?slot=`, `${slot.get}?slot=x`, `${slot.put}x`]) {
      expect((await upload.put(url, "abc")).status).toBe(403);
    }
    expect((await upload.put(slot.put, "abc")).status).toBe(201);
    for (const url of [slot.get, `${slot.get}?slot=`]) expect((await upload.put(url, "xyz")).status).toBe(409);
  });

  test("is over when the slot is", async () => {
    const slot = await upload.slot(alice, "a.txt", 3);
    await upload.talk.clock.leap(300_001);
    expect((await upload.put(slot.put, "abc")).status).toBe(409);
    expect(filesBelow(folder())).toEqual([]);
  });

  test("refuses another length than promised, said or sent", async () => {
    const slot = await upload.slot(alice, "a.txt", 5);
    expect((await upload.put(slot.put, "four")).status).toBe(400);
    expect((await upload.put(slot.put, "sixsix")).status).toBe(413);
    expect((await upload.put(slot.put, chunked("four"))).status).toBe(411);
    const lying = { "content-length": "5" };
    expect((await upload.put(slot.put, chunked("four"), lying)).status).toBe(400);
    expect((await upload.put(slot.put, chunked("six", "six", "and more"), lying)).status).toBe(400);
    for (const length of ["-5", "5.0", "0x5", "five", "5, 5", "1e1"]) {
      expect((await upload.put(slot.put, chunked("fives"), { "content-length": length })).status).not.toBe(201);
    }
    expect(filesBelow(folder())).toEqual([]);
    expect((await upload.get(slot.get)).status).toBe(404);
    // A slot is not used up by what was not taken.
    expect((await upload.put(slot.put, "fives")).status).toBe(201);
  });

  test("keeps nothing of an upload that broke, and takes it again", async () => {
    const slot = await upload.slot(alice, "a.txt", 10);
    expect((await upload.put(slot.put, chunked("12345", "!"), { "content-length": "10" })).status).toBe(400);
    expect(filesBelow(folder())).toEqual([]);
    expect((await upload.put(slot.put, "1234567890")).status).toBe(201);
  });

  test("refuses another type than promised", async () => {
    const slot = await upload.slot(alice, "a.png", 3, "image/png");
    expect((await upload.put(slot.put, "abc", { "content-type": "text/html" })).status).toBe(415);
    expect((await upload.put(slot.put, "abc", { "content-type": "IMAGE/PNG; q=1" })).status).toBe(201);
    const untyped = await upload.slot(alice, "b.png", 3);
    expect((await upload.put(untyped.put, "abc", { "content-type": "no type" })).status).toBe(400);
    expect((await upload.put(untyped.put, "abc", { "content-type": "image/gif" })).status).toBe(201);
    expect((await upload.get(untyped.get)).headers.get("content-type")).toBe("image/gif");
  });

  test("of an account that is removed meanwhile ends with nothing", async () => {
    const slot = await upload.slot(alice, "a.txt", 6);
    let goOn = () => {};
    const removed = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("abc"));
        await removed;
        controller.enqueue(new TextEncoder().encode("def"));
        controller.close();
      },
    });
    const answer = upload.put(slot.put, body, { "content-length": "6" });
    while (filesBelow(folder()).length === 0) await new Promise((resolve) => setImmediate(resolve));
    for (const handler of upload.talk.host.registry.accounts.removed) await handler(alice.session.account);
    goOn();
    expect((await answer).status).toBe(409);
    expect(filesBelow(folder())).toEqual([]);
  });
});

describe("many uploads at once", () => {
  /** One that has begun; `close` sends the rest, if any, and ends it. */
  async function begins(person: Person, size = 6) {
    const slot = await upload.slot(person, "a.txt", size);
    let feed: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        feed = controller;
        controller.enqueue(new TextEncoder().encode("abc"));
      },
    });
    const answer = upload.put(slot.put, body, { "content-length": String(size) });
    const sends = (text: string) => feed.enqueue(new TextEncoder().encode(text));
    return { slot, answer, sends, close: () => feed.close() };
  }

  const parts = () => filesBelow(folder()).length;
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  test("one account cannot keep all others out", async () => {
    const held = [];
    for (let number = 1; number <= 20; number++) {
      held.push(await begins(alice));
      while (parts() < number) await turn();
    }
    const slot = await upload.slot(alice, "one more.txt", 3);
    const refused = await upload.put(slot.put, "abc");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "10"]);
    const bob = await upload.talk.login("bob@localhost/desk");
    await upload.uploads(bob, "b.txt", "bob's");

    for (const { close } of held) close();
    for (const { answer } of held) expect((await answer).status).toBe(400);
    expect((await upload.put(slot.put, "abc")).status).toBe(201);
  });

  test("a byte now and then keeps no place for long", async () => {
    const slow = await begins(alice);
    while (parts() === 0) await turn();
    await upload.talk.clock.advance(70_000);
    slow.sends("d");
    expect((await slow.answer).status).toBe(400);
    expect(parts()).toBe(0);
  });
});

describe("giving a file", () => {
  test("takes HEAD, and says length, tag, dates", async () => {
    const url = await upload.uploads(alice, "a.txt", "0123456789", "text/plain");
    const head = await upload.get(url, {}, "HEAD");
    expect(head.status).toBe(200);
    expect(await head.text()).toBe("");
    const get = await upload.get(url);
    for (const name of ["content-length", "content-type", "etag", "last-modified", "accept-ranges", "cache-control"]) {
      expect(head.headers.get(name)).not.toBeNull();
      expect(head.headers.get(name)).toBe(get.headers.get(name));
    }
    expect(get.headers.get("content-length")).toBe("10");
    expect(get.headers.get("cache-control")).toStartWith("private, max-age=");
  });

  test("sends the bytes that are asked for", async () => {
    const url = await upload.uploads(alice, "a.txt", "0123456789", "text/plain");
    const cases: [string, number, string | null, string | undefined][] = [
      ["bytes=0-3", 206, "bytes 0-3/10", "0123"],
      ["bytes=4-", 206, "bytes 4-9/10", "456789"],
      ["bytes=-3", 206, "bytes 7-9/10", "789"],
      ["bytes=-30", 206, "bytes 0-9/10", "0123456789"],
      ["bytes=8-99", 206, "bytes 8-9/10", "89"],
      ["bytes=9-9", 206, "bytes 9-9/10", "9"],
      ["bytes=10-", 416, "bytes */10", undefined],
      ["bytes=99-100", 416, "bytes */10", undefined],
      ["bytes=-0", 416, "bytes */10", undefined],
      // What makes no sense, or asks for several, gets everything.
      ["bytes=5-4", 200, null, "0123456789"],
      ["bytes=-", 200, null, "0123456789"],
      ["bytes=a-b", 200, null, "0123456789"],
      ["bytes=0-1,3-4", 200, null, "0123456789"],
      ["lines=0-1", 200, null, "0123456789"],
      [`bytes=${"9".repeat(40)}-`, 200, null, "0123456789"],
    ];
    for (const [range, status, contentRange, text] of cases) {
      const got = await upload.get(url, { range });
      const body = await got.text();
      expect([range, got.status, got.headers.get("content-range")]).toEqual([range, status, contentRange]);
      if (text === undefined) continue;
      expect([range, body, got.headers.get("content-length")]).toEqual([range, text, String(text.length)]);
    }
  });

  test("sends a range only of what the reader has the rest of", async () => {
    const url = await upload.uploads(alice, "a.txt", "0123456789");
    const { headers } = await upload.get(url);
    const [tag, date] = [headers.get("etag")!, headers.get("last-modified")!];
    const statusOf = async (condition: string) =>
      (await upload.get(url, { range: "bytes=0-1", "if-range": condition })).status;
    expect(await statusOf(tag)).toBe(206);
    expect(await statusOf(date)).toBe(206);
    expect(await statusOf('"other"')).toBe(200);
    expect(await statusOf(`W/${tag}`)).toBe(200);
    expect(await statusOf("Mon, 01 Jan 2001 00:00:00 GMT")).toBe(200);
  });

  test("sends nothing again that the reader has", async () => {
    const url = await upload.uploads(alice, "a.txt", "0123456789");
    const { headers } = await upload.get(url);
    const [tag, date] = [headers.get("etag")!, headers.get("last-modified")!];
    const statusOf = async (conditions: Record<string, string>) => (await upload.get(url, conditions)).status;
    expect(await statusOf({ "if-none-match": tag })).toBe(304);
    expect(await statusOf({ "if-none-match": `"x", W/${tag}` })).toBe(304);
    expect(await statusOf({ "if-none-match": "*" })).toBe(304);
    expect(await statusOf({ "if-modified-since": date })).toBe(304);
    expect(await statusOf({ "if-none-match": '"x"' })).toBe(200);
    expect(await statusOf({ "if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT" })).toBe(200);
    expect(await statusOf({ "if-none-match": '"x"', "if-modified-since": date })).toBe(200);
    expect(await statusOf({ "if-modified-since": "never" })).toBe(200);
  });

  test("makes no page and no script of it", async () => {
    const cases: [string | undefined, string, "inline" | "attachment"][] = [
      ["image/png", "image/png", "inline"],
      ["image/JPEG", "image/jpeg", "inline"],
      ["video/mp4; codecs=avc1", "video/mp4", "inline"],
      ["audio/ogg", "audio/ogg", "inline"],
      ["text/plain; charset=utf-16", "text/plain; charset=utf-8", "attachment"],
      ["application/pdf", "application/pdf", "attachment"],
      ["image/svg+xml", "application/octet-stream", "attachment"],
      ["text/html", "application/octet-stream", "attachment"],
      ["application/xhtml+xml", "application/octet-stream", "attachment"],
      ["text/xml", "application/octet-stream", "attachment"],
      ["text/javascript", "application/octet-stream", "attachment"],
      ["application/ecmascript", "application/octet-stream", "attachment"],
      ["application/wasm", "application/octet-stream", "attachment"],
      ["text/css", "application/octet-stream", "attachment"],
      ["multipart/x-mixed-replace", "application/octet-stream", "attachment"],
      ["application/vnd.mozilla.xul+xml", "application/octet-stream", "attachment"],
      [undefined, "application/octet-stream", "attachment"],
    ];
    for (const [type, served, kind] of cases) {
      const { headers } = await upload.get(await upload.uploads(alice, "a", "<script>alert(1)</script>", type));
      expect([type, headers.get("content-type")]).toEqual([type, served]);
      expect(headers.get("content-disposition")).toStartWith(`${kind};`);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      const policy = headers.get("content-security-policy")!;
      for (const part of ["default-src 'none'", "sandbox", "frame-ancestors 'none'"]) expect(policy).toContain(part);
      expect(policy).not.toContain("script-src");
    }
  });

  test("names the file so that no name ends the header", async () => {
    const url = await upload.uploads(alice, `a"b;c'd%20 ü€😀(1).png`, "x", "image/png");
    expect((await upload.get(url)).headers.get("content-disposition")).toBe(
      `inline; filename="a_b;c'd_20 ____(1).png"; filename*=UTF-8''a%22b%3Bc%27d%2520%20%C3%BC%E2%82%AC%F0%9F%98%80%281%29.png`,
    );
  });

  test("lets pages of other sites read and send files, without cookies", async () => {
    const slot = await upload.slot(alice, "a.txt", 3);
    const preflight = await upload.get(
      slot.put,
      { origin: "https://chat.example", "access-control-request-method": "PUT" },
      "OPTIONS",
    );
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    expect(preflight.headers.get("access-control-allow-methods")).toContain("PUT");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("content-type");
    expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
    expect((await upload.put(slot.put, "abc")).headers.get("access-control-allow-origin")).toBe("*");
    const got = await upload.get(slot.get);
    expect(got.headers.get("access-control-allow-origin")).toBe("*");
    expect(got.headers.get("cross-origin-resource-policy")).toBe("cross-origin");
    expect((await upload.get("/health/live")).headers.get("access-control-allow-origin")).toBeNull();
  });

  test("knows no other methods, and only below its path", async () => {
    const slot = await upload.slot(alice, "a.txt", 3);
    for (const method of ["POST", "DELETE", "PATCH", "PROPFIND", "MKCOL"]) {
      expect((await upload.get(slot.put, {}, method)).status).toBe(405);
    }
    expect((await upload.put("/health/live", "abc")).status).toBe(405);
    expect((await upload.put("/upload", "abc")).status).toBe(404);
  });

  test("says 404 when the folder has lost it", async () => {
    const url = await upload.uploads(alice, "a.txt", "abc");
    for (const path of filesBelow(folder())) rmSync(path);
    expect((await upload.get(url)).status).toBe(404);
  });
});

describe("tricks with paths", () => {
  test("lead nowhere", async () => {
    const url = await upload.uploads(alice, "a.txt", "secret");
    const token = new URL(url).pathname.split("/")[2]!;
    const tricks = [
      "../../etc/passwd",
      "..%2f..%2fetc%2fpasswd",
      "%2e%2e/%2e%2e/etc/passwd",
      "%2e%2e%2f%2e%2e%2fmeerkat.sqlite",
      "..\\..\\etc\\passwd",
      "..%5c..%5cetc%5cpasswd",
      "....//....//etc/passwd",
      "%252e%252e%252fetc",
      "%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
      "/etc/passwd",
      "//etc/passwd",
      "a.txt%00.png",
      "%00",
      token,
      `${token}/`,
      `${token}/.`,
      `${token}/..`,
      `${token}/b.txt`,
      `${token}/A.TXT`,
      `${token}/a.txt/`,
      `${token}/a.txt/b`,
      `${token}/a.txt%00`,
      `${token}/a.txt%2f..`,
      `${token}//a.txt`,
      `${token}/%`,
      `${token}/%zz`,
      `${token.slice(0, 2)}/${token}`,
      `${token.slice(0, 2)}%2f${token}/a.txt`,
      `../uploads/${token.slice(0, 2)}/${token}`,
      `${token.toUpperCase()}/a.txt`,
      `${token}x/a.txt`,
      `${token}.part/a.txt`,
      `.${token}/a.txt`,
      `${token}%20/a.txt`,
      `${token};x/a.txt`,
    ];
    for (const trick of tricks) {
      const got = await upload.get(`http://localhost:5280/upload/${trick}`);
      expect([trick, got.status]).toEqual([trick, 404]);
      const taken = await upload.put(`http://localhost:5280/upload/${trick}`, "secret");
      expect([403, 404, 405].includes(taken.status)).toBe(true);
    }
    expect(filesBelow(upload.folder).map((path) => readFileSync(path, "utf8"))).toEqual(["secret"]);
  });

  test("in names that are allowed stay names", async () => {
    const names = [
      "%2e%2e%2f",
      "..%2f..",
      "...",
      "~",
      "$HOME",
      "a b",
      "CON",
      "-rf",
      "a.txt.part",
      "%00",
      "a?b#c",
      ".htaccess",
      "<img src=x>",
      "'; drop table http_upload; --",
    ];
    for (const name of names) {
      const url = await upload.uploads(alice, name, name);
      const got = await upload.get(url);
      expect([name, got.status, await got.text()]).toEqual([name, 200, name]);
    }
    for (const path of filesBelow(upload.folder)) {
      expect(path.slice(folder().length)).toMatch(/^\/[A-Za-z0-9_-]{2}\/[A-Za-z0-9_-]+$/);
    }
    expect(existsSync(join(upload.folder, ".htaccess"))).toBe(false);
  });
});
