/** All users are in one room; the first one talks, `window` messages at a time: the next when one has reached everybody. */
import { snapshot, usage } from "../measure/process.ts";
import { Fleet, sleep } from "./fleet.ts";
import { Ledger, microseconds, Outbox } from "./ledger.ts";
import type { FanoutPlan, Outcome } from "./plan.ts";
import { attributeOf } from "./splitter.ts";

/** The server sends presence of everybody to everybody who enters. */
const enteringAtOnce = 8;

export async function fanout(plan: FanoutPlan): Promise<Outcome> {
  const light = plan.light === true;
  const room = `bench@${light ? "muclight" : "conference"}.${plan.target.domain}`;
  const ledger = new Ledger(plan.bodyBytes, (text) => process.stderr.write(`${text}\n`));
  let entered = 0;
  let configured = false;
  let outbox: Outbox | undefined;
  let running = false;
  let complete = 0;
  const say = () => {
    // Everybody gets it, the speaker too.
    ledger.sent += plan.users;
    speaker.send(outbox!.next(microseconds()));
  };
  const fleet = new Fleet(plan, {
    presence(client, text, start, end) {
      if (attributeOf(text, start, "from") !== `${room}/n${client.index}`) return;
      if (attributeOf(text, start, "type") === "error") client.fail(text.slice(start, end));
      else entered++;
    },
    iq(client, text, start, end) {
      if (attributeOf(text, start, "id") !== "configure") return;
      if (attributeOf(text, start, "type") === "result") configured = true;
      else client.fail(text.slice(start, end));
    },
    message(client, text, start, end) {
      if (outbox === undefined) return; // The subject, or word of the new room.
      if (!ledger.take(client.index, plan.first, text, start, end, microseconds())) return;
      const goal = (complete + 1) * plan.users;
      if (ledger.received < goal) return;
      complete++;
      if (!running) return;
      say();
      speaker.flush();
    },
  });
  const speaker = fleet.clients[0]!;
  await fleet.logIn();
  if (light) {
    const others = fleet.clients
      .slice(1)
      .map(({ index }) => `<user affiliation='member'>u${index}@${plan.target.domain}</user>`);
    // More would not fit one stanza.
    if (others.length > 1_000) throw new Error("a room of MUC Light begins with 1,000 people at most");
    speaker.send(
      `<iq type='set' id='configure' to='${room}'><query xmlns='urn:xmpp:muclight:0#create'>` +
        `<occupants>${others.join("")}</occupants></query></iq>`,
    );
    speaker.flush();
  } else await enterAll(plan, room, fleet, { entered: () => entered, configured: () => configured });
  await fleet.until(
    () => configured,
    () => "the room was not made",
  );
  await fleet.settle();
  outbox = new Outbox(plan.first, room, "groupchat", plan.bodyBytes);
  running = true;
  for (let message = 0; message < plan.window; message++) say();
  speaker.flush();
  await sleep(plan.warmupSeconds * 1000);
  fleet.check();
  ledger.latency.clear();
  const receivedBefore = ledger.received;
  const before = snapshot(plan.serverPid);
  await sleep(plan.seconds * 1000);
  const after = snapshot(plan.serverPid);
  const units = ledger.received - receivedBefore;
  const { latency } = ledger;
  const latencies = {
    p50Ms: latency.quantile(0.5) / 1000,
    p99Ms: latency.quantile(0.99) / 1000,
    maxMs: latency.max / 1000,
  };
  running = false;
  await fleet.until(
    () => ledger.received >= ledger.sent,
    () => `${ledger.sent - ledger.received} messages have not come`,
  );
  return { units, users: plan.users, usage: usage(before, after), latency: latencies, verdict: ledger.verdict() };
}

/** A classic room: all come one after the other. */
async function enterAll(
  plan: FanoutPlan,
  room: string,
  fleet: Fleet,
  { entered, configured }: { entered: () => number; configured: () => boolean },
): Promise<void> {
  const speaker = fleet.clients[0]!;
  const enter = (index: number) => {
    const client = fleet.clients[index]!;
    client.send(
      `<presence to='${room}/n${client.index}'><x xmlns='http://jabber.org/protocol/muc'>` +
        "<history maxstanzas='0'/></x></presence>",
    );
    client.flush();
  };
  enter(0);
  await fleet.until(
    () => entered() === 1,
    () => "the room was not created",
  );
  // A new room is locked until its owner has taken the usual configuration (XEP-0045 section 10.1.2).
  speaker.send(
    `<iq type='set' id='configure' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'>` +
      "<x xmlns='jabber:x:data' type='submit'/></query></iq>",
  );
  speaker.flush();
  await fleet.until(configured, () => "the room was not configured");
  let begun = 1;
  await fleet.until(
    () => {
      while (begun < plan.users && begun - entered() < enteringAtOnce) enter(begun++);
      return entered() === plan.users;
    },
    () => `${entered()} of ${plan.users} have entered the room`,
  );
}
