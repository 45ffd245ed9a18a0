/** XEP-0092 Software Version 1.1: what runs here, and on what if the operator says so. */
import { release, type } from "node:os";
import { option } from "../config/option.ts";
import { defineModule } from "../hooks/define-module.ts";
import { reply } from "../hooks/effect.ts";
import { ns } from "../stanza/ns.ts";
import { version as serverVersion } from "../util/version.ts";
import { xml } from "../xml/xml.ts";

export const version = defineModule({
  name: "mod_version",
  summary: "Tells clients the name and version of the server.",
  xeps: [{ number: 92, version: "1.1" }],
  options: {
    os_info: option.boolean({
      doc: "Also tells the operating system and its version, which helps attackers.",
      default: false,
    }),
  },
  features: { server: [ns.version] },

  setup(on, context) {
    const os = context.options.osInfo ? xml`<os>${`${type()} ${release()}`}</os>` : undefined;
    const answer = xml`<query xmlns='${ns.version}'><name>Meerkat</name><version>${serverVersion}</version>${os}</query>`;
    on.iq("get", "server", ns.version, "query", () => reply(answer));
    return undefined;
  },
});
