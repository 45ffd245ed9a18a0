/** A text file line by line, in bounded memory. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { AdminError } from "../admin/command.ts";
import { systemReason } from "../util/system-reason.ts";

/** Throws `AdminError` when the file cannot be read. */
export async function* readLines(filename: string): AsyncGenerator<string> {
  const input = createReadStream(filename, { encoding: "utf8" });
  const failed = new Promise<never>((_, reject) => {
    input.once("error", (error) =>
      reject(new AdminError("file_error", `${filename} cannot be read: ${systemReason(error)}`)),
    );
  });
  failed.catch(() => undefined);
  await Promise.race([failed, new Promise((resolve) => input.once("readable", resolve))]);
  yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}
