import { expect, test } from "bun:test";
import { StanzaError } from "../stanza/errors.ts";
import { parseJid } from "../stanza/jid.ts";
import { message, type Stanza } from "../stanza/stanza.ts";
import { feed, type LongRequest, stopFeed } from "./feed.ts";
import { Session } from "./session.ts";

/** A session whose client takes `room` stanzas, and more when the test says so. */
class Client {
  readonly got: string[] = [];
  readonly refused: string[] = [];
  readonly answered: string[] = [];
  readonly session: Session;
  room: number;
  #more: (() => void) | undefined = undefined;

  constructor(room: number) {
    this.room = room;
    this.session = new Session(1, parseJid("a@localhost/x")!, { deliver() {} } as never, undefined, 0);
    this.session.outlet = {
      secure() {},
      write: (_session, stanza: Stanza) => {
        this.room--;
        this.got.push(stanza.id!);
      },
      room: () => {
        if (this.room > 0) return undefined;
        return new Promise((resolve) => {
          this.#more = resolve;
        });
      },
    };
  }

  async takes(room: number): Promise<void> {
    this.room = room;
    this.#more?.();
    await turn();
  }

  asks(name: string, stanzas: number, chars = 1): LongRequest {
    return {
      chars,
      answer: async (late) => {
        this.answered.push(late ? `${name} late` : name);
        if (stanzas < 0) throw new Error("no answer");
        const all = Array.from({ length: stanzas }, (_, at) => message({ id: `${name}${at}` }));
        return { stanzas: all, written: () => void this.got.push(`${name}.`) };
      },
      refuse: (error) => void this.refused.push(`${name} ${(error as Error).message}`),
    };
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("with room an answer is given at once, and who asks waits for it", async () => {
  const client = new Client(10);
  await feed(client.session, client.asks("a", 2));
  expect(client.got).toEqual(["a0", "a1", "a."]);
  await feed(client.session, client.asks("b", 1));
  expect(client.got.slice(3)).toEqual(["b0", "b."]);
  expect(client.answered).toEqual(["a", "b"]);
});

test("without room what is left waits, and those who ask meanwhile wait in order and are read on", async () => {
  const client = new Client(1);
  await feed(client.session, client.asks("a", 3));
  expect(feed(client.session, client.asks("b", 2))).toBeUndefined();
  expect(feed(client.session, client.asks("c", 1))).toBeUndefined();
  expect(client.got).toEqual(["a0"]);
  await client.takes(2);
  expect(client.got).toEqual(["a0", "a1", "a2", "a."]);
  expect(client.answered).toEqual(["a"]);
  await client.takes(5);
  expect(client.got.slice(4)).toEqual(["b0", "b1", "b.", "c0", "c."]);
  expect(client.answered).toEqual(["a", "b late", "c late"]);
});

test("an answer that fails is refused, or thrown where its asker waits; the next ones follow", async () => {
  const client = new Client(1);
  expect(feed(client.session, client.asks("a", -1))).rejects.toThrow("no answer");
  await turn();
  await feed(client.session, client.asks("b", 2));
  void feed(client.session, client.asks("c", -1));
  void feed(client.session, client.asks("d", 1));
  await client.takes(5);
  expect(client.got).toEqual(["b0", "b1", "b.", "d0", "d."]);
  expect(client.refused).toEqual(["c no answer"]);
});

test("what waits has a limit in memory too", async () => {
  const client = new Client(0);
  for (const name of ["a", "b"]) feed(client.session, client.asks(name, 1, 200_000));
  expect(() => feed(client.session, client.asks("c", 1, 200_000))).toThrow("Too many requests wait");
  await client.takes(5);
  expect(client.got).toEqual(["a0", "a.", "b0", "b."]);
  await feed(client.session, client.asks("c", 1, 200_000));
  expect(client.got.slice(4)).toEqual(["c0", "c."]);
});

test("a session that is over is written nothing more, and no further answer is made", async () => {
  const client = new Client(1);
  await feed(client.session, client.asks("a", 3));
  void feed(client.session, client.asks("b", 1));
  await stopFeed(client.session);
  await client.takes(5);
  expect([client.got, client.answered, client.refused]).toEqual([["a0"], ["a"], []]);
});

test("one that moves has its requests refused, also the one that is being answered, and may ask again", async () => {
  const client = new Client(1);
  await feed(client.session, client.asks("a", 3));
  void feed(client.session, client.asks("b", 1));
  await stopFeed(client.session, new StanzaError("resource-constraint", { text: "moves" }));
  expect(client.refused.map((text) => text.split(" ")[0])).toEqual(["a", "b"]);
  await client.takes(5);
  await feed(client.session, client.asks("c", 1));
  expect(client.got).toEqual(["a0", "c0", "c."]);
});
