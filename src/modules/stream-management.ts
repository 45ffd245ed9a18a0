/** XEP-0198 Stream Management 1.6.3: acknowledgements and resumption. The counting itself is in `src/stream/`. */
import { option } from "../config/option.ts";
import { defineModule } from "../hooks/define-module.ts";

export const streamManagement = defineModule({
  name: "mod_stream_management",
  summary: "Acknowledges messages once they are safe, and lets a client that lost its connection go on where it was.",
  xeps: [{ number: 198, version: "1.6.3" }],
  options: {
    buffer_max: option.infinityOr(
      option.integer({
        default: 1_000,
        min: 1,
        unit: "stanzas",
        doc: "How many may wait for a client's acknowledgement. Its session is closed when there are more and it has acknowledged none for 10 s, or when there are four times as many; one whose client is away when there are more.",
      }),
    ),
    ack_freq: option.integer({
      default: 1,
      min: 1,
      unit: "stanzas",
      doc: "The client is asked for an acknowledgement after so many, and never twice at once.",
    }),
    resume_timeout: option.duration({
      default: 600,
      min: 0,
      max: 86_400,
      unit: "s",
      doc: "How long a session waits for its client after the connection was lost; 0 offers no resumption.",
    }),
  },
  setup: () => undefined,
});
