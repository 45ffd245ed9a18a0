/** XEP-0077 In-Band Registration 2.4: strangers make accounts, owners change their password or remove their account. */
import { type OptionsOf, option } from "../config/option.ts";
import { defineModule } from "../hooks/define-module.ts";
import { handled, reply, route } from "../hooks/effect.ts";
import type { IqContext, Stranger } from "../hooks/points.ts";
import { StanzaError } from "../stanza/errors.ts";
import { Jid, parseJid } from "../stanza/jid.ts";
import { ns } from "../stanza/ns.ts";
import { resultOf } from "../stanza/reply.ts";
import { message, type Stanza } from "../stanza/stanza.ts";
import { keyCharsMax } from "../store/columns.ts";
import { BoundedMap } from "../util/bounded-map.ts";
import type { Clock } from "../util/clock.ts";
import { IpRange, isLoopbackAddress, peerOf } from "../util/ip-address.ts";
import type { Element } from "../xml/element.ts";
import { type Xml, xml } from "../xml/xml.ts";

/** Peers whose registrations are remembered; the one longest without any is forgotten first. */
const peersMax = 20_000;
/** Attempts of one peer that may fail within `failureWindowMs`: names are not to be guessed one after the other. */
const failuresMax = 20;
const failureWindowMs = 600_000;
/** Longer than any name or password a person would type; whatever is longer only costs time. */
const fieldCharsMax = 1_023;

const options = {
  access: option.access({
    doc: "Who may be registered: applied to the address the new account would have.",
    default: "all",
  }),
  ip_access: option.list(
    option.table(
      {
        policy: option.choice({ doc: "What is done.", values: ["allow", "deny"], required: true }),
        address: option.string({
          doc: "A range of addresses, such as 192.0.2.0/24, or one address.",
          allowed: "an IP address, with the length of its network after a slash",
          check: (text) => IpRange.parse(text) !== undefined,
          required: true,
        }),
      },
      { doc: "One rule." },
    ),
    {
      doc: "From which addresses registration is possible: the first rule that fits counts, and where none fits, it is.",
    },
  ),
  password_strength: option.number({
    doc: "Least strength of a new password: its length times the bits of the kinds of characters in it; 0 for any.",
    default: 0,
    min: 0,
    unit: "bits",
  }),
  welcome_message: option.optionalTable(
    {
      subject: option.string({ doc: "Its subject.", default: "" }),
      body: option.string({ doc: "Its text.", default: "" }),
    },
    { doc: "A message that every new account receives." },
  ),
  registration_watchers: option.list(
    option.string({
      doc: "An address.",
      allowed: "an XMPP address",
      check: (text) => parseJid(text) !== undefined,
      required: true,
    }),
    { doc: "Who is told of every new account by a message.", distinct: true },
  ),
} as const;
type Options = OptionsOf<typeof options>;

export const register = defineModule({
  name: "mod_register",
  summary: "Lets people make accounts from their client, change their password, and remove their account.",
  xeps: [{ number: 77, version: "2.4", note: "without data forms and redirection" }],
  options,
  features: { server: [ns.register] },
  strangerFeatures: (given, stranger) =>
    refusalOf(stranger, given.ipAccess) === undefined ? xml`<register xmlns='${ns.registerFeature}'/>` : undefined,

  setup(on, context) {
    const { clock, accounts, domain, log } = context;
    const peers = new Peers(clock, context.registrationTimeoutMs);
    const newcomers = new Newcomers(context.address, context.options);

    on.strangerIq("get", ns.register, "query", (_request, stranger) => {
      checkStranger(stranger, context.options);
      return reply(strangerForm);
    });

    on.strangerIq("set", ns.register, "query", async (request, stranger) => {
      checkStranger(stranger, context.options);
      const query = request.firstChild()!;
      if (query.child("remove") !== undefined) {
        throw new StanzaError("unexpected-request", { text: "Log in to remove your account" });
      }
      const account = accountNamed(query.childText("username"), domain);
      const password = passwordIn(query, "not-acceptable");
      checkStrength(password, context.options.passwordStrength);
      if (!context.access.allow(context.options.access, account)) {
        throw new StanzaError("forbidden", { text: "This name cannot be registered" });
      }
      const peer = peerOf(stranger.remoteAddress);
      const attempt = peers.begin(peer);
      try {
        // Asked first, for the keys of a password cost much more than a look.
        if (await context.accountExists(account)) throw new StanzaError("conflict", { text: "That account exists" });
        await accounts.register(account, password);
      } catch (error) {
        attempt.failed();
        throw error;
      }
      log.info({ jid: account.full, remote: stranger.remoteAddress }, "account registered in-band");
      return newcomers.messagesFor(account, stranger.remoteAddress, clock.now()).map(route);
    });

    for (const target of ["account", "server"] as const) {
      on.iq("get", target, ns.register, "query", (_request, iq) => {
        const account = ownAccount(iq);
        return reply(
          xml`<query xmlns='${ns.register}'><registered/><instructions>${changeInstructions}</instructions><username>${
            account.local
          }</username><password/></query>`,
        );
      });

      on.iq("set", target, ns.register, "query", async (request, iq) => {
        const account = ownAccount(iq);
        if (iq.payload.child("remove") === undefined) {
          await changePassword(account, iq);
          return undefined;
        }
        if (iq.payload.elements().length > 1) {
          throw new StanzaError("bad-request", { text: "<remove/> stands alone" });
        }
        await removeAccount(account, request, iq);
        return handled;
      });
    }

    const changePassword = async (account: Jid, { payload, session }: IqContext) => {
      if (session?.link !== undefined && !isSafe(session.link)) {
        throw new StanzaError("not-authorized", { type: "modify", text: "Encrypt the stream first" });
      }
      const username = payload.childText("username");
      if (username === undefined) throw new StanzaError("bad-request", { text: "The user name is missing" });
      if (Jid.make(username, domain)?.local !== account.local) {
        throw new StanzaError("not-allowed", { text: "Only your own password is yours to change" });
      }
      const password = passwordIn(payload, "bad-request");
      checkStrength(password, context.options.passwordStrength);
      await accounts.changePassword(account, password);
      log.info({ jid: account.full }, "password changed in-band");
    };

    /** The answer goes out first: the account's sessions end with it (section 3.2). */
    const removeAccount = async (account: Jid, request: Stanza, { session }: IqContext) => {
      // Also makes sure, before we promise anything, that the database answers.
      if (!(await context.accountExists(account))) {
        throw new StanzaError("registration-required", { text: "There is no such account" });
      }
      session?.deliver(resultOf(request));
      await accounts.remove(account).catch((error: unknown) => {
        log.error({ err: error, jid: account.full }, "an account could not be removed completely");
      });
      log.info({ jid: account.full }, "account removed in-band");
    };

    return undefined;
  },
});

const strangerForm = xml`<query xmlns='${ns.register}'><instructions>Choose a user name and a password.</instructions><username/><password/></query>`;
const changeInstructions = "Send a new password to change yours, or <remove/> to remove your account.";

/** Passwords do not travel where others can read them. */
function isSafe(peer: { readonly secure: boolean; readonly remoteAddress: string }): boolean {
  return peer.secure || isLoopbackAddress(peer.remoteAddress);
}

/** Why a stranger cannot register at all; undefined when he can. */
export function refusalOf(stranger: Stranger, rules: Options["ipAccess"]): "plaintext" | "address" | undefined {
  if (!isSafe(stranger)) return "plaintext";
  return isAddressAllowed(stranger.remoteAddress, rules) ? undefined : "address";
}

function checkStranger(stranger: Stranger, given: Options): void {
  switch (refusalOf(stranger, given.ipAccess)) {
    case "plaintext":
      throw new StanzaError("not-authorized", { text: "Encrypt the stream first" });
    case "address":
      throw new StanzaError("forbidden", { text: "Registration is not possible from your address" });
  }
}

/** The first rule that fits decides; without one the address is allowed. */
export function isAddressAllowed(address: string, rules: Options["ipAccess"]): boolean {
  for (const rule of rules) if (IpRange.parse(rule.address)!.includes(address)) return rule.policy === "allow";
  return true;
}

/** @throws StanzaError not-acceptable for no name, one that is none (RFC 7622), or one that cannot be stored. */
function accountNamed(username: string | undefined, domain: string): Jid {
  const account = username === undefined || username.length > fieldCharsMax ? undefined : Jid.make(username, domain);
  if (account === undefined || account.local === "" || [...account.local].length > keyCharsMax) {
    throw new StanzaError("not-acceptable", { text: "That cannot be a user name" });
  }
  return account;
}

function passwordIn(query: Element, refusal: "not-acceptable" | "bad-request"): string {
  const password = query.childText("password") ?? "";
  if (password === "") throw new StanzaError(refusal, { type: "modify", text: "The password is missing" });
  if (password.length > fieldCharsMax)
    throw new StanzaError(refusal, { type: "modify", text: "The password is too long" });
  return password;
}

function checkStrength(password: string, bitsMin: number): void {
  if (passwordBits(password) < bitsMin) {
    throw new StanzaError("not-acceptable", {
      text: "The password is too weak: make it longer, or mix more kinds of characters",
    });
  }
}

/** Kinds of characters and how many there are of each. */
const characterKinds: readonly (readonly [RegExp, number])[] = [
  [/[0-9]/, 10],
  [/[a-z]/, 26],
  [/[A-Z]/, 26],
  [/[\x20-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]/, 33],
  [/[\u0080-\u{10ffff}]/u, 128],
];

/** The bits of a password whose every character is drawn from all kinds that occur in it. */
export function passwordBits(password: string): number {
  let different = 0;
  for (const [kind, count] of characterKinds) if (kind.test(password)) different += count;
  return different === 0 ? 0 : [...password].length * Math.log2(different);
}

/** The session's own account. A sender without one is of another server: our accounts are not his to ask about. */
function ownAccount({ from, session }: IqContext): Jid {
  if (session === undefined) {
    throw new StanzaError("registration-required", { text: "You have no account here" });
  }
  return from.toBare();
}

interface Peer {
  /** When its last account was made, by the monotonic clock; undefined when it made none. */
  registeredAt: number | undefined;
  failures: number;
  failuresSince: number;
}

/** Who registered when: one account a peer in `intervalMs` (infinity: any number), and few attempts that fail. */
export class Peers {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #peers = new BoundedMap<string, Peer>(peersMax);

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /**
   * Counts an attempt as the peer's registration at once, so that two at a time are one too many; `failed` takes it back.
   * @throws StanzaError resource-constraint when it is too early, not-acceptable after too many failures.
   */
  begin(name: string): { failed(): void } {
    const now = this.#clock.monotonic();
    const peer = this.#peers.take(name) ?? { registeredAt: undefined, failures: 0, failuresSince: now };
    this.#peers.set(name, peer);
    if (now - peer.failuresSince >= failureWindowMs) {
      peer.failures = 0;
      peer.failuresSince = now;
    }
    if (peer.failures >= failuresMax) {
      throw new StanzaError("not-acceptable", { type: "wait", text: "Too many attempts; try again later" });
    }
    const before = peer.registeredAt;
    const limited = Number.isFinite(this.#intervalMs);
    if (limited && before !== undefined && now - before < this.#intervalMs) {
      throw new StanzaError("resource-constraint", {
        text: "An account was registered from your address a short time ago",
      });
    }
    peer.registeredAt = now;
    return {
      failed() {
        peer.registeredAt = before;
        peer.failures++;
      },
    };
  }
}

/** What is written when an account was made. */
class Newcomers {
  readonly #host: Jid;
  readonly #options: Options;

  constructor(host: Jid, given: Options) {
    this.#host = host;
    this.#options = given;
  }

  messagesFor(account: Jid, address: string, at: number): Stanza[] {
    const messages: Stanza[] = [];
    const welcome = this.#options.welcomeMessage;
    if (welcome !== undefined && `${welcome.subject}${welcome.body}` !== "") {
      messages.push(message({ from: this.#host, to: account, payload: contentOf(welcome.subject, welcome.body) }));
    }
    const report = `${account.bare} was registered from ${address} at ${new Date(at).toISOString()}`;
    for (const watcher of this.#options.registrationWatchers) {
      const to = parseJid(watcher)!;
      messages.push(message({ from: this.#host, to, type: "chat", payload: contentOf("", report) }));
    }
    return messages;
  }
}

function contentOf(subject: string, body: string): Xml {
  return xml`${subject !== "" && xml`<subject>${subject}</subject>`}${body !== "" && xml`<body>${body}</body>`}`;
}
