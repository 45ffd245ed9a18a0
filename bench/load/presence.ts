/** One user with many online contacts comes and goes: everybody is told, and the one hears of everybody. */
import { snapshot, usage } from "../measure/process.ts";
import { Fleet } from "./fleet.ts";
import type { Outcome, PresencePlan } from "./plan.ts";
import { attributeOf } from "./splitter.ts";

export async function presence(plan: PresencePlan): Promise<Outcome> {
  /** Available and unavailable presence that came, by which the steps below know that they are over. */
  let available = 0;
  let unavailable = 0;
  const fleet = new Fleet(plan, {
    presence(client, text, start) {
      const type = attributeOf(text, start, "type");
      const from = attributeOf(text, start, "from");
      if (type === "subscribe") {
        client.send(`<presence to='${from}' type='subscribed'/>`);
        if (client.index - plan.first >= plan.hubs) client.send(`<presence to='${from}' type='subscribe'/>`);
      } else if (type === "" && !from.startsWith(`${client.bareJid}/`)) available++;
      else if (type === "unavailable") unavailable++;
    },
  });
  const hubs = fleet.clients.slice(0, plan.hubs);
  const contacts = fleet.clients.slice(plan.hubs);
  await fleet.logIn();
  for (const hub of hubs) {
    const goal = available + 2 * contacts.length;
    for (const contact of contacts) hub.send(`<presence to='${contact.bareJid}' type='subscribe'/>`);
    hub.flush();
    await fleet.until(
      () => available >= goal,
      () => `${goal - available} contacts have not subscribed`,
    );
  }
  await fleet.logOut(hubs);
  await fleet.settle();

  let turn = 0;
  /** In: presence from each contact, and to each. Out: unavailable to each. */
  const comeAndGo = async () => {
    const hub = [hubs[turn++ % hubs.length]!];
    const goalIn = available + 2 * contacts.length;
    const goalOut = unavailable + contacts.length;
    await fleet.logIn(hub);
    await fleet.until(
      () => available >= goalIn,
      () => `${goalIn - available} presences have not come`,
    );
    await fleet.logOut(hub);
    await fleet.until(
      () => unavailable >= goalOut,
      () => `${goalOut - unavailable} have not heard of the end`,
    );
    if (available > goalIn || unavailable > goalOut) throw new Error("presence came twice");
  };
  const repeat = async (seconds: number) => {
    let count = 0;
    const end = performance.now() + seconds * 1000;
    for (; performance.now() < end; count++) await comeAndGo();
    return count;
  };
  await repeat(plan.warmupSeconds);
  const before = snapshot(plan.serverPid);
  const units = await repeat(plan.seconds);
  return { units, usage: usage(before, snapshot(plan.serverPid)) };
}
