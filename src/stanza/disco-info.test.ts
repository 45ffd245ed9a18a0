/** The examples of XEP-0115 and XEP-0390, the rules about ill-formed answers, and forgeries with the right hash. */
import { describe, expect, test } from "bun:test";
import { parseElement } from "../xml/element.ts";
import {
  ambiguity,
  caps2Hash,
  caps2Input,
  capsInput,
  capsVersion,
  compareOctets,
  type DiscoInfo,
  discoForm,
  discoInfoElement,
  illFormed,
  parseDiscoInfo,
} from "./disco-info.ts";
import { ns } from "./ns.ts";

const infoOf = (inside: string): DiscoInfo =>
  parseDiscoInfo(parseElement(`<query xmlns='${ns.discoInfo}'>${inside}</query>`, ns.client))!;

const exodus = infoOf(`
  <identity category='client' name='Exodus 0.9.1' type='pc'/>
  <feature var='http://jabber.org/protocol/muc'/>
  <feature var='http://jabber.org/protocol/disco#info'/>
  <feature var='http://jabber.org/protocol/caps'/>
  <feature var='http://jabber.org/protocol/disco#items'/>`);

const psi = infoOf(`
  <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
  <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
  <feature var='http://jabber.org/protocol/caps'/>
  <feature var='http://jabber.org/protocol/disco#info'/>
  <feature var='http://jabber.org/protocol/disco#items'/>
  <feature var='http://jabber.org/protocol/muc'/>
  <x xmlns='jabber:x:data' type='result'>
    <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
    <field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>
    <field var='os'><value>Mac</value></field>
    <field var='os_version'><value>10.5.1</value></field>
    <field var='software'><value>Psi</value></field>
    <field var='software_version'><value>0.11</value></field>
  </x>`);

const bombus = infoOf(
  `<identity category="client" name="BombusMod" type="mobile"/>${[
    "http://jabber.org/protocol/si",
    "http://jabber.org/protocol/bytestreams",
    "http://jabber.org/protocol/chatstates",
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    "urn:xmpp:ping",
    "jabber:iq:time",
    "jabber:iq:privacy",
    "jabber:iq:version",
    "http://jabber.org/protocol/rosterx",
    "urn:xmpp:time",
    "jabber:x:oob",
    "http://jabber.org/protocol/ibb",
    "http://jabber.org/protocol/si/profile/file-transfer",
    "urn:xmpp:receipts",
    "jabber:iq:roster",
    "jabber:iq:last",
  ]
    .map((feature) => `<feature var="${feature}"/>`)
    .join("")}`,
);

const protocol = "http://jabber.org/protocol";
const tkabber: DiscoInfo = {
  identities: [
    { category: "client", type: "pc", lang: "en", name: "Tkabber" },
    { category: "client", type: "pc", lang: "ru", name: "Ткаббер" },
  ],
  features: [
    ...["games:board", `${protocol}/activity`, `${protocol}/activity+notify`, `${protocol}/bytestreams`],
    ...[`${protocol}/chatstates`, `${protocol}/commands`, `${protocol}/disco#info`, `${protocol}/disco#items`],
    ...[`${protocol}/evil`, `${protocol}/feature-neg`, `${protocol}/geoloc`, `${protocol}/geoloc+notify`],
    ...[`${protocol}/ibb`, `${protocol}/iqibb`, `${protocol}/mood`, `${protocol}/mood+notify`, `${protocol}/rosterx`],
    ...[`${protocol}/si`, `${protocol}/si/profile/file-transfer`, `${protocol}/tune`],
    ...["http://www.facebook.com/xmpp/messages"],
    ...["http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify"],
    ...["avatar", "browse", "dtcp", "filexfer", "ibb", "inband", "jidlink", "last", "oob", "privacy"].map(
      (word) => `jabber:iq:${word}`,
    ),
    ...["jabber:iq:roster", "jabber:iq:time", "jabber:iq:version", "jabber:x:data", "jabber:x:event", "jabber:x:oob"],
    ...["urn:xmpp:avatar:metadata+notify", "urn:xmpp:ping", "urn:xmpp:receipts", "urn:xmpp:time"],
  ],
  forms: [
    discoForm("urn:xmpp:dataforms:softwareinfo", [
      { var: "software", values: ["Tkabber"] },
      { var: "software_version", values: ["0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)"] },
      { var: "os", values: ["Windows"] },
      { var: "os_version", values: ["XP"] },
    ]),
  ],
};

describe("hashes", () => {
  test("XEP-0115 sections 5.2 and 5.3", () => {
    expect(capsVersion(exodus, "sha-1")).toBe("QgayPKawpkPSDYmwT/WM94uAlu0=");
    expect(capsVersion(psi, "sha-1")).toBe("q07IKJEyjvHSyhy//CH0CxmKi8w=");
  });

  test("XEP-0390 section 4.5", () => {
    expect(caps2Hash(bombus, "sha-256")).toBe("kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=");
    expect(caps2Hash(bombus, "sha3-256")).toBe("79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=");
    expect(caps2Hash(tkabber, "sha-256")).toBe("u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=");
    expect(caps2Hash(tkabber, "sha3-256")).toBe("XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=");
  });

  test("do not depend on any order", () => {
    const turned: DiscoInfo = {
      identities: [...tkabber.identities].reverse(),
      features: [...tkabber.features].reverse(),
      forms: tkabber.forms.map((form) => ({ fields: [...form.fields].reverse() })),
    };
    expect(capsInput(turned)).toBe(capsInput(tkabber));
    expect(caps2Input(turned)).toBe(caps2Input(tkabber)!);
  });

  test("an unknown hash function has none", () => {
    expect(capsVersion(exodus, "md2")).toBeUndefined();
    expect(caps2Hash(exodus, "constructor")).toBeUndefined();
  });

  test("XEP-0390 section 4.1 aborts where structure would be lost", () => {
    expect(caps2Input(infoOf("<identity category='a' type='b'/><other/>"))).toBeUndefined();
    expect(caps2Input(infoOf("<x xmlns='jabber:x:data'><field var='a'/></x>"))).toBeUndefined();
    const table = `<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value></field><reported/></x>`;
    expect(caps2Input(infoOf(table))).toBeUndefined();
  });

  test("strings sort by octets of UTF-8", () => {
    const texts = ["z", "\u{1f600}", "\uffff", "\ud7ff", "\ue000", "é", "a", "", "ab", "\u{10ffff}"];
    const octets = [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect([...texts].sort(compareOctets)).toEqual(octets);
  });
});

test("what is written is read again", () => {
  const text = discoInfoElement(tkabber, "a'b").text;
  expect(parseElement(text, ns.client).attr("node")).toBe("a'b");
  expect(parseDiscoInfo(parseElement(text, ns.client))).toEqual(tkabber);
  expect(parseDiscoInfo(parseElement("<query xmlns='jabber:iq:last'/>", ns.client))).toBeUndefined();
});

test("an inherited language is part of the identities", () => {
  const query = parseElement(
    `<query xmlns='${ns.discoInfo}'><identity category='a' type='b'/><identity category='a' type='b' xml:lang='de'/></query>`,
    ns.client,
  );
  expect(parseDiscoInfo(query, "en")!.identities.map(({ lang }) => lang)).toEqual(["en", "de"]);
});

describe("XEP-0115 section 5.4", () => {
  const form = (type: string, ...more: string[]) =>
    `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>${[type, ...more]
      .map((value) => `<value>${value}</value>`)
      .join("")}</field></x>`;
  for (const [name, inside, expected] of [
    ["well-formed", "<identity category='a' type='b'/><feature var='c'/>", undefined],
    ["identities", "<identity category='a' type='b'/><identity category='a' type='b'/>", "an identity twice"],
    ["features", "<feature var='c'/><feature var='c'/>", "a feature twice"],
    ["forms", form("t") + form("t"), "two forms of one FORM_TYPE"],
    ["form types", form("t", "u"), "a form with two FORM_TYPEs"],
    ["the same type twice over", form("t", "t"), undefined],
  ] as const) {
    test(name, () => expect(illFormed(infoOf(inside))).toBe(expected));
  }

  test("a form without a hidden FORM_TYPE is not hashed", () => {
    const extra = "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>t</value></field></x>";
    const base = "<identity category='a' type='b'/>";
    expect(capsInput(infoOf(base + extra))).toBe(capsInput(infoOf(base)));
  });
});

describe("forgeries with the right XEP-0115 hash are seen", () => {
  const honest = exodus;
  const [caps, info, items, muc] = [...honest.features].sort(compareOctets) as [string, string, string, string];
  const identity = { category: "client", type: "pc", name: "Exodus 0.9.1" };
  const forged: Record<string, DiscoInfo> = {
    "features hidden in the name of an identity": {
      identities: [{ ...identity, name: `Exodus 0.9.1<${caps}<${info}` }],
      features: [items, muc],
      forms: [],
    },
    "features passed off as one": {
      identities: [identity],
      features: [`${caps}<${info}`, items, muc],
      forms: [],
    },
    "the first features passed off as identities": {
      identities: [identity, { category: "http:", type: "", lang: "jabber.org", name: "protocol/caps" }],
      features: [info, items, muc],
      forms: [],
    },
    "the last features passed off as a form": {
      identities: [identity],
      features: [caps, info],
      forms: [discoForm(items, [{ var: muc, values: [] }])],
    },
    "the identity passed off as a feature": {
      identities: [],
      features: ["client/pc//Exodus 0.9.1", ...honest.features],
      forms: [],
    },
  };
  for (const [name, info] of Object.entries(forged)) {
    test(name, () => {
      expect(capsVersion(info, "sha-1")).toBe(capsVersion(honest, "sha-1"));
      expect(illFormed(info)).toBeUndefined();
      expect(ambiguity(info)).toBeDefined();
    });
  }

  test("an ordinary answer is beyond doubt", () => {
    expect(ambiguity(exodus)).toBeUndefined();
    expect(ambiguity(tkabber)).toBeUndefined();
  });
});
