/** Who may do what: access lists (`[[acl.NAME]]`) and access rules (`[[access.RULE]]`), as one host sees them. */

/** One entry of an access list; everything that is given must match. */
export interface AclEntry {
  /** Which servers are looked at at all: those of the host that asks, any this node serves, every one, or none. */
  readonly match: "all" | "current_domain" | "any_hosted_domain" | "none";
  readonly user?: string;
  readonly server?: string;
  readonly resource?: string;
  readonly userRegexp?: string;
  readonly serverRegexp?: string;
  readonly resourceRegexp?: string;
  readonly userGlob?: string;
  readonly serverGlob?: string;
  readonly resourceGlob?: string;
}

/** One clause of a rule: who is on the list `acl` gets `value`. */
export interface AccessClause {
  readonly acl: string;
  /** "allow", "deny", the name of a shaper, or a number. */
  readonly value: string | number;
}

/** The parts of an address that rules look at; a `Jid` is one. */
export interface AccessSubject {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
}

type Predicate = (subject: AccessSubject) => boolean;

interface CompiledClause {
  readonly matches: Predicate;
  readonly value: string | number;
}

const EVERYONE: readonly AclEntry[] = [{ match: "all" }];
const NOBODY: readonly AclEntry[] = [{ match: "none" }];

/** Lists and rules that exist without being written. */
export const PREDEFINED_ACLS = new Map([
  ["all", EVERYONE],
  ["none", NOBODY],
]);
export const PREDEFINED_RULES: ReadonlyMap<string, readonly AccessClause[]> = new Map([
  ["all", [{ acl: "all", value: "allow" }]],
  ["none", [{ acl: "all", value: "deny" }]],
]);

/** The access rules of one host. A rule that is not defined denies. */
export class AccessRules {
  readonly #rules = new Map<string, readonly CompiledClause[]>();

  /**
   * @param domain the host whose rules these are ("current_domain")
   * @param hosted every domain of this node ("any_hosted_domain")
   */
  constructor(
    domain: string,
    hosted: ReadonlySet<string>,
    acls: ReadonlyMap<string, readonly AclEntry[]>,
    rules: ReadonlyMap<string, readonly AccessClause[]>,
  ) {
    const lists = new Map<string, Predicate>();
    for (const [name, entries] of [...PREDEFINED_ACLS, ...acls]) {
      const predicates = entries.map((entry) => compileEntry(entry, domain, hosted));
      lists.set(name, (subject) => predicates.some((predicate) => predicate(subject)));
    }
    const nobody: Predicate = () => false;
    for (const [name, clauses] of [...PREDEFINED_RULES, ...rules]) {
      this.#rules.set(
        name,
        clauses.map(({ acl, value }) => ({ matches: lists.get(acl) ?? nobody, value })),
      );
    }
  }

  /** Whether this rule's first clause that applies to `subject` says "allow". */
  allow(rule: string, subject: AccessSubject): boolean {
    return this.value(rule, subject) === "allow";
  }

  /** The value of this rule's first clause that applies; "deny" when none does or there is no such rule. */
  value(rule: string, subject: AccessSubject): string | number {
    const clauses = this.#rules.get(rule);
    if (clauses !== undefined) {
      for (const clause of clauses) if (clause.matches(subject)) return clause.value;
    }
    return "deny";
  }

  /** The number this rule gives ("infinity" is Infinity), or `otherwise` when it gives none. */
  number(rule: string, subject: AccessSubject, otherwise: number): number {
    const found = this.value(rule, subject);
    if (found === "infinity") return Number.POSITIVE_INFINITY;
    return typeof found === "number" ? found : otherwise;
  }

  /** Whether a rule of this name is defined. */
  has(rule: string): boolean {
    return this.#rules.has(rule);
  }
}

/** A rule with what a host adds: its clauses stand before a last one that allows everybody, else at the end. */
export function mergeRule(general: readonly AccessClause[], own: readonly AccessClause[]): AccessClause[] {
  const last = general.at(-1);
  if (last !== undefined && last.acl === "all" && last.value === "allow") {
    return [...general.slice(0, -1), ...own, last];
  }
  return [...general, ...own];
}

function compileEntry(entry: AclEntry, domain: string, hosted: ReadonlySet<string>): Predicate {
  const tests: Predicate[] = [];
  switch (entry.match) {
    case "none":
      return () => false;
    case "all":
      break;
    case "current_domain":
      tests.push((subject) => subject.domain === domain);
      break;
    case "any_hosted_domain":
      tests.push((subject) => hosted.has(subject.domain));
  }
  const part = (
    read: (subject: AccessSubject) => string,
    exact: string | undefined,
    regexp: string | undefined,
    glob: string | undefined,
  ): void => {
    if (exact !== undefined) {
      const wanted = exact.toLowerCase();
      tests.push((subject) => read(subject).toLowerCase() === wanted);
    }
    for (const pattern of [regexp && new RegExp(regexp, "u"), glob && globPattern(glob)]) {
      if (pattern) tests.push((subject) => pattern.test(read(subject)));
    }
  };
  part((subject) => subject.local, entry.user, entry.userRegexp, entry.userGlob);
  part((subject) => subject.domain, entry.server, entry.serverRegexp, entry.serverGlob);
  part((subject) => subject.resource, entry.resource, entry.resourceRegexp, entry.resourceGlob);
  return (subject) => tests.every((test) => test(subject));
}

/** A shell pattern as a regular expression: `*` any text, `?` one character, `[a-z]` one of a set, `[!a]` one not of it. @throws SyntaxError when a range is backwards */
export function globPattern(glob: string): RegExp {
  let source = "";
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at]!;
    if (character === "*") source += ".*";
    else if (character === "?") source += ".";
    else if (character === "[") {
      const end = glob.indexOf("]", at + 2);
      if (end < 0) source += "\\[";
      else {
        const negated = glob[at + 1] === "!" || glob[at + 1] === "^";
        const set = glob.slice(at + (negated ? 2 : 1), end).replace(/[\\[\]^]/g, "\\$&");
        source += `[${negated ? "^" : ""}${set}]`;
        at = end;
      }
    } else source += character.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  }
  return new RegExp(`^${source}$`, "su");
}
