import { expect, test } from "bun:test";
import { attributeOf, Splitter, textOf } from "./splitter.ts";

const stream =
  "<?xml version='1.0'?><stream:stream from='localhost' id=\"a>b\"><stream:features><bind xmlns='x'/></stream:features> \n" +
  "<message from='a@b' id=\"m'>1\"><body>1 &lt; 2</body><a><a/></a></message><presence/><iq type='result'/></stream:stream>";

function traceOf(chunks: readonly string[]): string[] {
  const trace: string[] = [];
  const splitter = new Splitter();
  const pieces = {
    header: () => trace.push("header"),
    element: (text: string, start: number, end: number) => trace.push(text.slice(start, end)),
    end: () => trace.push("end"),
  };
  for (const chunk of chunks) splitter.feed(chunk, pieces);
  return trace;
}

test("a stream in one piece", () => {
  expect(traceOf([stream])).toEqual([
    "header",
    "<stream:features><bind xmlns='x'/></stream:features>",
    "<message from='a@b' id=\"m'>1\"><body>1 &lt; 2</body><a><a/></a></message>",
    "<presence/>",
    "<iq type='result'/>",
    "end",
  ]);
});

test("a stream cut anywhere, and byte by byte", () => {
  const whole = traceOf([stream]);
  for (let cut = 1; cut < stream.length; cut++) {
    expect(traceOf([stream.slice(0, cut), stream.slice(cut)])).toEqual(whole);
  }
  expect(traceOf([...stream])).toEqual(whole);
});

test("what follows a reset is another stream", () => {
  const trace: string[] = [];
  const splitter = new Splitter();
  const pieces = {
    header: () => trace.push("header"),
    element(text: string, start: number, end: number) {
      trace.push(text.slice(start, end));
      splitter.reset();
    },
    end: () => trace.push("end"),
  };
  splitter.feed("<stream:stream><success/>", pieces);
  splitter.feed("<stream:stream>", pieces);
  expect(trace).toEqual(["header", "<success/>", "header"]);
});

test("attributes of the outer tag, in either kind of quotes", () => {
  const text = `..<message from="a@b/c" type='chat'><body to='x'>hello</body><empty/></message>`;
  expect(attributeOf(text, 2, "from")).toBe("a@b/c");
  expect(attributeOf(text, 2, "type")).toBe("chat");
  expect(attributeOf(text, 2, "to")).toBe("");
  expect(textOf(text, 2, text.length, "body")).toBe("hello");
  expect(textOf(text, 2, text.length, "empty")).toBe("");
  expect(textOf(text, 2, text.length, "other")).toBe("");
});
