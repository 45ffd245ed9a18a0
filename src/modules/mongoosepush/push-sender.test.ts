import { expect, test } from "bun:test";
import { ManualClock, settle } from "../../../test/support/manual-clock.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { parseElement } from "../../xml/element.ts";
import { requestOf } from "./mongoosepush.ts";
import { type Fetch, PushSender } from "./push-sender.ts";

const silent = () => {};
const log = {
  fatal: silent,
  error: silent,
  warn: silent,
  info: silent,
  debug: silent,
  trace: silent,
  child: () => log,
};
const settings = { url: "http://push/v3", requestTimeoutMs: 2_000, requestsMax: 2 };
const never = (init: RequestInit) =>
  new Promise<Response>((_resolve, reject) => {
    init.signal!.addEventListener("abort", () => reject(new Error("aborted")));
  });

function senderWith(fetcher: Fetch) {
  const clock = new ManualClock();
  return { clock, sender: new PushSender(settings, clock, log as never, fetcher) };
}

const condition = (promise: Promise<void>) =>
  promise.then(
    () => "sent",
    (error: unknown) => (error instanceof StanzaError ? error.condition : String(error)),
  );

test("posts the notification as JSON to the device's address", async () => {
  const calls: [string, RequestInit][] = [];
  const { sender } = senderWith(async (url, init) => {
    calls.push([url, init]);
    return new Response("{}", { status: 200 });
  });
  await sender.send("a/b c", { service: "fcm" });
  expect(calls[0]![0]).toBe("http://push/v3/notification/a%2Fb%20c");
  expect(calls[0]![1]).toMatchObject({
    method: "POST",
    // The service is who the operator says, and cannot send us elsewhere.
    redirect: "error",
    body: '{"service":"fcm"}',
    headers: { "content-type": "application/json" },
  });
  expect(sender.counters).toMatchObject({ sent: 1, failed: 0 });
});

test.each([".", ".."])("a device of the name '%s' is no way to another path of the service", async (name) => {
  let calls = 0;
  const { sender } = senderWith(async () => {
    calls++;
    return new Response("{}", { status: 200 });
  });
  expect(await condition(sender.send(name, {}))).toBe("item-not-found");
  expect(calls).toBe(0);
});

test("a device that is gone is not tried again", async () => {
  let calls = 0;
  const { sender } = senderWith(async () => {
    calls++;
    return new Response("", { status: 410 });
  });
  expect(await condition(sender.send("x", {}))).toBe("item-not-found");
  expect(calls).toBe(1);
  expect(sender.counters.gone).toBe(1);
});

test("trouble of the service is tried three times, with pauses; a request that is wrong once", async () => {
  let calls = 0;
  let status = 503;
  const { sender, clock } = senderWith(async () => {
    calls++;
    return new Response("", { status });
  });
  const outcome = condition(sender.send("x", {}));
  await settle();
  expect(calls).toBe(1);
  await clock.advance(1_000);
  await settle();
  expect(calls).toBe(2);
  await clock.advance(2_000);
  expect(await outcome).toBe("internal-server-error");
  expect(calls).toBe(3);
  status = 400;
  expect(await condition(sender.send("x", {}))).toBe("internal-server-error");
  expect(calls).toBe(4);
  expect(sender.counters).toMatchObject({ failed: 2, retried: 2 });
});

test("a request that takes too long is given up", async () => {
  const { sender, clock } = senderWith((_url, init) => never(init));
  const outcome = condition(sender.send("x", {}));
  for (const ms of [2_000, 1_000, 2_000, 2_000, 2_000]) {
    await settle();
    await clock.advance(ms);
  }
  expect(await outcome).toBe("remote-server-timeout");
});

test("so many at once, the others wait in order", async () => {
  const urls: string[] = [];
  const open: ((response: Response) => void)[] = [];
  const { sender } = senderWith((url) => {
    urls.push(url.at(-1)!);
    return new Promise((resolve) => open.push(resolve));
  });
  const all = ["1", "2", "3", "4"].map((token) => sender.send(token, {}));
  await settle();
  expect(urls).toEqual(["1", "2"]);
  open.shift()!(new Response(""));
  await all[0];
  await settle();
  expect(urls).toEqual(["1", "2", "3"]);
  while (open.length > 0 || urls.length < 4) {
    open.shift()?.(new Response(""));
    await settle();
  }
  await Promise.all(all);
  expect(urls).toEqual(["1", "2", "3", "4"]);
});

test("a queue that is full refuses", async () => {
  const { sender } = senderWith((_url, init) => never(init));
  for (let count = 0; count < 10_002; count++) void sender.send("x", {}).catch(() => undefined);
  expect(await condition(sender.send("x", {}))).toBe("resource-constraint");
  expect(sender.counters.dropped).toBe(1);
});

const form = (fields: Record<string, string>) =>
  `<x xmlns='jabber:x:data' type='submit'>${Object.entries(fields)
    .map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`)
    .join("")}</x>`;
const notification = parseElement(
  `<notification xmlns='urn:xmpp:push:0'>${form({ FORM_TYPE: "urn:xmpp:push:summary", "message-count": "3", "last-message-sender": "bob@x", "last-message-body": "hi" })}</notification>`,
  "",
);

test("an alert has title, text, badge and tag; a silent one carries the summary as data", () => {
  const options = (more: Record<string, string>) =>
    parseElement(form({ device_id: "t", service: "apns", ...more }), "");
  expect(requestOf(notification, options({ mode: "dev", topic: "app", sound: "ding", click_action: "open" }))).toEqual({
    token: "t",
    body: {
      service: "apns",
      mode: "dev",
      topic: "app",
      alert: { title: "bob@x", body: "hi", badge: 3, tag: "bob@x", sound: "ding", click_action: "open" },
    },
  });
  expect(requestOf(notification, options({ silent: "true", priority: "high" }))).toEqual({
    token: "t",
    body: {
      service: "apns",
      priority: "high",
      data: { "message-count": "3", "last-message-sender": "bob@x", "last-message-body": "hi" },
    },
  });
  expect(() => requestOf(notification, undefined)).toThrow("device_id");
});
