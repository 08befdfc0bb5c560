import { monitorEventLoopDelay } from "node:perf_hooks";
import { describe, expect, test } from "vitest";
import { BareLoop, CHANNEL } from "../support/crew.ts";
import { record } from "../support/evidence.ts";
import { offsetOf } from "../support/inbox.ts";
import { until } from "../support/until.ts";
import { type Scene, scene } from "./scene.ts";

/* Rows N3 and N4: a network that lets nothing through and closes nothing, in both directions or in one. */

/** `THROUGHLINE_HOLES=50` for a night. */
const HOLES = Number(process.env["THROUGHLINE_HOLES"] ?? 2);
const HEARTBEAT_MS = 300;
/** For a machine that does other things meanwhile. */
const SLACK_MS = 1_500;
const LIMITS = { heartbeatSeconds: HEARTBEAT_MS / 1_000, stalledSecondsMax: 1.2 };
const BIG = "x".repeat(400_000);

const DIRECTIONS = {
  "both ways": { up: { flow: "hole" }, down: { flow: "hole" } },
  "to the client": { down: { flow: "hole" } },
  "to the server": { up: { flow: "hole" } },
} as const;

describe("A black hole", { concurrent: true }, () => {
  for (const transport of ["sse", "websocket"] as const) {
    for (const direction of Object.keys(DIRECTIONS) as (keyof typeof DIRECTIONS)[]) {
      // An event stream needs nothing of what goes up: its reader has every message, and does not notice
      const notices = transport === "websocket" || direction !== "to the server";
      const promised = notices ? "is noticed within two heartbeats by whoever can, and frees the connection" : "harms nobody";
      test(`[D2] [D10] ${direction}, ${HOLES} times over ${transport}, ${promised}: nothing is lost or twice`, {
        timeout: 30_000 + HOLES * 15_000,
      }, async () => {
        const began = performance.now();
        await using stage = await scene({ limits: LIMITS });
        const { server, proxy, crew } = stage;
        const pipes = () => [...server.tl.connections()];
        const reader = crew.reader(proxy.url, transport);
        const publisher = crew.client(server.url, "sse");
        const bare = new BareLoop(proxy.url, crew.start);
        crew.loops.push(bare);
        await crew.live();
        await until("the bare loop reads", () => bare.connections > 0);
        let worstMs = 0;
        let holes = 0;
        const lateness = monitorEventLoopDelay();
        lateness.enable();
        for (let round = 0; round < HOLES; round++) {
          const { reconnects } = reader.counts;
          crew.chronicle.fault(`hole ${direction}`);
          const holeAt = performance.now();
          const dead = [...proxy.links];
          const lost = pipes().filter((pipe) => notices && (direction !== "to the server" || pipe.transport === "websocket"));
          for (const link of dead) link.set(DIRECTIONS[direction]);
          holes += dead.length;
          // What the reader itself says into the hole is said again, and stored once. (A POST waits 30 s for its answer before that.)
          const answers = await Promise.all([crew.publish(publisher, 10), crew.publish(transport === "websocket" ? reader : publisher, 2)]);
          const last = Math.max(...answers.flat().map((answer) => offsetOf(answer?.position ?? "")));
          await until("the reader has them", () => [...crew.chronicle.offsets.values()].every((offset) => offset >= last));
          if (!notices) continue;
          await until("it came back by itself", () => reader.counts.reconnects > reconnects);
          worstMs = Math.max(worstMs, performance.now() - holeAt);
          // An event stream is known to be dead once it takes no more (stalledSecondsMax): until then it costs what a socket holds
          const isFreed = () => !pipes().some((pipe) => lost.includes(pipe));
          const fill = async () => {
            if (!isFreed() && server.unsent() < BIG.length) await publishBig(stage);
            return isFreed();
          };
          await until("the server has freed them", fill, 30_000);
          for (const link of dead) link.cut();
          await until("the bare loop is back", () => pipes().length === 2);
        }
        const tally = await crew.judge();
        const control = bare.judge(crew);
        const row = direction === "both ways" ? "N3" : "N4";
        const seconds = Math.round((performance.now() - began) / 1_000);
        const what = `a black hole ${direction} over ${transport}, heartbeats of ${HEARTBEAT_MS} ms`;
        const told = notices
          ? { control: `${control.lost} lost by a loop that watches no heartbeat`, noticedMsMax: Math.round(worstMs) }
          : {};
        record(row, { what, injections: holes, ...tally, ...told, seconds });
        expect(tally).toMatchObject({ lost: 0, twice: 0, disordered: 0, untold: 0 });
        // A machine that has no time for anybody is late by its own measure
        expect(worstMs).toBeLessThan(2 * HEARTBEAT_MS + SLACK_MS + 3 * (lateness.max / 1e6));
        if (notices) expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
      });
    }
  }
});

async function publishBig({ server, crew }: Scene): Promise<void> {
  const data = { big: BIG, at: performance.now() };
  await crew.chronicle.publish(CHANNEL, data, async () => ({ ...(await server.tl.channel(CHANNEL).publish(data)) }));
}
