export { express } from "./adapters/express.ts";
export type { NodeHandler } from "./adapters/node.ts";
