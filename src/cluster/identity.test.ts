/** Names of nodes that nobody named. */
import { expect, test } from "bun:test";
import { SimClock, simulatedStart } from "../runtime/sim/clock.ts";
import { defaultNodeName, singleNode } from "./identity.ts";

test("a node is called as its machine; several of one machine are numbered", () => {
  expect(defaultNodeName("Host.Example", undefined)).toBe("host.example");
  expect(defaultNodeName("host", 3)).toBe("host-3");
  expect(defaultNodeName(" ", undefined)).toBe("localhost");
});

test("a single node is number 1, and later at each start", () => {
  const claim = { cluster: "c", name: "n", address: "", version: "1" };
  expect(singleNode(claim, new SimClock())).toEqual({ ...claim, number: 1, incarnation: simulatedStart / 1000 });
});
