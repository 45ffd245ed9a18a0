/** The servers that can be measured. */
import { ejabberd } from "./ejabberd.ts";
import { floor } from "./floor.ts";
import { meerkat } from "./meerkat.ts";
import { prosody } from "./prosody.ts";
import type { ServerKind } from "./server.ts";

export const serverKinds: readonly ServerKind[] = [meerkat, ejabberd, prosody, floor];
