export { type AttachOptions, attach, handler, type NodeHandler, upgrade } from "./adapters/node.ts";
