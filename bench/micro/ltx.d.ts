/** The part of ltx (which has no types) that the scanner's benchmark uses. */
declare module "ltx/lib/parsers/ltx.js" {
  import { EventEmitter } from "node:events";

  export default class LtxParser extends EventEmitter {
    write(text: string): void;
  }
}
