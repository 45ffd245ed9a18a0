/** The scanner in the life of a stream: paused, begun again, and fed with whole messages. */
import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { OPEN, Trace } from "../../test/support/scanner-trace.ts";
import { TRUSTED_LIMITS } from "./limits.ts";
import { PAUSED_CHARS_MAX, Scanner } from "./scanner.ts";

describe("pausing", () => {
  test("keeps what follows, in order, and goes on where it was", () => {
    const trace = new Trace();
    trace.pauseAlways = true;
    trace.push("<s><a/><b/>").push("<c>é").push("</c></s>");
    expect(trace.events).toEqual(["open {}s"]);
    trace.scanner.resume();
    expect(trace.events.slice(1)).toEqual(["{}a"]);
    trace.scanner.resume();
    trace.scanner.resume();
    expect(trace.events.slice(1)).toEqual(["{}a", "{}b", "{}c inner=[é]"]);
    expect(trace.frames.at(-1)?.bytes).toBe(9);
    trace.scanner.resume();
    expect(trace.events.at(-1)).toBe("end");
  });

  test("resume() before the sink has returned", () => {
    const seen: string[] = [];
    const scanner: Scanner = new Scanner({
      streamStart: () => true,
      element: (frame) => {
        seen.push(frame.name);
        if (frame.name === "a") scanner.resume();
        return false;
      },
      streamEnd: () => {},
    });
    scanner.push(Buffer.from("<s><a/><b/><c/>"));
    expect(seen).toEqual(["a", "b"]);
    expect(scanner.paused).toBe(true);
  });

  test("resume() without a pause does nothing", () => {
    const trace = new Trace().push("<s><a");
    trace.scanner.resume();
    expect(trace.push("/>").events).toEqual(["open {}s", "{}a"]);
  });

  test("what waits is bounded", () => {
    const trace = new Trace();
    trace.pauseAlways = true;
    trace.push("<s><a/>");
    const chunk = Buffer.alloc(64 * 1024, " ");
    let pushed = 0;
    while (trace.events.length === 1 && pushed <= 2 * PAUSED_CHARS_MAX) {
      trace.push(chunk);
      pushed += chunk.length;
    }
    expect(trace.events.at(-1)).toBe("error policy-violation");
    expect(pushed).toBeLessThanOrEqual(PAUSED_CHARS_MAX + chunk.length);
  });

  test("input that arrives while the sink is called is read afterwards", () => {
    const seen: string[] = [];
    const scanner: Scanner = new Scanner({
      streamStart: () => true,
      element: (frame) => {
        if (frame.name === "a") scanner.push(Buffer.from("<c>é</c>"));
        seen.push(`${frame.name}${frame.bytes}`);
        return true;
      },
      streamEnd: () => {},
    });
    scanner.push(Buffer.from("<s><a/><b/>"));
    expect(seen).toEqual(["a4", "b4", "c9"]);
  });
});

describe("stream restart", () => {
  const restarting = (discard: boolean, on: string): Trace => {
    const trace: Trace = new Trace();
    const scanner = new Scanner({
      streamStart: (frame) => trace.events.push(`open ${frame.name}`) > 0,
      element: (frame) => {
        trace.events.push(frame.name);
        if (frame.name === on) scanner.reset(discard);
        return true;
      },
      streamEnd: () => trace.events.push("end"),
    });
    trace.push = (bytes) => trace.attempt(() => scanner.push(Buffer.from(bytes)));
    return trace;
  };

  test("what was sent behind the last element belongs to the new document", () => {
    const trace = restarting(false, "auth").push("<s><auth/>\n<?xml version='1.0'?><t><x/>").push("<y/></t>");
    expect(trace.events).toEqual(["open s", "auth", "open t", "x", "y", "end"]);
  });

  test("what was sent behind STARTTLS is discarded", () => {
    const trace = restarting(true, "starttls").push(Buffer.from("<s><starttls/><evil/><ev").toString()).push("<t><x/>");
    expect(trace.events).toEqual(["open s", "starttls", "open t", "x"]);
  });

  test("half a character sent behind STARTTLS is discarded as well", () => {
    const trace = new Trace().push(Buffer.concat([Buffer.from("<s><starttls/>"), Buffer.from([0xc3])]));
    trace.scanner.reset(true);
    expect(trace.push("<t>").events).toEqual(["open {}s", "{}starttls", "open {}t"]);
  });

  test("nothing of the old document's namespaces is left", () => {
    const trace = new Trace().push(`${OPEN}<a/>`);
    trace.scanner.reset();
    trace.push("<s><b/><stream:c/>");
    expect(trace.events.slice(2)).toEqual(["open {}s", "{}b", "error not-well-formed"]);
  });

  test("after the end of a document", () => {
    const trace = new Trace().push("<s></s>rest");
    trace.scanner.reset();
    expect(trace.push("<t><a/>").events).toEqual(["open {}s", "end", "open {}t", "{}a"]);
  });
});

describe("messages (RFC 7395)", () => {
  test("each is one element", () => {
    const trace = new Trace()
      .message("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>")
      .message("  <message xmlns='jabber:client'><body>ж</body></message>\n");
    expect(trace.events).toEqual([
      "{urn:ietf:params:xml:ns:xmpp-framing}open to=[example.com] version=[1.0]",
      "{jabber:client}message inner=[<body>ж</body>] child={jabber:client}body@[<body>ж</body>]",
    ]);
    expect(trace.frames[1]?.bytes).toBe(56);
    expect(trace.message("<?xml version='1.0'?><a/>").events.at(-1)).toBe("{}a");
  });

  const refused: [text: string, condition: string][] = [
    ["", "not-well-formed"],
    [" ", "not-well-formed"],
    ["x", "not-well-formed"],
    ["<a>", "not-well-formed"],
    ["<a", "not-well-formed"],
    ["<", "not-well-formed"],
    ["</a>", "not-well-formed"],
    ["<a/><b/>", "not-well-formed"],
    ["<a/>x", "not-well-formed"],
    ["<a/><!-- -->", "restricted-xml"],
    ["<!-- --><a/>", "restricted-xml"],
    ["<?xml version='1.0'", "restricted-xml"],
    ["<?xml version='2.0'?><a/>", "not-well-formed"],
    ["<a>\ud800</a>", "not-well-formed"],
    ["<a b='\udc00'/>", "not-well-formed"],
    ["<stream:a/>", "not-well-formed"],
  ];
  test.each(refused)("%j is refused", (text, condition) => {
    expect(new Trace().message("<a/>").message(text).message("<b/>").events).toEqual(["{}a", `error ${condition}`]);
  });

  test("size is limited", () => {
    const limits = { ...TRUSTED_LIMITS, stanzaBytesMax: 10 };
    expect(new Trace(limits).message("<a>123</a>").events).toEqual(["{}a inner=[123]"]);
    expect(new Trace(limits).message("<a>1234</a>").events).toEqual(["error policy-violation"]);
    expect(new Trace(limits).message("<a>éé</a>").events).toEqual(["error policy-violation"]);
  });

  test("pausing keeps them apart and in order", () => {
    const trace = new Trace();
    trace.pauseAlways = true;
    trace.message("<a/>").message("<b/>").message("<c/>");
    expect(trace.events).toEqual(["{}a"]);
    trace.scanner.resume();
    expect(trace.events).toEqual(["{}a", "{}b"]);
    trace.message("<d/>");
    trace.scanner.resume();
    trace.scanner.resume();
    expect(trace.events).toEqual(["{}a", "{}b", "{}c", "{}d"]);
  });
});
