/** The files of one host: slots are given out, filled, read and removed here, whichever way they came. */
import { resolve } from "node:path";
import type { ModuleContext } from "../../hooks/define-module.ts";
import type { Upload, UploadOutcome, UploadService, UploadSlot } from "../../hooks/services.ts";
import type { ModuleCounter } from "../../observe/metrics.ts";
import { StanzaError } from "../../stanza/errors.ts";
import type { Jid } from "../../stanza/jid.ts";
import { percentEncoded } from "../../util/percent-encoding.ts";
import { inLogs, isToken, LocalStorage, removalFailure } from "./local-storage.ts";
import { fileBytesMaxOf, type UploadOptions } from "./options.ts";
import { S3Storage } from "./s3-storage.ts";
import { checkFile, quotaReached, type SlotRequest } from "./slot-request.ts";
import { isOrphan, isStored, type Place, type RemovableUpload, type UploadRow, UploadStore } from "./upload-store.ts";

export type UploadsHouse = ModuleContext<UploadOptions>;

/** Longest time of one upload; connections on which nothing comes end much sooner. */
const receivingMsMax = 60 * 60_000;
/** Time for any file, however small, and the slowest pace of what is larger: a client must not keep its place with a byte now and then. */
const receivingMsMin = 60_000;
const receivingBytesPerMs = 4;
/** Uploads that one node takes at the same time: each has a file open. */
const receivingMax = 500;
/** Of them, those of one account, lest one keeps all others out. */
const receivingOfOneMax = 20;
/** Files that are removed at the same time when an account is. */
const removalsAtOnce = 8;
/** A slot of S3 may be in use to its last moment, and then for as long as an upload takes. */
const slotGraceMs = receivingMsMax;

export class Uploads implements UploadService {
  readonly origins: readonly string[];
  readonly throughListener: boolean;
  readonly fileBytesMax: number;
  readonly store: UploadStore;
  readonly #house: UploadsHouse;
  readonly #place: Place;
  readonly #local: LocalStorage;
  readonly #s3: S3Storage | undefined;
  readonly #slots: ModuleCounter;
  readonly #received: ModuleCounter;
  readonly #receivedBytes: ModuleCounter;
  readonly #removed: ModuleCounter;
  #receiving = 0;
  /** By account, only while it is above 0. The operator's are not counted. */
  readonly #receivingOf = new Map<string, number>();

  constructor(house: UploadsHouse) {
    this.#house = house;
    const { metrics } = house;
    this.#slots = metrics.counter("slots_total", "Slots asked for", ["outcome"]);
    this.#received = metrics.counter("received_total", "Uploads through our listeners", ["outcome"]);
    this.#receivedBytes = metrics.counter("received_bytes_total", "Bytes of files stored through our listeners");
    this.#removed = metrics.counter("removed_total", "Files and unused slots removed");
    metrics.gauge("receiving", "Uploads that are being received", () => this.#receiving);
    const { options, clock } = house;
    this.#place = options.backend ?? (options.s3 === undefined ? "local" : "s3");
    if (this.#place === "s3" && options.s3 === undefined) {
      throw new Error(`mod_http_upload of ${house.domain} has the backend "s3", and no table s3 that says where it is`);
    }
    this.store = new UploadStore(house.store);
    this.#s3 = options.s3 && new S3Storage(options.s3, () => clock.now());
    // Also where files go to S3 now: those that came before are still in the folder.
    this.#local = new LocalStorage(resolve(house.dataDir, options.local.folder));
    if (this.#place === "local") this.#local.prepare();
    this.fileBytesMax = fileBytesMaxOf(options);
    this.throughListener = this.#place === "local" || options.s3?.download === "redirect";
    this.origins = this.#s3 === undefined ? [] : [this.#s3.origin];
  }

  /** A slot for a file of this account. Throws `StanzaError` resource-constraint, service-unavailable. */
  slot(account: Jid, request: SlotRequest): Promise<UploadSlot> {
    return this.#slot(account, request, this.#house.options.expirationTimeMs);
  }

  async operatorSlot(
    name: string,
    size: number,
    contentType: string | undefined,
    validMs: number,
  ): Promise<UploadSlot> {
    const request = { ...checkFile(name, String(size), contentType, this.fileBytesMax), expireBefore: undefined };
    return this.#slot(this.#house.address, request, validMs);
  }

  async #slot(owner: Jid, request: SlotRequest, validMs: number): Promise<UploadSlot> {
    const { options, clock, random } = this.#house;
    const base = this.#house.uploadsUrl();
    if (this.throughListener && base === undefined) {
      throw new StanzaError("service-unavailable", {
        text: "This server has no place for files just now",
        type: "wait",
      });
    }
    const now = clock.now();
    const { name, size, contentType } = request;
    const token = random.id(options.tokenBytes);
    const secret = this.#place === "local" ? random.id() : "";
    const kept = Number.isFinite(options.fileExpiryMs) ? now + options.fileExpiryMs : undefined;
    const expiresAt = earlier(kept, request.expireBefore);
    const putUntil = now + validMs;
    const dueAt = putUntil + slotGraceMs;
    await this.store.addSlot({
      ...{ token, owner, name, contentType, size, secret, now, putUntil, expiresAt, dueAt },
      place: this.#place,
    });
    // Counted with the new one in it, so that two requests at once, on two nodes, are never both the last that fits.
    if (owner.local !== "") await this.#keepQuota(owner, token, now);
    this.#slots.add(1, "given");
    const path = `${token}/${percentEncoded(name)}`;
    if (this.#place === "local") return { putUrl: `${base}/${path}?slot=${secret}`, getUrl: `${base}/${path}` };
    const putUrl = await this.#s3!.putUrl({ token, name }, size, contentType, validMs / 1000);
    return { putUrl, getUrl: (await this.urlOf({ token, name, place: "s3" }))! };
  }

  /** Where a file is read; undefined when that is nowhere, with the configuration as it is. */
  async urlOf({ token, name, place }: Pick<UploadRow, "token" | "name" | "place">): Promise<string | undefined> {
    const s3 = place === "s3" ? this.#house.options.s3 : undefined;
    if (s3?.download === "public") return this.#s3!.publicUrl({ token, name });
    if (s3?.download === "signed") return this.#s3!.readUrl({ token, name }, s3.downloadTimeMs / 1000);
    const base = this.#house.uploadsUrl();
    return base === undefined || (place === "s3" && s3 === undefined)
      ? undefined
      : `${base}/${token}/${percentEncoded(name)}`;
  }

  async #keepQuota(account: Jid, token: string, now: number): Promise<void> {
    const { quota, maxFiles } = this.#house.options;
    const { files, bytes } = await this.store.usage(account, now);
    if (files <= maxFiles && bytes <= quota) return;
    await this.store.remove(token);
    this.#slots.add(1, "over quota");
    const retryAt = await this.store.roomAt(account, now, bytes - quota, files - maxFiles);
    const text =
      files > maxFiles
        ? `Quota reached. You can have ${maxFiles} files`
        : `Quota reached. All your files together can have ${quota} bytes`;
    throw quotaReached(text, retryAt);
  }

  async find(token: string): Promise<Upload | undefined> {
    if (!isToken(token)) return undefined;
    const row = await this.store.find(token);
    if (row === undefined || isOrphan(row)) return undefined;
    const now = this.#house.clock.now();
    if (row.expires_at !== null && row.expires_at <= now) return undefined;
    return uploadOf(row);
  }

  async receive(
    upload: Upload,
    secret: string,
    contentType: string | undefined,
    body: AsyncIterable<Uint8Array>,
  ): Promise<UploadOutcome> {
    const outcome = await this.#receive(upload, secret, contentType, body);
    this.#received.add(1, outcome);
    if (outcome === "stored") this.#receivedBytes.add(upload.size);
    return outcome;
  }

  async #receive(
    upload: Upload,
    secret: string,
    contentType: string | undefined,
    body: AsyncIterable<Uint8Array>,
  ): Promise<UploadOutcome> {
    const { clock } = this.#house;
    const row = await this.store.find(upload.token);
    if (row === undefined || isStored(row)) return "closed";
    if (row.place !== "local" || row.secret === "" || row.secret !== secret) return "forbidden";
    const { username } = row;
    const mine = this.#receivingOf.get(username) ?? 0;
    if (this.#receiving >= receivingMax || mine >= receivingOfOneMax) return "busy";
    this.#count(username, 1);
    let claimed = false;
    let stored = false;
    try {
      claimed = await this.store.claim(upload.token, clock.now());
      if (!claimed) return "closed";
      if (!(await this.#local.write(upload.token, row.size, this.#inTime(body, row.size)))) return "short";
      stored = await this.store.stored(
        upload.token,
        clock.now(),
        row.content_type ?? contentType ?? null,
        row.expires_at,
      );
      if (!stored) await this.#local.remove(upload.token);
      return stored ? "stored" : "closed";
    } catch (error) {
      // Its account, or the cleaner, has removed what there was of it.
      if (codeOf(error) === "ENOENT") return "closed";
      if (!isFull(error)) throw error;
      this.#house.log.error({ err: error }, "there is no space for uploads any more");
      return "no space";
    } finally {
      this.#count(username, -1);
      if (claimed && !stored) await this.store.release(upload.token);
    }
  }

  #count(username: string, change: 1 | -1): void {
    this.#receiving += change;
    if (username === "") return;
    const mine = (this.#receivingOf.get(username) ?? 0) + change;
    if (mine === 0) this.#receivingOf.delete(username);
    else this.#receivingOf.set(username, mine);
  }

  /** Ends where the connection breaks, or goes on for too long. */
  async *#inTime(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
    const time = Math.min(receivingMsMax, receivingMsMin + size / receivingBytesPerMs);
    const end = this.#house.clock.monotonic() + time;
    try {
      for await (const chunk of body) {
        if (this.#house.clock.monotonic() > end) return;
        yield chunk;
      }
    } catch (error) {
      this.#house.log.debug({ err: error }, "an upload broke off");
    }
  }

  async content({ token, name, size, place, storedAt }: Upload): Promise<Blob | string | undefined> {
    if (place === "s3") {
      return this.#house.options.s3?.download === "redirect"
        ? this.#s3?.readUrl({ token, name }, redirectSeconds)
        : undefined;
    }
    if (storedAt === undefined) return undefined;
    const blob = await this.#local.content(token);
    if (blob?.size !== size) {
      this.#house.log.warn({ token: inLogs(token) }, "an uploaded file is not in its folder, or is not whole");
      return undefined;
    }
    return blob;
  }

  /** Removes a file and its row. Throws when the file cannot be removed; the row is then still there. */
  async remove({ token, name, place }: RemovableUpload): Promise<void> {
    if (place === "local") await this.#local.remove(token);
    else await this.#s3?.remove({ token, name });
    await this.store.remove(token);
    this.#removed.add(1);
  }

  /** Whether a slot that was not reported as used has a file all the same: S3 does not tell us. */
  async isFilled({ token, name, place }: RemovableUpload): Promise<boolean> {
    return place === "s3" && this.#s3 !== undefined && (await this.#s3.exists({ token, name }));
  }

  /** The account is gone. What cannot be removed now, the cleaner will remove; nobody can read it any more through us. */
  async forget(account: Jid): Promise<void> {
    const removals = await this.store.orphan(account, this.#house.clock.now());
    const worker = async (): Promise<void> => {
      for (let next = removals.pop(); next !== undefined; next = removals.pop()) {
        try {
          await this.remove(next);
        } catch (error) {
          this.#house.log.warn(removalFailure(error, next.token), "a file could not be removed; trying again later");
        }
      }
    };
    await Promise.all(Array.from({ length: removalsAtOnce }, worker));
  }
}

/** A redirect is followed at once. */
const redirectSeconds = 600;

function uploadOf(row: UploadRow): Upload {
  return {
    token: row.token,
    domain: row.server,
    name: row.name,
    size: row.size,
    contentType: row.content_type ?? undefined,
    storedAt: row.stored_at ?? undefined,
    expiresAt: row.expires_at ?? undefined,
    place: row.place,
  };
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

function isFull(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOSPC" || code === "EDQUOT";
}
