import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { until } from "../support/until.ts";

/**
 * The event stream of a tutorial: chunked, since node:http makes it so, and with no other header than its type. What a proxy does to it is
 * the negative control of what it does to ours.
 */
export async function startNaive() {
  const readers = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    if (request.url !== "/events") {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": welcome\n\n");
    readers.add(response);
    response.on("close", () => readers.delete(response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked: () => until("somebody reads", () => readers.size > 0),
    say(text: string): void {
      for (const reader of readers) reader.write(`data: ${text}\n\n`);
    },
    close(): void {
      server.close();
      server.closeAllConnections();
    },
  };
}
