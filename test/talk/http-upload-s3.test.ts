/** XEP-0363 with a bucket of S3: clients go there themselves, by URLs that the bucket checks. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Jid } from "../../src/stanza/jid.ts";
import { eventually } from "../support/eventually.ts";
import { bucketKeys, FakeS3 } from "../support/fake-s3.ts";
import { UploadTalk } from "../support/upload-talk.ts";

const alice = Jid.of("alice", "localhost", "");
const name = "très cool+1 (a&b)*'.txt";
let bucket: FakeS3;
let upload: UploadTalk;

beforeEach(async () => {
  bucket = await FakeS3.start(() => upload.talk.clock.now());
});
afterEach(async () => {
  await upload.stop();
  await bucket.stop();
});

async function start(s3: Record<string, unknown> = {}, options: Record<string, unknown> = {}) {
  upload = await UploadTalk.start({
    ...options,
    s3: {
      bucket_url: bucket.url,
      region: bucketKeys.region,
      access_key_id: bucketKeys.accessKeyId,
      secret_access_key: bucketKeys.secretAccessKey,
      ...s3,
    },
  });
  return upload.talk.login("alice@localhost/desk");
}

const put = (url: string, body: string, headers: Record<string, string> = {}) =>
  fetch(url, { method: "PUT", body, headers });

test("a file is sent to the bucket and read from it", async () => {
  const person = await start({ add_acl: true });
  const slot = await upload.slot(person, name, 5, "text/plain");
  expect(slot.get).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/bucket\/[^/]+\/tr%C3%A8s%20cool%2B1%20%28a%26b%29%2A%27\.txt$/);
  expect((await put(slot.put, "hello", { "content-type": "text/plain" })).status).toBe(200);
  const got = await fetch(slot.get);
  expect([got.status, await got.text(), got.headers.get("content-type")]).toEqual([200, "hello", "text/plain"]);
});

test("the bucket takes nothing but what was promised", async () => {
  const person = await start();
  const slot = await upload.slot(person, "a.txt", 5, "text/plain");
  const other = await upload.slot(person, "b.txt", 5);
  const type = { "content-type": "text/plain" };
  expect((await put(slot.put, "longer", type)).status).toBe(403);
  expect((await put(slot.put, "four", type)).status).toBe(403);
  expect((await put(slot.put, "hello", { "content-type": "text/html" })).status).toBe(403);
  expect((await put(slot.put.replace("a.txt", "b.txt"), "hello", type)).status).toBe(403);
  expect((await put(`${slot.put}&x-amz-acl=public-read`, "hello", type)).status).toBe(403);
  expect((await fetch(slot.put)).status).toBe(403);
  const swapped = new URL(slot.put);
  swapped.searchParams.set("X-Amz-Signature", new URL(other.put).searchParams.get("X-Amz-Signature")!);
  expect((await put(swapped.href, "hello", type)).status).toBe(403);
  expect(bucket.objects.size).toBe(0);
  await upload.talk.clock.leap(301_000);
  expect((await put(slot.put, "hello", type)).status).toBe(403);
});

test("a private bucket is read by signed URLs, which hold for a time", async () => {
  const person = await start({ download: "signed", download_time: 2 });
  const slot = await upload.slot(person, name, 5);
  expect((await put(slot.put, "hello")).status).toBe(200);
  expect(await (await fetch(slot.get)).text()).toBe("hello");
  expect((await fetch(slot.get.split("?")[0]!)).status).toBe(403);
  await upload.talk.clock.leap(2 * 3_600_000 + 1_000);
  expect((await fetch(slot.get)).status).toBe(403);
});

test("or through the listener, which sends readers to such URLs for as long as the file is kept", async () => {
  const person = await start({ download: "redirect" }, { file_expiry: 10 });
  const slot = await upload.slot(person, name, 5);
  expect(slot.get).toStartWith("http://localhost:5280/upload/");
  expect((await put(slot.put, "hello")).status).toBe(200);
  await upload.talk.clock.leap(9 * 86_400_000);
  const redirect = await upload.get(slot.get);
  expect(redirect.status).toBe(302);
  expect(redirect.headers.get("access-control-allow-origin")).toBe("*");
  expect(await (await fetch(redirect.headers.get("location")!)).text()).toBe("hello");
  expect((await upload.put(slot.get, "other")).status).toBe(403);
  await upload.talk.clock.leap(86_400_000);
  expect((await upload.get(slot.get)).status).toBe(404);
});

test("what is over is removed from the bucket, and slots that nobody used count no more", async () => {
  const person = await start({}, { file_expiry: 10, max_files: 2 });
  const used = await upload.slot(person, "a.txt", 5);
  await upload.slot(person, "never.txt", 5);
  expect((await put(used.put, "hello")).status).toBe(200);
  expect(await upload.asks(person, "third.txt", 1)).toContain("<resource-constraint");
  const names = async () =>
    (
      await upload.talk.store
        .tables<{ http_upload: { name: string; state: number } }>()
        .selectFrom("http_upload")
        .select(["name", "state"])
        .execute()
    ).map(({ name, state }) => `${name} ${state}`);
  await upload.talk.clock.leap(2 * 3_600_000);
  // The bucket is asked which of them came.
  await eventually(20_000, async () => {
    await upload.talk.clock.leap(120_000);
    expect(await names()).toEqual(["a.txt 2"]);
  });
  expect(await upload.asks(person, "third.txt", 1)).toContain("<slot");
  expect(bucket.objects.size).toBe(1);
  bucket.broken = true;
  await upload.talk.clock.leap(10 * 86_400_000);
  await eventually(20_000, () => expect(bucket.requests.some((line) => line.startsWith("DELETE"))).toBe(true));
  expect(await names()).toContain("a.txt 2");
  bucket.broken = false;
  await eventually(20_000, async () => {
    await upload.talk.clock.leap(250_000);
    expect(bucket.objects.size).toBe(0);
    expect(await names()).toEqual([]);
  });
});

test("an account takes its files with it, later when the bucket is away", async () => {
  const person = await start({ add_acl: true });
  const rows = async () =>
    upload.talk.store
      .tables<{ http_upload: { username: string } }>()
      .selectFrom("http_upload")
      .select("username")
      .execute();
  for (const text of ["one", "two", "six"]) await put((await upload.slot(person, text, 3)).put, text);
  expect(bucket.objects.size).toBe(3);
  bucket.broken = true;
  for (const handler of upload.talk.host.registry.accounts.removed) await handler(alice);
  expect(bucket.objects.size).toBe(3);
  expect(await rows()).toEqual([{ username: "" }, { username: "" }, { username: "" }]);
  bucket.broken = false;
  await eventually(20_000, async () => {
    await upload.talk.clock.leap(250_000);
    expect(bucket.objects.size).toBe(0);
    expect(await rows()).toEqual([]);
  });
});

test("without a table s3 the backend s3 does not start", async () => {
  await start();
  expect(UploadTalk.start({ backend: "s3" })).rejects.toThrow("no table s3");
});
