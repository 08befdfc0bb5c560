export { disk } from "./engines/disk/disk.ts";
export { diskOwner } from "./engines/disk/shared.ts";
export { diskWorker } from "./engines/disk/worker.ts";
