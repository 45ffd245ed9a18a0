/** Every administration command, in the order of the help. */
import { accountCommands } from "./account.ts";
import { clusterCommands } from "./cluster.ts";
import type { Command } from "./command.ts";
import { gdprCommands } from "./gdpr.ts";
import { httpUploadCommands } from "./http-upload.ts";
import { inboxCommands } from "./inbox.ts";
import { mucCommands } from "./muc.ts";
import { mucLightCommands } from "./muc-light.ts";
import { rosterCommands } from "./roster.ts";
import { serverCommands } from "./server.ts";
import { sessionCommands } from "./session.ts";
import { stanzaCommands } from "./stanza.ts";

export const adminCommands: readonly Command[] = [
  ...accountCommands,
  ...sessionCommands,
  ...rosterCommands,
  ...mucCommands,
  ...mucLightCommands,
  ...inboxCommands,
  ...stanzaCommands,
  ...gdprCommands,
  ...httpUploadCommands,
  ...serverCommands,
  ...clusterCommands,
];

export function findCommand(category: string, name: string): Command | undefined {
  return adminCommands.find((command) => command.category === category && command.name === name);
}
