/** What the tests of configuration files share: a few modules, and the two ways a file can go. */
import { type Config, ConfigError, type LoadOptions, loadConfig } from "./load.ts";
import { moduleRegistry, option } from "./option.ts";

export const modules = moduleRegistry([
  {
    name: "mod_roster",
    options: {
      versioning: option.boolean({ default: false, doc: "Versions." }),
      max_items: option.integer({ default: 100, min: 1, doc: "Most contacts." }),
    },
  },
  {
    name: "mod_stream_management",
    options: { resume_timeout: option.duration({ default: 600, min: 0, unit: "s", doc: "How long." }) },
  },
  {
    name: "mod_offline",
    options: { access_max_user_messages: option.access({ default: "max_user_offline_messages", doc: "Rule." }) },
  },
]);

export const HOSTS = '[general]\nhosts = ["localhost", "example.org"]\n';

/** Loads without the environment of this process. */
export function load(toml: string, options: Partial<LoadOptions> = {}): Config {
  return loadConfig(toml, { file: "m.toml", modules, environment: {}, ...options });
}

/** The lines of the error; fails when the file is taken. */
export function complaints(toml: string, options: Partial<LoadOptions> = {}): string[] {
  try {
    load(toml, options);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  throw new Error("the file was taken");
}

/** Complaints about lines after the two of HOSTS. */
export const about = (toml: string, options: Partial<LoadOptions> = {}): string[] => complaints(HOSTS + toml, options);
