/** How a file is named in the configuration. */
import * as checks from "./checks.ts";
import { option } from "./option.ts";

export const file = (doc: string) =>
  option.string({ doc, check: checks.isFilled, allowed: "the path of a file (relative: to this file)" });
