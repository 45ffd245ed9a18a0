/** What a message costs that both sides' archives keep (XEP-0313), in the storage each server comes with, and in PostgreSQL. */
import { postgresHere } from "../servers/postgres.ts";
import { messages } from "./messages.ts";
import type { Case, Scenario } from "./scenario.ts";

export const archive: Scenario = {
  ...messages,
  name: "archive",
  summary: "CPU of 100,000 messages that the archives of both users keep, 1 and 10 outstanding",
  cases(scale): Case[] {
    const plain = messages
      .cases(scale)
      .filter(({ name }) => name.startsWith("plain, ") && name.endsWith("outstanding"));
    const own = plain.map((each): Case => ({ ...each, features: { archive: true } }));
    if (!postgresHere) return own;
    const shared = plain.map(
      (each): Case => ({
        ...each,
        name: each.name.replace("plain", "PostgreSQL"),
        // The database's own CPU is not counted. Prosody's archive in SQL is not set up here.
        servers: ["meerkat", "ejabberd"],
        features: { archive: true, postgres: true },
      }),
    );
    return [...own, ...shared];
  },
};
