#!/usr/bin/env node
// Finds the programs that the tests start, and installs what is missing where it may (root on Debian or Ubuntu).
//
//   node scripts/need.js            what `npm test` needs
//   node scripts/need.js fault      what `npm run fault` needs
//   node scripts/need.js chromium   only this
//
// It needs nothing but Node, since it runs before `npm ci`. With CI=true a missing program is an error: nothing may be skipped.
import { spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Name: the commands it may have (the first one found is taken), its Debian package, and what it is for. `only`: what alone needs it.
 * A new need is a new row; `test/support/need.ts` gives its path to a test.
 */
const NEEDS = {
  chromium: {
    commands: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    apt: "chromium",
    purpose: "the tests of the client in a browser",
  },
  firefox: { commands: ["firefox-esr", "firefox"], apt: "firefox-esr", purpose: "the tests of the client in a browser" },
  nginx: { commands: ["nginx"], apt: "nginx-light", purpose: "the tests behind a proxy" },
  haproxy: { commands: ["haproxy"], apt: "haproxy", purpose: "the tests behind a proxy" },
  caddy: { commands: ["caddy"], apt: "caddy", purpose: "the tests behind a proxy" },
  apache: { commands: ["apache2"], apt: "apache2", purpose: "the tests behind a proxy" },
  varnish: { commands: ["varnishd"], apt: "varnish", purpose: "the tests behind a proxy" },
  "redis-server": { commands: ["redis-server", "valkey-server"], apt: "redis-server", purpose: "the tests of the redis engine" },
  "redis-cli": { commands: ["redis-cli", "valkey-cli"], apt: "redis-tools", purpose: "the faults of a broker", only: "fault" },
  "nats-server": { commands: ["nats-server"], apt: "nats-server", purpose: "the tests of the nats engine" },
  prlimit: { commands: ["prlimit"], apt: "util-linux", purpose: "the tests of a full disk" },
  strace: { commands: ["strace"], apt: "strace", purpose: "the tests of a disk that fails" },
  ip: { commands: ["ip"], apt: "iproute2", purpose: "the faults of a network", only: "fault" },
  ss: { commands: ["ss"], apt: "iproute2", purpose: "the faults of a network", only: "fault" },
  nft: { commands: ["nft"], apt: "nftables", purpose: "the faults of a network", only: "fault" },
  tc: { commands: ["tc"], apt: "iproute2", purpose: "the faults of a network", only: "fault" },
  faketime: { commands: ["faketime"], apt: "faketime", purpose: "the faults of a clock", only: "fault" },
  "mkfs.ext4": { commands: ["mkfs.ext4"], apt: "e2fsprogs", purpose: "the faults of a disk", only: "fault" },
  fsfreeze: { commands: ["fsfreeze"], apt: "util-linux", purpose: "the faults of a disk", only: "fault" },
};

// Servers live in sbin, which is not on everybody's PATH.
const FOLDERS = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];

/** `THROUGHLINE_CHROMIUM=/opt/chrome/chrome` names a program that is not on the PATH. */
const variableOf = (name) => `THROUGHLINE_${name.toUpperCase().replaceAll(/[-.]/g, "_")}`;

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

/** A name stands for itself, and what is the `only` of some rows for all of these; nothing for all rows without one. */
function namesOf(words) {
  const names = Object.keys(NEEDS);
  if (words.length === 0) return names.filter((name) => NEEDS[name].only === undefined);
  return words.flatMap((word) => {
    const own = names.filter((name) => NEEDS[name].only === word);
    return own.length > 0 ? own : [word];
  });
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
  process.exitCode = main(namesOf(process.argv.slice(2)));
}
