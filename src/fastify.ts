export { type FastifyLike, type FastifyPlugin, fastify } from "./adapters/fastify.ts";
