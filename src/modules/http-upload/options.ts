/** The options of mod_http_upload; names are MongooseIM's where it has them. */
import { type OptionsOf, option } from "../../config/option.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** S3 takes no presigned URL that holds longer. */
const signedDaysMax = 7;

const isHttpBase = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return (protocol === "https:" || protocol === "http:") && username + password + search + hash === "";
};

export const uploadOptions = {
  host: option.string({
    doc: 'The domain of the service; "@HOST@" is the host it belongs to.',
    default: "upload.@HOST@",
  }),
  backend: option.choice({
    doc: "Where files go: a folder, from which our HTTP listener serves them, or S3; by default s3 where there is such a table.",
    values: ["local", "s3"],
  }),
  access: option.access({
    doc: "Who may upload, among the accounts of this host; nobody else ever may.",
    default: "all",
  }),
  expiration_time: option.duration({
    doc: "How long a client has to begin its upload.",
    default: 300,
    min: 10,
    max: 86_400,
    unit: "s",
  }),
  token_bytes: option.integer({
    doc: "Random bytes in the URL of a file, which nobody shall guess.",
    default: 32,
    min: 16,
    max: 64,
    unit: "bytes",
  }),
  max_file_size: option.integer({
    doc: "Largest file.",
    default: 10 * MiB,
    min: KiB,
    max: 1024 * MiB * KiB,
    unit: "bytes",
  }),
  quota: option.infinityOr(
    option.integer({
      doc: "Most bytes that all files of one account may have together.",
      default: 200 * MiB,
      min: KiB,
      unit: "bytes",
    }),
  ),
  max_files: option.integer({
    doc: "Most files of one account, slots that wait for their file included.",
    default: 2_000,
    min: 1,
    max: 100_000,
    unit: "files",
  }),
  file_expiry: option.infinityOr(option.duration({ doc: "How long files are kept.", default: 30, min: 1, unit: "d" })),
  local: option.table(
    {
      folder: option.string({
        doc: "The folder, relative to the data folder. Several machines need one folder that all of them see.",
        default: "uploads",
        check: (text) => text !== "",
        allowed: "a path",
      }),
    },
    { doc: "Files in a folder." },
  ),
  s3: option.optionalTable(
    {
      bucket_url: option.string({
        doc: "URL of the bucket, with a folder in it if you like.",
        required: true,
        check: isHttpBase,
        allowed: 'a URL, such as "https://bucket.s3.eu-central-1.amazonaws.com"',
      }),
      region: option.string({ doc: "The region of the bucket.", required: true }),
      access_key_id: option.string({ doc: "Id of the access key.", required: true }),
      secret_access_key: option.string({ doc: "The access key.", required: true, secret: true }),
      add_acl: option.boolean({
        doc: "Slots make their files public (`x-amz-acl: public-read`), for buckets whose policy does not.",
        default: false,
      }),
      download: option.choice({
        doc: "How files are read: `public`, from the bucket, which must allow it; `signed`, by a URL that holds for a time; `redirect`, through our HTTP listener, which sends readers on to such a URL.",
        values: ["public", "signed", "redirect"],
        default: "public",
      }),
      download_time: option.duration({
        doc: "How long a signed URL holds.",
        default: signedDaysMax * 24,
        min: 1,
        max: signedDaysMax * 24,
        unit: "h",
      }),
    },
    { doc: "A bucket of S3, or of what speaks its protocol." },
  ),
} as const;

export type UploadOptions = OptionsOf<typeof uploadOptions>;

/** The largest file that somebody with nothing stored may send. */
export function fileBytesMaxOf({ maxFileSize, quota }: Pick<UploadOptions, "maxFileSize" | "quota">): number {
  return Math.min(maxFileSize, quota);
}
