/** Signatures, against the example that AWS publishes; test/talk/http-upload-s3.test.ts has a bucket that checks them. */
import { expect, test } from "bun:test";
import { type S3Options, S3Storage, signedUrl } from "./s3-storage.ts";

const example = {
  region: "us-east-1",
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const options: S3Options = {
  ...example,
  bucketUrl: "https://examplebucket.s3.amazonaws.com/",
  addAcl: false,
  download: "public",
  downloadTimeMs: 3_600_000,
};

test("the presigned URL of the S3 documentation comes out", async () => {
  const url = new URL("https://examplebucket.s3.amazonaws.com/test.txt");
  const signed = new URL(await signedUrl(example, "GET", url, {}, 86_400, Date.UTC(2013, 4, 24)));
  expect(Object.fromEntries(signed.searchParams)).toEqual({
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
    "X-Amz-Date": "20130524T000000Z",
    "X-Amz-Expires": "86400",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  });
});

test("names are encoded once, and the length and type of a file are signed", async () => {
  const storage = new S3Storage(options, () => Date.UTC(2026, 0, 1));
  const file = { token: "tok_en-1", name: "a+b c/ü'(1)*.txt" };
  expect(storage.publicUrl(file)).toBe(
    "https://examplebucket.s3.amazonaws.com/tok_en-1/a%2Bb%20c%2F%C3%BC%27%281%29%2A.txt",
  );
  const put = new URL(await storage.putUrl(file, 5, "text/plain", 300));
  expect(put.pathname).toBe(new URL(storage.publicUrl(file)).pathname);
  expect(put.searchParams.get("X-Amz-SignedHeaders")).toBe("content-length;content-type;host");
  expect(new URL(await storage.putUrl(file, 5, undefined, 300)).searchParams.get("X-Amz-SignedHeaders")).toBe(
    "content-length;host",
  );
});
