/** XEP-0115 Entity Capabilities 1.6.0 and XEP-0390 Entity Capabilities 2.0 0.3.2: what the server can do, and its clients. */
import { option } from "../../config/option.ts";
import { defineModule } from "../../hooks/define-module.ts";
import { caps2Hash, capsVersion, type DiscoInfo } from "../../stanza/disco-info.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { ns } from "../../stanza/ns.ts";
import { type Xml, xml } from "../../xml/xml.ts";
import { advertisementIn, caps2Node, hashSetIn } from "./advertisement.ts";
import { sharedCache } from "./caps-cache.ts";
import { Learner } from "./learner.ts";

/** XEP-0115 section 4: names the software, and with the hash after it a node of ours. */
const softwareUri = "urn:x-meerkat:server";

export const caps = defineModule({
  name: "mod_caps",
  summary: "Learns what each client can do from a hash in its presence, and tells clients the same of the server.",
  xeps: [
    { number: 115, version: "1.6.0", note: "server side; without the optimisation of section 8.4" },
    { number: 390, version: "0.3.2", note: "server side; without query interception" },
  ],
  options: {
    backend: option.choice({
      doc: "Accepted for configurations of MongooseIM: what was learnt is kept in memory and learnt again after a start.",
      values: ["cets"],
      default: "cets",
      unsupported: { mnesia: "what was learnt is kept in memory", rdbms: "what was learnt is kept in memory" },
    }),
    versions: option.list(
      option.choice({ doc: "v1 is XEP-0115, v2 is XEP-0390.", values: ["v1", "v2"], required: true }),
      { doc: "What is advertised and understood.", default: ["v1", "v2"], minItems: 1, distinct: true },
    ),
    iq_response_timeout: option.duration({
      doc: "How long a client may take to say what its hash means.",
      default: 5_000,
      min: 1,
      unit: "ms",
    }),
    cache_size: option.integer({
      doc: "Most hashes whose meaning is remembered; those of all hosts count together, by the first host's limit.",
      default: 10_000,
      min: 1,
    }),
  },
  features: { server: [ns.caps, ns.caps2, ns.caps2Gratuitous] },
  requires: ["mod_disco"],

  setup(on, context) {
    const { versions, iqResponseTimeoutMs, cacheSize } = context.options;
    const cache = sharedCache(context.store, cacheSize);
    // One node has asked: the others need not.
    const tell = context.notices("caps", (text) => {
      if (text === undefined) return;
      const [key, ...features] = JSON.parse(text) as string[];
      if (key !== undefined) cache.set(key, features);
    });
    const learner = new Learner({
      cache,
      learned: (key, features) => tell(JSON.stringify([key, ...features])),
      clock: context.clock,
      log: context.log,
      ask: (session, payload) => context.request("get", session.jid, payload, iqResponseTimeoutMs),
    });

    on.session("available", (session, presence) => {
      learner.seen(session, advertisementIn(presence, versions));
      return undefined;
    });
    on.session("updated", (session, presence) => {
      learner.seen(session, advertisementIn(presence, versions));
      return undefined;
    });
    on.answer("clientFeatures", (session) => learner.featuresOf(session));

    // XEP-0390 section 5.6, gratuitous capabilities: before the first presence.
    on.iq("set", "server", ns.caps2, "c", (_request, { session, payload }) => {
      if (session === undefined) throw new StanzaError("forbidden", { text: "Tell your own server" });
      const advertised = versions.includes("v2") ? hashSetIn(payload) : undefined;
      if (advertised === undefined) throw new StanzaError("not-acceptable", { text: "No hash of a known function" });
      learner.seen(session, advertised);
      return undefined;
    });

    /** Computed again when the host's modules, and so its answer, have changed. */
    let own: OwnCaps | undefined;
    const ownCaps = (): OwnCaps | undefined => {
      const info = context.ask("serverInfo");
      if (info !== undefined && own?.info !== info) own = ownCapsOf(info, versions);
      return own;
    };
    on.streamFeature(() => ownCaps()?.element);
    on.answer("serverNode", (node) => {
      const mine = ownCaps();
      return mine?.nodes.includes(node) ? mine.info : undefined;
    });
    return undefined;
  },
});

interface OwnCaps {
  readonly info: DiscoInfo;
  /** Nodes at which the host explains its hashes. */
  readonly nodes: readonly string[];
  /** For the stream features. */
  readonly element: Xml;
}

function ownCapsOf(info: DiscoInfo, versions: readonly string[]): OwnCaps {
  const nodes: string[] = [];
  const elements: Xml[] = [];
  if (versions.includes("v1")) {
    const ver = capsVersion(info, "sha-1")!;
    nodes.push(`${softwareUri}#${ver}`);
    elements.push(xml`<c xmlns='${ns.caps}' hash='sha-1' node='${softwareUri}' ver='${ver}'/>`);
  }
  if (versions.includes("v2")) {
    const hash = caps2Hash(info, "sha-256")!;
    nodes.push(caps2Node("sha-256", hash));
    elements.push(xml`<c xmlns='${ns.caps2}'><hash xmlns='${ns.hashes}' algo='sha-256'>${hash}</hash></c>`);
  }
  return { info, nodes, element: xml`${elements}` };
}
