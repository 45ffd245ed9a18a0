/** A process that migrates, or writes notes through the group commit and prints the number of each one it was promised. */

import { GroupCommit } from "../../../src/store/group-commit.ts";
import { migrate } from "../../../src/store/migrations.ts";
import { openTestStore, realClock } from "../../support/databases.ts";
import { noteMigrations } from "./notes.ts";

const [task, settings] = process.argv.slice(2);
const store = await openTestStore(JSON.parse(settings ?? "{}"));

if (task === "migrate") {
  const { applied } = await migrate(store, noteMigrations, { clock: realClock });
  for (const name of applied) console.log(name);
  await store.close();
  process.exit(0);
}

await migrate(store, noteMigrations, { clock: realClock });
const commits = new GroupCommit(store, realClock);
for (let number = 0; ; number++) {
  if (commits.full) await commits.whenDrained();
  // A few hundred at a time, from different conversations, as a busy node would.
  const row = {
    owner: `user${number % 50}@localhost`,
    title: `note ${number}`,
    body: "x".repeat(200),
    changed_at: number,
  };
  const safe = commits.add({ table: "notes", row }).then(() => process.stdout.write(`${number}\n`));
  if (number % 100 === 99) await safe;
}
