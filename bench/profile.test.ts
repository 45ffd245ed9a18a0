import { expect, test } from "bun:test";
import { partOf, sharesOf } from "./profile.ts";

test("a file belongs to a part of the house, a module or a library", () => {
  expect(partOf("file:///x/src/xml/scanner.ts")).toBe("xml");
  expect(partOf("/x/src/modules/roster/store.ts")).toBe("modules/roster");
  expect(partOf("/x/src/modules/carbons.ts")).toBe("modules/carbons");
  expect(partOf("/x/src/main.ts")).toBe("main");
  expect(partOf("/x/node_modules/kysely/src/index.js")).toBe("library kysely");
  expect(partOf("/x/node_modules/@nats-io/nats-core/lib/a.js")).toBe("library @nats-io/nats-core");
  expect(partOf("")).toBeUndefined();
});

test("native code counts for who called it, and waiting counts for nobody", () => {
  const frame = (functionName: string, url = "") => ({ functionName, url });
  const { parts, functions } = sharesOf({
    nodes: [
      { id: 1, callFrame: frame("(root)"), children: [2, 4, 5] },
      { id: 2, callFrame: frame("flush", "/x/src/socket/writer.ts"), children: [3] },
      { id: 3, callFrame: frame("write") },
      { id: 4, callFrame: frame("(idle)") },
      { id: 5, callFrame: frame("(garbage collector)") },
    ],
    samples: [2, 3, 3, 3, 4, 4, 4, 4, 5, 3],
  });
  expect(parts.map(({ name, share }) => [name, Math.round(share * 60)])).toEqual([
    ["socket, native", 40],
    ["socket", 10],
    ["garbage collector", 10],
  ]);
  expect(functions[0]!.name).toBe("write (socket, native)");
});
