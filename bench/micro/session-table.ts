/** What it costs to find the session of an address, by how many there are, and to add and remove one. */

import { Session, type SessionHost, type SessionLink } from "../../src/session/session.ts";
import { SessionTable } from "../../src/session/session-table.ts";
import { Jid } from "../../src/stanza/jid.ts";
import { bestOf, report } from "../measure/timing.ts";

const host: SessionHost = {
  domain: "example.com",
  deliver() {},
  changed() {},
  present: () => undefined,
};
const link: SessionLink = {
  send() {},
  close() {},
  part() {},
  remoteAddress: "127.0.0.1",
  remotePort: 1,
  secure: false,
  transport: "tcp",
};

const lookups = 200_000;

for (const count of [1000, 100_000]) {
  const table = new SessionTable();
  const sessions: Session[] = [];
  for (let index = 0; index < count; index++) {
    sessions.push(new Session(index, Jid.of(`user${index}`, "example.com", "phone"), host, link, 0));
  }
  for (const session of sessions) table.add(session);
  // Addresses as stanzas bring them: equal to those of the sessions, but other objects. In no order a cache would like.
  const wanted = Array.from({ length: lookups }, (_, index) =>
    Jid.of(`user${(index * 7919) % count}`, "example.com", "phone"),
  );
  let found = 0;
  const find = bestOf(lookups, () => {
    for (const jid of wanted) if (table.find(jid) !== undefined) found++;
  });
  const all = bestOf(lookups, () => {
    for (const jid of wanted) found += table.of(jid.bare).length;
  });
  if (found === 0) throw new Error("nobody was found");
  const many = count.toLocaleString("en");
  report(`find a full address among ${many}`, find, "ns");
  report(`all sessions of an account among ${many}`, all, "ns");
  const change = bestOf(sessions.length, () => {
    for (const session of sessions) {
      table.remove(session);
      table.add(session);
    }
  });
  report(`remove and add one of ${many}`, change, "ns");
}
