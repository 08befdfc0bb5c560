import { handler, type NodeHandler } from "./node.ts";
import type { Throughline } from "./throughline.ts";

/**
 * A middleware for Express, and for Connect and its like. Mounted under a path it answers what stands below it; what is not ours goes on to the application's
 * own routes. A body parser before it does no harm, nor does compression. WebSockets pass Express by: `attach` takes them from the server.
 *
 * @example
 * const app = express();
 * app.use("/realtime", realtime(tl)); // import { express as realtime } from "throughline/express"
 * const server = app.listen(3000);
 * attach(tl, server, { path: "/realtime", requests: false }); // import { attach } from "throughline/node"
 */
export function express(tl: Throughline): NodeHandler {
  return handler(tl);
}
