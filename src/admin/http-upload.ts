/** `httpUpload`: files that the operator hands out (XEP-0363). */
import { AdminError, argument, type Command, hostOf } from "./command.ts";

/** As S3 has it for its URLs. */
const timeoutSecondsMax = 604_800;

export const httpUploadCommands: readonly Command[] = [
  {
    category: "httpUpload",
    name: "getUrl",
    doc: "Makes a URL to send a file to by HTTP PUT, and the one to read it from; it counts for nobody's quota.",
    example:
      "meerkat ctl httpUpload getUrl --domain localhost --filename rules.pdf --size 20480 --contentType application/pdf --timeout 300",
    arguments: {
      domain: argument.required("domain", "one of the server's hosts"),
      filename: argument.required("text", "the name of the file"),
      size: argument.required("integer", "its size in bytes"),
      contentType: argument.optional("text", "its media type"),
      timeout: argument.required("integer", "seconds in which the upload has to begin"),
    },
    async run(context, args) {
      const uploads = hostOf(context, args.text("domain")).registry.service("uploads");
      if (uploads === undefined)
        throw new AdminError("deps_not_loaded", `${args.text("domain")} has no mod_http_upload`);
      const timeout = args.optionalInteger("timeout")!;
      if (timeout < 1 || timeout > timeoutSecondsMax) {
        throw new AdminError("bad_argument", `--timeout must be 1 to ${timeoutSecondsMax}`);
      }
      const size = args.optionalInteger("size")!;
      return uploads.operatorSlot(args.text("filename"), size, args.optionalText("contentType"), timeout * 1000);
    },
  },
];
