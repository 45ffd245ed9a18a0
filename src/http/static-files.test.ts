/** Files from a closed list: what is sent, how it is cached, what does not exist. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { StaticFiles } from "./static-files.ts";

let folder: string;
const script = "let x = 1;\n".repeat(200);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "meerkat-static-"));
  writeFileSync(join(folder, "a.js"), script);
  writeFileSync(join(folder, "b.png"), "not really");
  writeFileSync(join(folder, "secret.js"), "1");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function files(): StaticFiles {
  const files = new StaticFiles();
  files.add("/f/a.js", join(folder, "a.js"), "no-cache");
  files.add("/f/b.png", join(folder, "b.png"), "public, max-age=60");
  files.add("/f/later.css", join(folder, "later.css"), "no-cache");
  return files;
}

const gzip = new Headers({ "accept-encoding": "gzip" });

describe("static files", () => {
  test("text goes out packed to those who take it, plain to the others, under different tags", async () => {
    const list = files();
    const packed = (await list.respond("/f/a.js", gzip))!;
    const plain = (await list.respond("/f/a.js", new Headers()))!;
    expect(packed.headers.get("content-encoding")).toBe("gzip");
    const bytes = new Uint8Array(await packed.arrayBuffer());
    expect(packed.headers.get("content-length")).toBe(String(bytes.length));
    expect(gunzipSync(bytes).toString()).toBe(script);
    expect(plain.headers.get("content-encoding")).toBeNull();
    expect(await plain.text()).toBe(script);
    expect(plain.headers.get("content-length")).toBe(String(script.length));
    expect(plain.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(plain.headers.get("etag")).not.toBe(packed.headers.get("etag"));
    for (const response of [packed, plain]) expect(response.headers.get("vary")).toBe("accept-encoding");
  });

  test("who has it already gets 304 without a body", async () => {
    const list = files();
    const tag = (await list.respond("/f/a.js", gzip))!.headers.get("etag")!;
    const again = (await list.respond("/f/a.js", new Headers({ "accept-encoding": "gzip", "if-none-match": tag })))!;
    expect(again.status).toBe(304);
    expect(again.headers.get("etag")).toBe(tag);
    expect(await again.text()).toBe("");
    const other = (await list.respond("/f/a.js", new Headers({ "if-none-match": tag })))!;
    expect(other.status).toBe(200);
  });

  test("images are not packed again", async () => {
    const image = (await files().respond("/f/b.png", gzip))!;
    expect(image.headers.get("content-encoding")).toBeNull();
    expect(image.headers.get("cache-control")).toBe("public, max-age=60");
    expect(await image.text()).toBe("not really");
  });

  test("what is not on the list does not exist", async () => {
    for (const name of ["/f/secret.js", "/f/../f/a.js", "/f/a.js/", "/f/A.js", "/f/", "", "__proto__", "constructor"]) {
      expect(await files().respond(name, gzip)).toBeUndefined();
    }
  });

  test("a file that could not be read is tried again", async () => {
    const list = files();
    await expect(list.respond("/f/later.css", gzip)).rejects.toThrow("ENOENT");
    writeFileSync(join(folder, "later.css"), "a{}");
    expect((await list.respond("/f/later.css", gzip))!.status).toBe(200);
  });

  test("what was sent once stays the same although the file changes", async () => {
    const list = files();
    writeFileSync(join(folder, "later.css"), "a{}");
    const tag = (await list.respond("/f/later.css", gzip))!.headers.get("etag");
    writeFileSync(join(folder, "later.css"), "b{}");
    const again = (await list.respond("/f/later.css", gzip))!;
    expect(again.headers.get("etag")).toBe(tag);
    expect(await again.text()).toBe("a{}");
  });

  test("a file of an unknown kind cannot be listed", () => {
    expect(() => files().add("/f/x.exe", "x", "no-cache")).toThrow("no media type");
  });
});
