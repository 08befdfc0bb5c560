export { type FetchHandler, type FetchOptions, fetchHandler } from "./adapters/fetch.ts";
