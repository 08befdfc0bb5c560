import type { Log } from "../../src/core/log.ts";
import { diskOwner, diskWorker } from "../../src/disk.ts";

/** A worker's log, together with the owner that writes for it, each with its end of a real socket: opened and closed as one. */
export function workerWithOwner(directory: string): Log {
  const owner = diskOwner(directory);
  const worker = diskWorker(directory);
  const { open, close } = worker;
  return Object.assign(worker, {
    async open(context: Parameters<Log["open"]>[0]) {
      await owner.open(context);
      await open.call(worker, context);
    },
    async close() {
      await close.call(worker);
      await owner.close();
    },
  });
}
