/** What an owner can decide about a room, as data, and the form (muc#roomconfig) in which he does. */
import { type FormValues, formBoolean } from "../../stanza/data-form.ts";
import { StanzaError } from "../../stanza/errors.ts";
import { type FormField, formFlag, formToFill } from "../../stanza/form-text.ts";
import { type Jid, parseJid } from "../../stanza/jid.ts";
import { ns } from "../../stanza/ns.ts";
import type { Xml } from "../../xml/xml.ts";
import type { MucOptions } from "./options.ts";

export const occupantRoles = ["moderator", "participant", "visitor"] as const;
export type OccupantRole = (typeof occupantRoles)[number];

export const privateMessagePolicies = ["anyone", "participants", "moderators", "none"] as const;
export type PrivateMessagePolicy = (typeof privateMessagePolicies)[number];

export interface RoomConfig {
  readonly title: string;
  readonly description: string;
  readonly lang: string;
  readonly pubsub: string;
  readonly allowChangeSubject: boolean;
  readonly allowQueryUsers: boolean;
  readonly allowPrivateMessages: PrivateMessagePolicy;
  readonly allowVisitorStatus: boolean;
  readonly allowVisitorNickchange: boolean;
  readonly allowUserInvites: boolean;
  readonly allowMultipleSessions: boolean;
  readonly public: boolean;
  readonly publicList: boolean;
  readonly persistent: boolean;
  readonly moderated: boolean;
  readonly membersByDefault: boolean;
  readonly membersOnly: boolean;
  readonly passwordProtected: boolean;
  readonly password: string;
  readonly anonymous: boolean;
  readonly logging: boolean;
  readonly maxUsers: number;
  /** Most messages of history for one who enters. */
  readonly maxHistory: number;
  readonly mayGetMemberList: readonly OccupantRole[];
  readonly presenceBroadcast: readonly OccupantRole[];
}

type Limits = Pick<MucOptions, "maxUsers" | "historySize" | "maxRoomName" | "maxRoomDesc">;
const shortTextMax = 1_000;
const passwordMax = 1_000;

/** What rooms are like at first. */
export function firstConfig(options: MucOptions): RoomConfig {
  const given = options.defaultRoom;
  return {
    title: given.title,
    description: given.description,
    lang: "",
    pubsub: "",
    allowChangeSubject: given.allowChangeSubj,
    allowQueryUsers: given.allowQueryUsers,
    allowPrivateMessages: given.allowPrivateMessages ? "anyone" : "none",
    allowVisitorStatus: given.allowVisitorStatus,
    allowVisitorNickchange: given.allowVisitorNickchange,
    allowUserInvites: given.allowUserInvites,
    allowMultipleSessions: given.allowMultipleSessions,
    public: given.public,
    publicList: given.publicList,
    persistent: given.persistent,
    moderated: given.moderated,
    membersByDefault: given.membersByDefault,
    membersOnly: given.membersOnly,
    passwordProtected: given.passwordProtected && given.password !== "",
    password: given.password,
    anonymous: given.anonymous,
    logging: given.logging,
    maxUsers: Math.min(given.maxUsers, options.maxUsers),
    maxHistory: options.historySize,
    mayGetMemberList: given.maygetmemberlist as readonly OccupantRole[],
    presenceBroadcast: occupantRoles,
  };
}

/** As stored; what a later version has added is as in a new room. */
export function readConfig(text: string, options: MucOptions): RoomConfig {
  return { ...firstConfig(options), ...(JSON.parse(text) as Partial<RoomConfig>) };
}

type Writable = { -readonly [Key in keyof RoomConfig]: RoomConfig[Key] };
type KeyOf<T> = { [Key in keyof RoomConfig]: RoomConfig[Key] extends T ? Key : never }[keyof RoomConfig];

interface ConfigField {
  readonly var: string;
  shown(config: RoomConfig, limits: Limits): Omit<FormField, "var">;
  /** Takes what was submitted; throws `StanzaError`. */
  take(values: readonly string[], config: Writable, limits: Limits): void;
}

function flagField(name: string, key: KeyOf<boolean>, label: string): ConfigField {
  return {
    var: name,
    shown: (config) => ({ type: "boolean", label, values: [formFlag(config[key])] }),
    take(values, config) {
      const flag = formBoolean(values[0] ?? "");
      if (flag === undefined) throw new StanzaError("bad-request", { text: `${name} is 0 or 1` });
      config[key] = flag;
    },
  };
}

function textField(
  name: string,
  key: "title" | "description" | "lang" | "pubsub" | "password",
  label: string,
  most: (limits: Limits) => number,
  type = "text-single",
): ConfigField {
  return {
    var: name,
    shown: (config) => ({ type, label, values: config[key] === "" ? [] : [config[key]] }),
    take(values, config, limits) {
      const text = values.join("\n");
      if (text.length > most(limits)) {
        throw new StanzaError("not-acceptable", { text: `${name} has at most ${most(limits)} characters` });
      }
      config[key] = text;
    },
  };
}

function rolesField(name: string, key: "mayGetMemberList" | "presenceBroadcast", label: string): ConfigField {
  return {
    var: name,
    shown: (config) => ({
      type: "list-multi",
      label,
      values: config[key],
      options: occupantRoles.map((role) => [roleLabels[role], role] as const),
    }),
    take(values, config) {
      for (const value of values) {
        // `none` (nobody) and affiliations, which other services offer, add nobody here.
        if (!(occupantRoles as readonly string[]).includes(value) && value !== "none") {
          throw new StanzaError("not-acceptable", { text: `${name}: ${value.slice(0, 40)} is no role` });
        }
      }
      config[key] = occupantRoles.filter((role) => values.includes(role));
    },
  };
}

const roleLabels: Readonly<Record<OccupantRole, string>> = {
  moderator: "Moderators",
  participant: "Participants",
  visitor: "Visitors",
};
const policyLabels: Readonly<Record<PrivateMessagePolicy, string>> = {
  anyone: "Anyone",
  participants: "Participants and moderators",
  moderators: "Moderators",
  none: "Nobody",
};

/** XEP-0045's registered fields, then those that MongooseIM and others have beside them. */
const fields: readonly ConfigField[] = [
  textField("muc#roomconfig_roomname", "title", "Name of the room", (limits) => limits.maxRoomName),
  textField("muc#roomconfig_roomdesc", "description", "What the room is for", (limits) => limits.maxRoomDesc),
  textField("muc#roomconfig_lang", "lang", "Language", () => 35),
  flagField("muc#roomconfig_persistentroom", "persistent", "The room stays when nobody is in it"),
  flagField("muc#roomconfig_publicroom", "public", "The room can be found"),
  flagField("public_list", "publicList", "Whoever may enter sees who is in the room"),
  flagField("muc#roomconfig_passwordprotectedroom", "passwordProtected", "A password is needed to enter"),
  textField("muc#roomconfig_roomsecret", "password", "The password", () => passwordMax, "text-private"),
  {
    var: "muc#roomconfig_maxusers",
    shown: (config, limits) => ({
      type: "list-single",
      label: "Most occupants",
      values: [String(config.maxUsers)],
      options: userLimits(config.maxUsers, limits.maxUsers).map((most) => [String(most), String(most)] as const),
    }),
    take(values, config, limits) {
      const [text = ""] = values;
      const most = text === "" || text === "none" ? limits.maxUsers : Number(text);
      if (!/^(\d{1,9}|none|)$/.test(text) || most < 1 || most > limits.maxUsers) {
        throw new StanzaError("not-acceptable", { text: `A room has at most ${limits.maxUsers} occupants` });
      }
      config.maxUsers = most;
    },
  },
  {
    var: "muc#roomconfig_whois",
    shown: (config) => ({
      type: "list-single",
      label: "Who may see real addresses",
      values: [config.anonymous ? "moderators" : "anyone"],
      options: [
        ["Moderators", "moderators"],
        ["Anyone", "anyone"],
      ],
    }),
    take([value], config) {
      if (value !== "moderators" && value !== "anyone") {
        throw new StanzaError("not-acceptable", { text: "Addresses are shown to moderators or to anyone" });
      }
      config.anonymous = value === "moderators";
    },
  },
  flagField("muc#roomconfig_membersonly", "membersOnly", "Only members may enter"),
  flagField("muc#roomconfig_moderatedroom", "moderated", "Only those with voice may speak"),
  flagField("members_by_default", "membersByDefault", "Whoever enters has voice"),
  flagField("muc#roomconfig_changesubject", "allowChangeSubject", "Participants may change the subject"),
  flagField("muc#roomconfig_allowinvites", "allowUserInvites", "Occupants without privileges may invite others"),
  {
    var: "muc#roomconfig_allowpm",
    shown: (config) => ({
      type: "list-single",
      label: "Who may send private messages",
      values: [config.allowPrivateMessages],
      options: privateMessagePolicies.map((policy) => [policyLabels[policy], policy] as const),
    }),
    take([value], config) {
      const policy = privateMessagePolicies.find((known) => known === value);
      if (policy === undefined) {
        throw new StanzaError("not-acceptable", {
          text: "Private messages are for anyone, participants, moderators or none",
        });
      }
      config.allowPrivateMessages = policy;
    },
  },
  flagField("allow_query_users", "allowQueryUsers", "Occupants may query each other's clients"),
  flagField("muc#roomconfig_allowvisitorstatus", "allowVisitorStatus", "Visitors' status texts are shown"),
  flagField("muc#roomconfig_allowvisitornickchange", "allowVisitorNickchange", "Visitors may change nicknames"),
  flagField("muc#roomconfig_allowmultisessions", "allowMultipleSessions", "Devices of one user share a nickname"),
  rolesField("muc#roomconfig_getmemberlist", "mayGetMemberList", "Who may see the list of members"),
  rolesField("muc#roomconfig_presencebroadcast", "presenceBroadcast", "Whose presence is shown"),
  {
    var: "muc#maxhistoryfetch",
    shown: (config) => ({
      type: "text-single",
      label: "Most messages that those who enter are sent",
      values: [String(config.maxHistory)],
    }),
    take([text = ""], config, limits) {
      const most = Number(text);
      if (!/^\d{1,9}$/.test(text) || most > limits.historySize) {
        throw new StanzaError("not-acceptable", { text: `History has at most ${limits.historySize} messages` });
      }
      config.maxHistory = most;
    },
  },
  textField("muc#roomconfig_pubsub", "pubsub", "Associated publish-subscribe node", () => shortTextMax),
];

const loggingField = flagField("muc#roomconfig_enablelogging", "logging", "What is said is kept in the archive");
const ownersField = "muc#roomconfig_roomowners";
/** As many values as a submitted field may have. */
const listedMost = 1_000;
const adminsField = "muc#roomconfig_roomadmins";

function userLimits(current: number, most: number): number[] {
  const steps = [5, 10, 20, 30, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000].filter((step) => step < most);
  return [...new Set([...steps, current, most])].sort((a, b) => a - b);
}

/** What the form shows besides the configuration. */
export interface ConfigSurroundings {
  readonly limits: Limits;
  /** The room can have an archive. */
  readonly archives: boolean;
  readonly owners: readonly string[];
  readonly admins: readonly string[];
}

export function configForm(room: Jid, config: RoomConfig, around: ConfigSurroundings): Xml {
  const known = around.archives ? [...fields, loggingField] : fields;
  const shown: FormField[] = known.map((field) => ({ var: field.var, ...field.shown(config, around.limits) }));
  // A list that is too long for the form is left out, so that the form can be submitted; muc#admin has it.
  if (around.admins.length <= listedMost) {
    shown.push({ var: adminsField, type: "jid-multi", label: "Admins", values: around.admins });
  }
  if (around.owners.length <= listedMost) {
    shown.push({ var: ownersField, type: "jid-multi", label: "Owners", values: around.owners });
  }
  return formToFill({
    title: `Configuration of ${room.bare}`,
    instructions: "What you leave out stays as it is.",
    formType: ns.mucRoomConfig,
    fields: shown,
  });
}

/** What a submitted form asks for. */
export interface ConfigChange {
  readonly config: RoomConfig;
  /** The full lists; undefined where the form says nothing of them. */
  readonly owners: readonly Jid[] | undefined;
  readonly admins: readonly Jid[] | undefined;
}

/** Throws `StanzaError`: bad-request and not-acceptable for values that make no sense. Fields nobody knows are let be. */
export function readConfigForm(values: FormValues, current: RoomConfig, limits: Limits): ConfigChange {
  const config: Writable = { ...current };
  for (const field of [...fields, loggingField]) {
    const given = values.get(field.var);
    if (given !== undefined) field.take(given, config, limits);
  }
  if (config.passwordProtected && config.password === "") {
    throw new StanzaError("not-acceptable", { text: "A password is needed where one is asked for" });
  }
  return { config, owners: jids(values.get(ownersField)), admins: jids(values.get(adminsField)) };
}

function jids(texts: readonly string[] | undefined): Jid[] | undefined {
  return texts
    ?.filter((text) => text.trim() !== "")
    .map((text) => {
      const jid = parseJid(text.trim());
      if (jid === undefined || jid.local === "") {
        throw new StanzaError("jid-malformed", { text: `${text.slice(0, 100)} is no address of a user` });
      }
      return jid.toBare();
    });
}

/** Which status codes (section 10.2.1) tell occupants what has changed; none when nothing has. */
export function changeCodes(before: RoomConfig, after: RoomConfig): readonly number[] {
  const codes: number[] = [];
  if (before.logging !== after.logging) codes.push(after.logging ? 170 : 171);
  if (before.anonymous !== after.anonymous) codes.push(after.anonymous ? 173 : 172);
  for (const key in after) {
    if (key === "logging" || key === "anonymous") continue;
    const one = before[key as keyof RoomConfig];
    const other = after[key as keyof RoomConfig];
    if (JSON.stringify(one) !== JSON.stringify(other)) return [...codes, 104];
  }
  return codes;
}
