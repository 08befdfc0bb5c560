import { diskWorker } from "../../src/disk.ts";
import { context, draftOf } from "./disk-child.ts";

/* A process that reads all the while, and appends one message after the other. Says how often it was answered before it was told. Run as: node worker-child.js <directory> <count> */

const [, , directory = "", count = "0"] = process.argv;
const log = diskWorker(directory);
await log.open(context);
let told = 0;
log.follow("a", (one) => {
  told += one.type === "appended" ? one.entries.length : 0;
});
let isDone = false;
const readOn = (): void => {
  void log.read("a", 0, { count: 1, bytes: 1 });
  if (!isDone) setImmediate(readOn);
};
readOn();
let late = 0;
for (let n = 1; n <= Number(count); n++) {
  await log.append("a", [draftOf(`k${n}`)]);
  if (told < n) late++;
}
isDone = true;
await log.close();
process.send?.({ told, late });
process.disconnect();
