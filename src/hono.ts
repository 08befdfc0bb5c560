export { type HonoContextLike, type HonoHandler, hono } from "./adapters/hono.ts";
export type { MountOptions } from "./adapters/mount.ts";
