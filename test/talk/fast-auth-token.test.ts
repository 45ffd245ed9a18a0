/** XEP-0484: tokens are renewed through two slots, and are void after logging out, a new password, or their time. */
import { describe, expect, test } from "bun:test";
import type { FastTokenService } from "../../src/hooks/services.ts";
import { fastAuthToken } from "../../src/modules/fast-auth-token.ts";
import { parseJid } from "../../src/stanza/jid.ts";
import { Conversation } from "../support/conversation.ts";

const alice = parseJid("alice@localhost")!;
const agent = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const mechanism = "HT-SHA-256-NONE";

async function start(): Promise<{ talk: Conversation; service: FastTokenService }> {
  const talk = await Conversation.start({ modules: [fastAuthToken] });
  return { talk, service: talk.host.registry.service("fastTokens")! };
}

const secrets = async (service: FastTokenService) =>
  (await service.tokens("alice", "localhost", agent)).map((token) => token.secret);

describe("tokens", () => {
  test("the old one works until the new one was used, and then no more", async () => {
    const { talk, service } = await start();
    const first = await service.issue(alice, agent, mechanism);
    const [stored] = await service.tokens("alice", "localhost", agent);
    await service.used(alice, agent, stored!, 1);
    const second = await service.issue(alice, agent, mechanism);
    expect(new Set(await secrets(service))).toEqual(new Set([first.token, second.token]));
    const used = (await service.tokens("alice", "localhost", agent)).find((token) => token.secret === second.token)!;
    await service.used(alice, agent, used, 7);
    expect(await service.tokens("alice", "localhost", agent)).toEqual([{ ...used, count: 7 }]);
    await talk.stop();
  });

  test("one that was never used gives way to the next", async () => {
    const { talk, service } = await start();
    await service.issue(alice, agent, mechanism);
    const second = await service.issue(alice, agent, mechanism);
    expect(await secrets(service)).toEqual([second.token]);
    await talk.stop();
  });

  test("are for one client installation, one account and one host", async () => {
    const { talk, service } = await start();
    await service.issue(alice, agent, mechanism);
    expect(await service.tokens("alice", "localhost", "0a565fa7-4d72-4749-b3d3-740edbf87770")).toEqual([]);
    expect(await service.tokens("bob", "localhost", agent)).toEqual([]);
    expect(await service.tokens("alice", "example.org", agent)).toEqual([]);
    await talk.stop();
  });

  test("are void after logging out with <fast invalidate='true'/>", async () => {
    const { talk, service } = await start();
    await service.issue(alice, agent, mechanism);
    await service.invalidate(alice, agent);
    expect(await secrets(service)).toEqual([]);
    await talk.stop();
  });

  test.each(["passwordChanged", "removed"] as const)("are void when the account is %s", async (event) => {
    const { talk, service } = await start();
    await service.issue(alice, agent, mechanism);
    for (const handler of talk.host.registry.accounts[event]) await handler(alice);
    expect(await secrets(service)).toEqual([]);
    await talk.stop();
  });

  test("are kept for so many installations of an account, and no longer than they work", async () => {
    const talk = await Conversation.start({
      modules: [fastAuthToken],
      options: { mod_fast_auth_token: { max_clients: 3 } },
    });
    const service = talk.host.registry.service("fastTokens")!;
    const installation = (number: number) => `d4565fa7-4d72-4749-b3d3-${String(number).padStart(12, "0")}`;
    const bob = parseJid("bob@localhost")!;
    await service.issue(bob, agent, mechanism);
    for (let number = 1; number <= 5; number++) {
      await talk.clock.advance(1);
      await service.issue(alice, installation(number), mechanism);
    }
    const alive: number[] = [];
    for (let number = 1; number <= 5; number++)
      if ((await service.tokens("alice", "localhost", installation(number))).length > 0) alive.push(number);
    expect(alive).toEqual([3, 4, 5]);
    expect(await service.tokens("bob", "localhost", agent)).toHaveLength(1);

    await talk.store
      .tables<{ fast_auth_tokens: { username: string; expires_at: number } }>()
      .updateTable("fast_auth_tokens")
      .set({ expires_at: talk.clock.now() })
      .where("username", "=", "alice")
      .execute();
    await service.issue(alice, installation(6), mechanism);
    expect(await service.tokens("alice", "localhost", installation(5))).toEqual([]);
    expect(await service.tokens("alice", "localhost", installation(6))).toHaveLength(1);
    await talk.stop();
  });

  test("are due for renewal when less than the configured time is left", async () => {
    const talk = await Conversation.start({
      modules: [fastAuthToken],
      options: { mod_fast_auth_token: { validity_days: 10, rotate_before_expire_days: 10 } },
    });
    const service = talk.host.registry.service("fastTokens")!;
    await service.issue(alice, agent, mechanism);
    await talk.clock.advance(10);
    const [token] = await service.tokens("alice", "localhost", agent);
    expect(await service.used(alice, agent, token!, undefined)).toEqual({ renew: true });
    await talk.stop();
  });
});
