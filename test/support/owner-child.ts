import { diskOwner } from "../../src/disk.ts";
import { context, draftOf } from "./disk-child.ts";

/* A process that owns a directory, appends a message whenever it is told to, says so, and lets go when nobody is there to tell it. Run as: node owner-child.js <directory> */

const [, , directory = ""] = process.argv;
const log = diskOwner(directory);
await log.open(context);
let count = 0;
process.on("message", async () => {
  await log.append("a", [draftOf(`${process.pid}-${++count}`)]);
  process.send?.(count);
});
process.once("disconnect", () => void log.close());
process.send?.(count);
