/**
 * Files in a folder. A file is named by its token alone, which we have made: nothing that a client says becomes part of a path. It is
 * written beside its place and then renamed, so what has its name is whole.
 */
import { mkdirSync, openAsBlob } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemReason } from "../../util/system-reason.ts";

const tokenPattern = /^[A-Za-z0-9_-]{4,100}$/;

/** Whether a text can be a token at all. */
export function isToken(text: string): boolean {
  return tokenPattern.test(text);
}

/**
 * Why a file could not be removed, for the log: enough to find the file by, and not enough to read it, for whoever knows a whole token can.
 * What the system says of a file names its path.
 */
export function removalFailure(error: unknown, token: string): { reason: string; token: string } {
  const { code, message } = error as NodeJS.ErrnoException;
  return { reason: code ?? message, token: inLogs(token) };
}

export function inLogs(token: string): string {
  return `${token.slice(0, 8)}…`;
}

export class LocalStorage {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the folder; throws when that cannot be. */
  prepare(): void {
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new Error(`the folder of uploads ${this.#folder} cannot be made: ${systemReason(error)}`);
    }
  }

  /** Two characters of the token spread the files over some thousand folders. */
  #folderOf(token: string): string {
    if (!isToken(token)) throw new TypeError("that is no token");
    return join(this.#folder, token.slice(0, 2));
  }

  #pathOf(token: string): string {
    return join(this.#folderOf(token), token);
  }

  /**
   * Stores what `body` yields when it is exactly `size` bytes. False when it is not: then nothing is kept. What `body` or the disk throws
   * is passed on, and nothing is kept either.
   */
  async write(token: string, size: number, body: AsyncIterable<Uint8Array>): Promise<boolean> {
    const path = this.#pathOf(token);
    const part = `${path}.part`;
    await mkdir(this.#folderOf(token), { recursive: true, mode: 0o700 });
    const file = await open(part, "w", 0o600);
    let whole = false;
    try {
      let written = 0;
      for await (const chunk of body) {
        written += chunk.length;
        if (written > size) return false;
        // Each chunk is on its way to the disk before the next is taken, so a fast client waits for a slow disk.
        for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
      }
      if (written !== size) return false;
      await file.sync();
      whole = true;
    } finally {
      await file.close();
      if (!whole) await rm(part, { force: true });
    }
    await rename(part, path);
    return true;
  }

  /** A file, without reading it; undefined when it is not there. */
  async content(token: string): Promise<Blob | undefined> {
    try {
      const blob = await openAsBlob(this.#pathOf(token));
      // The runtime may make a blob of a file that is not there, as empty; none of ours is.
      return blob.size > 0 ? blob : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Whatever there is of a file; nothing is fine too. */
  async remove(token: string): Promise<void> {
    const path = this.#pathOf(token);
    await Promise.all([rm(path, { force: true }), rm(`${path}.part`, { force: true })]);
  }
}
