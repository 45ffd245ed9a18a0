/** RFC 6121 appendix A: every cell of the tables of section A.2 (outbound) and A.3 (inbound), and pre-approval. */
import { describe, expect, test } from "bun:test";
import {
  APPROVED,
  FROM,
  inbound,
  outbound,
  PENDING_IN,
  PENDING_OUT,
  type SubscriptionType,
  subscriptionOf,
  TO,
} from "../../src/modules/roster/subscription.ts";

const states = {
  None: 0,
  "None + Pending Out": PENDING_OUT,
  "None + Pending In": PENDING_IN,
  "None + Pending Out+In": PENDING_OUT | PENDING_IN,
  To: TO,
  "To + Pending In": TO | PENDING_IN,
  From: FROM,
  "From + Pending Out": FROM | PENDING_OUT,
  Both: TO | FROM,
} as const;
type StateName = keyof typeof states;

function nameOf(state: number): string {
  const found = Object.entries(states).find(([, flags]) => flags === (state & ~APPROVED));
  return `${found?.[0] ?? `impossible ${state}`}${state & APPROVED ? ", approved" : ""}`;
}

/** State before → whether the stanza goes on, and the state after. */
type Table = Record<StateName, readonly ["yes" | "no" | "answered", string]>;

const outboundTables: Record<SubscriptionType, Table> = {
  subscribe: {
    None: ["yes", "None + Pending Out"],
    "None + Pending Out": ["yes", "None + Pending Out"],
    "None + Pending In": ["yes", "None + Pending Out+In"],
    "None + Pending Out+In": ["yes", "None + Pending Out+In"],
    To: ["yes", "To"],
    "To + Pending In": ["yes", "To + Pending In"],
    From: ["yes", "From + Pending Out"],
    "From + Pending Out": ["yes", "From + Pending Out"],
    Both: ["yes", "Both"],
  },
  unsubscribe: {
    None: ["yes", "None"],
    "None + Pending Out": ["yes", "None"],
    "None + Pending In": ["yes", "None + Pending In"],
    "None + Pending Out+In": ["yes", "None + Pending In"],
    To: ["yes", "None"],
    "To + Pending In": ["yes", "None + Pending In"],
    From: ["yes", "From"],
    "From + Pending Out": ["yes", "From"],
    Both: ["yes", "From"],
  },
  subscribed: {
    None: ["no", "None, approved"],
    "None + Pending Out": ["no", "None + Pending Out, approved"],
    "None + Pending In": ["yes", "From"],
    "None + Pending Out+In": ["yes", "From + Pending Out"],
    To: ["no", "To, approved"],
    "To + Pending In": ["yes", "Both"],
    From: ["no", "From"],
    "From + Pending Out": ["no", "From + Pending Out"],
    Both: ["no", "Both"],
  },
  unsubscribed: {
    None: ["no", "None"],
    "None + Pending Out": ["no", "None + Pending Out"],
    "None + Pending In": ["yes", "None"],
    "None + Pending Out+In": ["yes", "None + Pending Out"],
    To: ["no", "To"],
    "To + Pending In": ["yes", "To"],
    From: ["yes", "None"],
    "From + Pending Out": ["yes", "None + Pending Out"],
    Both: ["yes", "To"],
  },
};

const inboundTables: Record<SubscriptionType, Table> = {
  subscribe: {
    None: ["yes", "None + Pending In"],
    "None + Pending Out": ["yes", "None + Pending Out+In"],
    "None + Pending In": ["no", "None + Pending In"],
    "None + Pending Out+In": ["no", "None + Pending Out+In"],
    To: ["yes", "To + Pending In"],
    "To + Pending In": ["no", "To + Pending In"],
    From: ["answered", "From"],
    "From + Pending Out": ["answered", "From + Pending Out"],
    Both: ["answered", "Both"],
  },
  unsubscribe: {
    None: ["no", "None"],
    "None + Pending Out": ["no", "None + Pending Out"],
    "None + Pending In": ["yes", "None"],
    "None + Pending Out+In": ["yes", "None + Pending Out"],
    To: ["no", "To"],
    "To + Pending In": ["yes", "To"],
    From: ["yes", "None"],
    "From + Pending Out": ["yes", "None + Pending Out"],
    Both: ["yes", "To"],
  },
  subscribed: {
    None: ["no", "None"],
    "None + Pending Out": ["yes", "To"],
    "None + Pending In": ["no", "None + Pending In"],
    "None + Pending Out+In": ["yes", "To + Pending In"],
    To: ["no", "To"],
    "To + Pending In": ["no", "To + Pending In"],
    From: ["no", "From"],
    "From + Pending Out": ["yes", "Both"],
    Both: ["no", "Both"],
  },
  unsubscribed: {
    None: ["no", "None"],
    "None + Pending Out": ["yes", "None"],
    "None + Pending In": ["no", "None + Pending In"],
    "None + Pending Out+In": ["yes", "None + Pending In"],
    To: ["yes", "None"],
    "To + Pending In": ["yes", "None + Pending In"],
    From: ["no", "From"],
    "From + Pending Out": ["yes", "From"],
    Both: ["yes", "From"],
  },
};

for (const [type, table] of Object.entries(outboundTables) as [SubscriptionType, Table][]) {
  describe(`A.2, outbound "${type}"`, () => {
    for (const [name, [goesOn, after]] of Object.entries(table) as [StateName, Table[StateName]][]) {
      test(name, () => {
        const step = outbound(states[name], type);
        expect({ route: step.route, state: nameOf(step.state) }).toEqual({ route: goesOn === "yes", state: after });
      });
    }
  });
}

for (const [type, table] of Object.entries(inboundTables) as [SubscriptionType, Table][]) {
  describe(`A.3, inbound "${type}"`, () => {
    for (const [name, [goesOn, after]] of Object.entries(table) as [StateName, Table[StateName]][]) {
      test(name, () => {
        const step = inbound(states[name], type);
        expect({ deliver: step.deliver, approve: step.approve, state: nameOf(step.state) }).toEqual({
          deliver: goesOn === "yes",
          approve: goesOn === "answered",
          state: after,
        });
      });
    }
  });
}

describe("3.4, pre-approval", () => {
  test("a request that was allowed before it came is answered and not shown", () => {
    expect(inbound(APPROVED, "subscribe")).toEqual({ state: FROM | APPROVED, deliver: false, approve: true });
    expect(inbound(TO | APPROVED, "subscribe")).toEqual({ state: TO | FROM | APPROVED, deliver: false, approve: true });
    expect(inbound(PENDING_OUT | APPROVED, "subscribe").state).toBe(FROM | PENDING_OUT | APPROVED);
  });

  test("is taken back by unsubscribed, without a word to the contact", () => {
    for (const state of [0, PENDING_OUT, TO]) {
      expect(outbound(state | APPROVED, "unsubscribed")).toEqual({ state, route: false });
    }
  });

  test("outlives what the contact does", () => {
    for (const type of ["unsubscribe", "subscribed", "unsubscribed"] as const) {
      for (const state of Object.values(states)) {
        if (state & PENDING_IN) continue;
        expect(inbound(state | APPROVED, type).state & APPROVED).toBe(APPROVED);
      }
    }
  });
});

test("no sequence of stanzas leads to an impossible state", () => {
  const seen = new Set<number>([0]);
  const open = [0];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const type of ["subscribe", "subscribed", "unsubscribe", "unsubscribed"] as const) {
      for (const next of [outbound(state, type).state, inbound(state, type).state]) {
        expect(nameOf(next)).not.toContain("impossible");
        if (seen.has(next)) continue;
        seen.add(next);
        open.push(next);
      }
    }
  }
  for (const state of Object.values(states)) expect(seen.has(state)).toBe(true);
});

test("the subscription attribute", () => {
  expect(Object.values(states).map((state) => subscriptionOf(state))).toEqual([
    "none",
    "none",
    "none",
    "none",
    "to",
    "to",
    "from",
    "from",
    "both",
  ]);
});
