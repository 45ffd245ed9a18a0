/** What a message costs that both sides' archives keep (XEP-0313); each server in the storage it comes with. */
import { messages } from "./messages.ts";
import type { Case, Scenario } from "./scenario.ts";

export const archive: Scenario = {
  ...messages,
  name: "archive",
  summary: "CPU of 100,000 messages that the archives of both users keep, 1 and 10 outstanding",
  cases: (scale): Case[] =>
    messages
      .cases(scale)
      .filter(({ name }) => name.startsWith("plain, ") && name.endsWith("outstanding"))
      .map((each) => ({ ...each, features: { archive: true } })),
};
