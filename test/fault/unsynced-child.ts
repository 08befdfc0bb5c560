import { open } from "lmdb";

/*
 * The negative control of power cuts: a log that acknowledges what it has not synced, as many do. Run as: node unsynced-child.mjs <directory>
 */
const [, , directory = ""] = process.argv;
const database = open({ path: directory, noSubdir: false, noSync: true, overlappingSync: false });
for (let key = 1; ; key++) {
  await database.put(key, "x".repeat(100));
  process.stdout.write(`ack ${key}\n`);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
