/** This server beside a bare relay on the same runtime that checks nothing: how far it is from what the runtime costs. */
import { connect } from "./connect.ts";
import { messages } from "./messages.ts";
import { type Case, cpuPer, type Figure, perSecond, type Scenario } from "./scenario.ts";

/** Users that only are have sent nothing. */
function ofMessages(figure: Figure): Figure {
  return { ...figure, of: (outcome) => (outcome.verdict === undefined ? undefined : figure.of(outcome)) };
}

export const floor: Scenario = {
  name: "floor",
  summary: "this server beside the least program that could relay the same messages",
  servers: ["meerkat", "floor"],
  figures: [
    ofMessages(cpuPer(100_000, "100k messages")),
    ofMessages(perSecond("messages")),
    {
      key: "bytes",
      title: "KB of memory per user",
      digits: 1,
      of: ({ verdict, residentStart, residentIdle, users }) =>
        verdict === undefined ? (residentIdle! - residentStart!) / users / 1000 : undefined,
    },
  ],
  cases(scale): Case[] {
    // The relay knows no TLS and no mechanism but PLAIN, and asks for no password.
    const shared = { mechanism: "PLAIN", begins: "available" } as const;
    const talking = messages.cases(scale).filter(({ tls }) => tls === "none");
    const idle = connect.cases(scale).filter(({ tls }) => tls === "none");
    return [...talking, ...idle].map((each) => ({
      ...each,
      ...shared,
      name: each.name === "plain" ? "idle" : each.name,
    }));
  },
};
