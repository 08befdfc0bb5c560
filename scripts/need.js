#!/usr/bin/env node
// Finds the programs that the tests start, and installs what is missing where it may (root on Debian or Ubuntu).
//
//   node scripts/need.js            everything in the table
//   node scripts/need.js chromium   only this
//
// It needs nothing but Node, since it runs before `npm ci`. With CI=true a missing program is an error: nothing may be skipped.
import { spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Name: the commands it may have (the first one found is taken), its Debian package, and what it is for.
 * A new need is a new row; `test/support/need.ts` gives its path to a test.
 */
const NEEDS = {
  chromium: {
    commands: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    apt: "chromium",
    purpose: "the tests of the client in a browser",
  },
  prlimit: { commands: ["prlimit"], apt: "util-linux", purpose: "the tests of a full disk" },
  strace: { commands: ["strace"], apt: "strace", purpose: "the tests of a disk that fails" },
};

// Servers live in sbin, which is not on everybody's PATH.
const FOLDERS = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];

/** `THROUGHLINE_CHROMIUM=/opt/chrome/chrome` names a program that is not on the PATH. */
const variableOf = (name) => `THROUGHLINE_${name.toUpperCase().replaceAll("-", "_")}`;

function rowOf(name) {
  if (!Object.hasOwn(NEEDS, name)) throw new Error(`scripts/need.js knows no ${name}. It knows ${Object.keys(NEEDS).join(", ")}.`);
  return NEEDS[name];
}

/** The path of a program, or null. */
export function find(name) {
  const { commands } = rowOf(name);
  const own = process.env[variableOf(name)];
  if (own) return isProgram(own) ? own : null;
  for (const command of commands) {
    for (const folder of FOLDERS) {
      if (folder !== "" && isProgram(join(folder, command))) return join(folder, command);
    }
  }
  return null;
}

/** What to tell a person who lacks it. */
export function explain(name) {
  const { apt, purpose } = rowOf(name);
  const own = process.env[variableOf(name)];
  const missing = own ? `${variableOf(name)} names ${own}, which is not a program.` : `${name} is not installed; ${purpose} need it.`;
  return `${missing} Install it (Debian, Ubuntu: sudo apt-get install -y --no-install-recommends ${apt}), or set ${variableOf(name)} to its path.`;
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function apt(...words) {
  const { status, error } = spawnSync("apt-get", ["-o", "DPkg::Lock::Timeout=300", ...words], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return error === undefined && status === 0;
}

function install(packages) {
  const words = ["install", "-y", "--no-install-recommends", ...packages];
  return apt(...words) || (apt("update") && apt(...words));
}

function main(names) {
  let missing = names.filter((name) => find(name) === null);
  // A program named by the environment is the person's own affair.
  const installable = missing.filter((name) => !process.env[variableOf(name)]);
  const mayInstall = process.getuid?.() === 0 && spawnSync("apt-get", ["--version"], { stdio: "ignore" }).status === 0;
  if (installable.length > 0 && mayInstall) {
    const packages = installable.map((name) => rowOf(name).apt);
    console.log(`Installing ${packages.join(" ")} with apt-get.`);
    if (!install(packages)) console.error(`apt-get could not install ${packages.join(" ")}.`);
    missing = names.filter((name) => find(name) === null);
  }
  for (const name of missing) console.error(explain(name));
  if (missing.length === 0) return 0;
  if (process.env.CI === "true") return 1;
  console.error("Going on: the tests that need what is missing will fail and say so.");
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  process.exitCode = main(names.length > 0 ? names : Object.keys(NEEDS));
}
