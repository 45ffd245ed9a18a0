/** The simulated network does what its weather says, the same for the same seed. */
import { describe, expect, test } from "bun:test";
import { SimClock } from "./clock.ts";
import { fairWeather, type SimMachine, SimNetwork, type Weather } from "./network.ts";
import { SimRandom } from "./random.ts";

/** Machines 1 and 2, and what has come to 2, by its first byte. */
function pair(weather: Partial<Weather> = {}, seed = 1) {
  const clock = new SimClock();
  const network = new SimNetwork(clock, new SimRandom(seed));
  network.weather = { ...fairWeather, ...weather };
  const a = network.machine(1);
  const b = network.machine(2);
  const came: number[] = [];
  void a.start(events(() => {}));
  void b.start(events((envelope) => came.push(envelope[0]!)));
  return { clock, network, a, b, came };
}

function events(received: (envelope: Uint8Array) => void) {
  return { received, reachable: () => {}, lost: () => {} };
}

function sendMany(machine: SimMachine, count: number): void {
  for (let index = 0; index < count; index++) machine.send(2, new Uint8Array([index]));
}

describe("the simulated network", () => {
  test("in fair weather all comes, once and in order", () => {
    const { clock, a, came } = pair();
    sendMany(a, 200);
    clock.advance(1);
    expect(came).toEqual(Array.from({ length: 200 }, (_, index) => index));
  });

  test("in bad weather some is lost, doubled, late or early, and the same for the same seed", () => {
    const weather = { loss: 0.2, doubling: 0.2, overtaking: 0.3, delayMsMax: 50 };
    const runs = [1, 1, 2].map((seed) => {
      const { clock, a, came } = pair(weather, seed);
      sendMany(a, 200);
      clock.advance(60);
      return came;
    });
    const [first, again, other] = runs as [number[], number[], number[]];
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
    expect(new Set(first).size).toBeLessThan(190);
    expect(first.length).toBeGreaterThan(new Set(first).size);
    expect(first).not.toEqual(first.toSorted((x, y) => x - y));
  });

  test("a cut is one-way, and mended", () => {
    const { clock, network, a, b, came } = pair();
    const back: number[] = [];
    void a.start(events((envelope) => back.push(envelope[0]!)));
    network.cut(1, 2);
    a.send(2, new Uint8Array([1]));
    b.send(1, new Uint8Array([2]));
    clock.advance(5);
    expect([came, back]).toEqual([[], [2]]);
    network.mend();
    network.part([1], [2]);
    b.send(1, new Uint8Array([3]));
    clock.advance(5);
    expect(back).toEqual([2]);
  });

  test("frozen, a machine's timers and mail wait, and a repeating timer falls due once", () => {
    const { clock, a, b, came } = pair();
    const ticks: number[] = [];
    b.clock.every(10, () => ticks.push(clock.monotonic()));
    b.clock.after(25, () => ticks.push(-1));
    clock.advance(10);
    b.freeze();
    a.send(2, new Uint8Array([1]));
    clock.advance(100);
    expect([ticks, came]).toEqual([[10], []]);
    b.thaw();
    expect([ticks, came]).toEqual([[10, 110, -1], [1]]);
    clock.advance(10);
    expect(ticks.at(-1)).toBe(120);
  });

  test("dead, nothing happens on it ever again", () => {
    const { clock, a, b, came } = pair();
    b.clock.after(5, () => came.push(99));
    a.send(2, new Uint8Array([1]));
    b.kill();
    clock.advance(100);
    expect(came).toEqual([]);
  });

  test("what a slow machine has not taken is queued at the sender", () => {
    const { clock, a, b, came } = pair();
    b.bytesPerMs = 1;
    sendMany(a, 10);
    expect(a.queuedBytes(2)).toBe(10);
    clock.advance(5);
    expect(came.length).toBeLessThan(7);
    clock.advance(10);
    expect([came.length, a.queuedBytes(2)]).toEqual([10, 0]);
  });
});
