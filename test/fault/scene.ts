import { memory, type Retention } from "../../src/index.ts";
import type { Limits } from "../../src/protocol.ts";
import { seededRandom } from "../support/clock.ts";
import { Crew } from "../support/crew.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { startServer, type TestServer } from "../support/start-server.ts";

export interface SceneOptions {
  readonly limits?: Partial<Limits>;
  /** Messages that are kept, however large. Default: all. */
  readonly countMax?: number;
  /** Of the proxy's own chance. */
  readonly seed?: number;
}

export interface Scene extends AsyncDisposable {
  readonly server: TestServer;
  readonly proxy: FaultProxy;
  readonly crew: Crew;
}

/** A server in this process, a proxy before it that does what it is told, and people who publish and read, mostly through the proxy. */
export async function scene({ limits = {}, countMax = 1_000_000, seed = Date.now() }: SceneOptions = {}): Promise<Scene> {
  const retain: Partial<Retention> = { countMax, bytesMax: 1e9 };
  const server = await startServer(() => memory({ retain }), { limits });
  const proxy = await FaultProxy.open(Number(new URL(server.url).port), seededRandom(seed).fraction);
  const crew = await Crew.meet(server.url);
  return {
    server,
    proxy,
    crew,
    async [Symbol.asyncDispose]() {
      crew.close();
      await proxy.close();
      await server.dispose();
    },
  };
}
