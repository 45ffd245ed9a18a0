/** XEP-0202 Entity Time 2.0: the server's time and its offset from UTC. */
import { defineModule } from "../hooks/define-module.ts";
import { reply } from "../hooks/effect.ts";
import { ns } from "../stanza/ns.ts";
import { xml } from "../xml/xml.ts";

export const time = defineModule({
  name: "mod_time",
  summary: "Tells clients what time it is here.",
  xeps: [{ number: 202, version: "2.0" }],
  options: {},
  features: { server: [ns.time] },

  setup(on, context) {
    on.iq("get", "server", ns.time, "time", () => {
      const now = new Date(context.clock.now());
      const utc = `${now.toISOString().slice(0, 19)}Z`;
      return reply(
        xml`<time xmlns='${ns.time}'><tzo>${zoneText(now.getTimezoneOffset())}</tzo><utc>${utc}</utc></time>`,
      );
    });
    return undefined;
  },
});

/** XEP-0082's time zone definition; `minutesWest` is what a `Date` calls its offset. */
export function zoneText(minutesWest: number): string {
  if (minutesWest === 0) return "Z";
  const minutes = Math.abs(minutesWest);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${minutesWest < 0 ? "+" : "-"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
