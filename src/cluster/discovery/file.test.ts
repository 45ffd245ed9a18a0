/** A cluster whose nodes are listed in a file. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordingLog } from "../../../test/support/recording-log.ts";
import { SimClock } from "../../runtime/sim/clock.ts";
import { NodeNotListed } from "./discovery.ts";
import { FileDiscovery, NodeFileError, readNodeFile } from "./file.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-nodes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

function discoveryOf(file: string, name: string) {
  const clock = new SimClock();
  const { log, lines } = recordingLog();
  const claim = { cluster: "c", name, address: "own place", version: "1.0" };
  return { clock, lines, discovery: new FileDiscovery({ file, claim, clock, log }) };
}

describe("the file of nodes", () => {
  test("is TOML, JSON, or a name a line", () => {
    const expected = [
      { name: "a", number: 1, address: "10.0.0.1" },
      { name: "b", number: 7, address: "" },
    ];
    const toml = '[[node]]\nname = "b"\nnumber = 7\n[[node]]\nname = "a"\nnumber = 1\naddress = "10.0.0.1"\n';
    expect(readNodeFile(write("n.toml", toml))).toEqual(expected);
    expect(readNodeFile(write("n.json", JSON.stringify(expected)))).toEqual(expected);
    expect(readNodeFile(write("n.txt", "# ours\nmeerkat@one\n\n meerkat@two # later\n"))).toEqual([
      { name: "meerkat@one", number: 1, address: "" },
      { name: "meerkat@two", number: 2, address: "" },
    ]);
  });

  test.each([
    ["twice.txt", "a\nb\na\n", 'the node "a" is there twice'],
    ["same.json", '[{"name":"a","number":1},{"name":"b","number":1}]', "two nodes have the number 1"],
    ["zero.json", '[{"name":"a","number":0}]', "found the number 0; allowed: an integer from 1 to 1023"],
    ["noname.json", '[{"number":1}]', "every node needs a name"],
    ["address.json", '[{"name":"a","number":1,"address":5}]', 'the address of "a" is no text'],
    ["object.json", "{}", "a list of nodes is expected"],
    ["broken.json", "[", "JSON"],
    ["broken.toml", "= 1", "Invalid TOML"],
    ["empty.toml", "", "a list of nodes is expected"],
  ])("%s is refused, and named", (name, text, reason) => {
    const file = write(name, text);
    expect(() => readNodeFile(file)).toThrow(NodeFileError);
    expect(() => readNodeFile(file)).toThrow(reason);
    expect(() => readNodeFile(file)).toThrow(file);
  });

  test("a file that is missing is named too", () => {
    expect(() => readNodeFile(join(folder, "none.toml"))).toThrow(/none.toml/);
  });
});

describe("a node of it", () => {
  test("has its number there, its address there or its own, and the time as incarnation", async () => {
    const file = write("two.json", '[{"name":"a","number":3},{"name":"b","number":9,"address":"there"}]');
    const a = discoveryOf(file, "a");
    expect(await a.discovery.register()).toEqual({
      cluster: "c",
      name: "a",
      number: 3,
      incarnation: Math.floor(a.clock.now() / 1000),
      address: "own place",
      version: "1.0",
    });
    expect(a.discovery.others).toEqual([{ name: "b", number: 9, address: "there" }]);
    expect((await discoveryOf(file, "b").discovery.register()).address).toBe("there");
    expect((await a.discovery.list()).map(({ name, version }) => [name, version])).toEqual([
      ["a", "1.0"],
      ["b", ""],
    ]);
  });

  test("that is not listed does not start", async () => {
    const file = write("others.txt", "a\nb\n");
    const error = await discoveryOf(file, "c")
      .discovery.register()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NodeNotListed);
    expect((error as Error).message).toBe(`${file} does not list the node "c"; it has "a", "b"`);
  });

  test("follows changes of the file; what cannot be read changes nothing, and is logged once", async () => {
    const file = write("grows.txt", "a\n");
    const { discovery, clock, lines } = discoveryOf(file, "a");
    await discovery.register();
    const seen: string[] = [];
    discovery.onOthers((others) => seen.push(others.map(({ name }) => name).join(" ")));
    write("grows.txt", "a\nb\n");
    clock.advance(10_000);
    write("grows.txt", "a\na\n");
    clock.advance(30_000);
    write("grows.txt", "a\nb\nc\n");
    clock.advance(10_000);
    expect(seen).toEqual(["", "b", "b c"]);
    expect(lines.map(({ level }) => level)).toEqual(["error"]);
    expect(discovery.standing).toEqual({ is: "registered" });
    write("grows.txt", "b\na\n");
    clock.advance(10_000);
    expect(discovery.standing).toMatchObject({ is: "lost", reason: expect.stringContaining("number 2") });
    await discovery.stop();
    expect(clock.pending).toBe(0);
  });
});
