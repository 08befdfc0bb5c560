export { type DevOptions, type DevServer, startDev } from "./server/dev.ts";
