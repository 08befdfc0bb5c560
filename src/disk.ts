export { disk } from "./engines/disk/disk.ts";
