/** One user with many online contacts comes and goes: everybody is told, and the one hears of everybody. */
import { snapshot, usage } from "../measure/process.ts";
import { Fleet } from "./fleet.ts";
import type { Outcome, PresencePlan } from "./plan.ts";
import { attributeOf } from "./splitter.ts";

export async function presence(plan: PresencePlan): Promise<Outcome> {
  const isHub = (user: number) => user < plan.hubs;
  /** Who has heard that whom is there, or is not any more: a server may well say so twice. */
  const available = new Set<string>();
  const unavailable = new Set<string>();
  const fleet = new Fleet(plan, {
    presence(client, text, start) {
      const type = attributeOf(text, start, "type");
      const from = attributeOf(text, start, "from");
      const sender = Number.parseInt(from.slice(1), 10);
      if (type === "subscribe") {
        client.send(`<presence to='${from}' type='subscribed'/>`);
        if (!isHub(client.index)) client.send(`<presence to='${from}' type='subscribe'/>`);
      } else if (sender === client.index) return;
      else if (type === "") available.add(`${client.index} of ${sender}`);
      else if (type === "unavailable") unavailable.add(`${client.index} of ${sender}`);
    },
  });
  const hubs = fleet.clients.slice(0, plan.hubs);
  const contacts = fleet.clients.slice(plan.hubs);
  await fleet.logIn();
  for (const hub of hubs) {
    available.clear();
    for (const contact of contacts) hub.send(`<presence to='${contact.bareJid}' type='subscribe'/>`);
    hub.flush();
    await fleet.until(
      () => available.size >= 2 * contacts.length,
      () => `${available.size} of ${2 * contacts.length} have subscribed`,
    );
  }
  await fleet.settle();
  await fleet.logOut(hubs);
  await fleet.settle();

  let turn = 0;
  /** In: presence from each contact, and to each. Out: unavailable to each. */
  const comeAndGo = async () => {
    const hub = hubs[turn++ % hubs.length]!;
    available.clear();
    unavailable.clear();
    await fleet.logIn([hub]);
    await fleet.until(
      () =>
        contacts.every(
          ({ index }) => available.has(`${index} of ${hub.index}`) && available.has(`${hub.index} of ${index}`),
        ),
      () => `${available.size} of ${2 * contacts.length} presences have come`,
    );
    await fleet.logOut([hub]);
    await fleet.until(
      () => contacts.every(({ index }) => unavailable.has(`${index} of ${hub.index}`)),
      () => `${unavailable.size} of ${contacts.length} have heard of the end`,
    );
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
  return { units, users: plan.users, usage: usage(before, snapshot(plan.serverPid)) };
}
