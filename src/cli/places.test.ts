/** Which folder and file are meant when none is named. */
import { describe, expect, test } from "bun:test";
import { configFile, ctlInvocation, dataFolder, type Surroundings } from "./places.ts";

function around(changes: Partial<Surroundings> & { files?: string[] } = {}): Surroundings {
  const { files = [], ...rest } = changes;
  return {
    packageRoot: "/srv/meerkat",
    currentFolder: "/home/ann",
    environment: {},
    exists: (path) => files.includes(path),
    ...rest,
  };
}
const installed = "/home/ann/node_modules/meerkat";

describe("the data folder", () => {
  test.each<[string, string | undefined, Surroundings, string]>([
    ["in a clone, from any folder", undefined, around(), "/srv/meerkat/data"],
    ["given, relative to the current folder", "here", around(), "/home/ann/here"],
    ["given, absolute", "/var/lib/meerkat", around({ environment: { MEERKAT_DATA: "/x" } }), "/var/lib/meerkat"],
    ["from the environment", undefined, around({ environment: { MEERKAT_DATA: "/x" } }), "/x"],
    [
      "an empty environment variable is none",
      undefined,
      around({ environment: { MEERKAT_DATA: "" } }),
      "/srv/meerkat/data",
    ],
    ["never inside node_modules", undefined, around({ packageRoot: installed }), "/home/ann/data"],
  ])("%s", (_, given, surroundings, found) => {
    expect(dataFolder(given, surroundings)).toBe(found);
  });
});

describe("the configuration", () => {
  test.each<[string, string | undefined, Surroundings, string]>([
    ["in a clone", undefined, around(), "/srv/meerkat/meerkat.toml"],
    ["given", "my.toml", around(), "/home/ann/my.toml"],
    ["from the environment", undefined, around({ environment: { MEERKAT_CONFIG: "/etc/m.toml" } }), "/etc/m.toml"],
    [
      "of the current folder, when installed",
      undefined,
      around({ packageRoot: installed, files: ["/home/ann/meerkat.toml"] }),
      "/home/ann/meerkat.toml",
    ],
    [
      "as brought along, when there is none",
      undefined,
      around({ packageRoot: installed }),
      `${installed}/meerkat.toml`,
    ],
  ])("%s", (_, given, surroundings, found) => {
    expect(configFile(given, surroundings)).toBe(found);
  });
});

describe("how to give the node commands", () => {
  test.each<[string, string, Surroundings, string]>([
    ["in the clone", "/srv/meerkat/data", around({ currentFolder: "/srv/meerkat" }), "./bin/meerkat ctl"],
    ["from elsewhere", "/srv/meerkat/data", around(), "/srv/meerkat/bin/meerkat ctl"],
    ["a folder of its own", "/var/lib/meerkat", around(), "/srv/meerkat/bin/meerkat ctl --data /var/lib/meerkat"],
    [
      "a folder below, with a space",
      "/srv/meerkat/my data",
      around({ currentFolder: "/srv/meerkat" }),
      "./bin/meerkat ctl --data './my data'",
    ],
    ["as a package", "/home/ann/data", around({ packageRoot: installed }), "npx meerkat ctl"],
  ])("%s", (_, dataDir, surroundings, told) => {
    expect(ctlInvocation(dataDir, surroundings)).toBe(told);
  });
});
