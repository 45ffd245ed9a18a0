/** Even users write to odd ones that are away, until the server has everything; then these come and fetch it. */
import { snapshot, usage } from "../measure/process.ts";
import { Fleet } from "./fleet.ts";
import { Ledger, microseconds, Outbox } from "./ledger.ts";
import type { OfflinePlan, Outcome } from "./plan.ts";

export async function offline(plan: OfflinePlan): Promise<Outcome> {
  const ledger = new Ledger(plan.bodyBytes, (text) => process.stderr.write(`${text}\n`));
  let answers = 0;
  const fleet = new Fleet(plan, {
    message(client, text, start, end) {
      ledger.take(client.index, ((client.index - plan.first) ^ 1) + plan.first, text, start, end, microseconds());
    },
    iq(_client, text, start, end) {
      if (text.slice(start, end).includes("'after'") || text.slice(start, end).includes('"after"')) answers++;
    },
  });
  const writers = fleet.clients.filter((_, at) => at % 2 === 0);
  const readers = fleet.clients.filter((_, at) => at % 2 === 1);
  await fleet.logIn(writers);
  const outboxes = writers.map((client, at) => new Outbox(client.index, readers[at]!.bareJid, "chat", plan.bodyBytes));
  const measured = { store: { units: 0, serverCpu: 0 }, fetch: { units: 0, serverCpu: 0 } };
  let start = snapshot(plan.serverPid);
  // The first round warms up.
  for (let round = 0; round <= plan.rounds; round++) {
    await fleet.settle();
    if (round === 1) start = snapshot(plan.serverPid);
    const begun = snapshot(plan.serverPid);
    const goal = answers + writers.length;
    for (const [at, client] of writers.entries()) {
      for (let message = 0; message < plan.messagesEach; message++) client.send(outboxes[at]!.next(microseconds()));
      ledger.sent += plan.messagesEach;
      // Stanzas of one sender are handled in order, so this answer comes when the messages have been taken.
      client.send(`<iq type='get' id='after' to='${plan.target.domain}'><ping xmlns='urn:xmpp:ping'/></iq>`);
      client.flush();
    }
    await fleet.until(
      () => answers >= goal,
      () => `${goal - answers} users wait for an answer`,
    );
    // What is still being written is a part of the price.
    await fleet.settle();
    const stored = snapshot(plan.serverPid);
    await fleet.logIn(readers);
    await fleet.until(
      () => ledger.received >= ledger.sent,
      () => `${ledger.sent - ledger.received} messages have not come`,
    );
    await fleet.settle();
    const fetched = snapshot(plan.serverPid);
    await fleet.logOut(readers);
    if (round === 0) continue;
    const units = writers.length * plan.messagesEach;
    measured.store.units += units;
    measured.store.serverCpu += stored.serverCpu - begun.serverCpu;
    measured.fetch.units += units;
    measured.fetch.serverCpu += fetched.serverCpu - stored.serverCpu;
  }
  const whole = usage(start, snapshot(plan.serverPid));
  const serverCpu = measured.store.serverCpu + measured.fetch.serverCpu;
  return {
    units: measured.store.units,
    users: plan.users,
    usage: { ...whole, serverCpu },
    verdict: ledger.verdict(),
    parts: measured,
  };
}
