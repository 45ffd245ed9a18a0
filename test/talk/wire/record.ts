/** Writes the fixtures of this version: `./bin/run-bun test/talk/wire/record.ts 0.2.0` (docs/cluster.md, "Versions beside each other"). */
import { writeFileSync } from "node:fs";
import { toText } from "../../support/wire.ts";
import { tellStory } from "./story.ts";

const version = process.argv[2];
if (version === undefined) throw new Error("say for which version: test/talk/wire/record.ts 0.2.0");
const samples = [...(await tellStory())].toSorted(([one], [other]) => (one < other ? -1 : 1));
const path = new URL(`fixtures/${version}.json`, import.meta.url);
const texts = Object.fromEntries(samples.map(([name, bytes]) => [name, toText(bytes)]));
writeFileSync(path, `${JSON.stringify(texts, undefined, 2)}\n`);
console.log(`${samples.length} messages written to ${path.pathname}`);
