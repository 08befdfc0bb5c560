import { until } from "../support/until.ts";
import type { Faults } from "./campaign.ts";
import { type Ground, PORT, pass } from "./ground.ts";
import type { Volume } from "./volume.ts";

/** After these the server is another process. */
export const MORTAL = new Set(["the server is killed", "a power cut", "the server is restarted"]);

/** What befalls one server on a disk, its disk and the ways to it. None of it takes anything that was acknowledged. */
export function serverFaults(ground: Ground, volume: Volume, serve: () => Promise<boolean>): Faults {
  const between = (min: number, max: number) => min + ground.random.fraction() * (max - min);
  return {
    async "the server is killed"() {
      await ground.stop("SIGKILL");
      await serve();
    },
    async "the server is restarted"() {
      await ground.stop("SIGTERM");
      await serve();
    },
    async "a power cut"() {
      ground.server?.kill("SIGSTOP");
      const held = volume.copy();
      await ground.stop("SIGKILL");
      volume.become(held);
      await serve();
    },
    async "all clients are cut"() {
      ground.run("ss", "-K", "state", "established", `( sport = :${PORT} )`);
    },
    async "three in ten packets are answered with a reset"() {
      ground.filter([`tcp dport ${PORT} numgen random mod 100 < 30 reject with tcp reset`]);
      await pass(between(100, 1_000));
      ground.filter([]);
    },
    async "a tenth of all packets is lost"() {
      ground.filter(["numgen random mod 100 < 10 drop"]);
      await pass(between(500, 3_000));
      ground.filter([]);
    },
    async "the server hears nothing"() {
      ground.filter([`tcp dport ${PORT} drop`]);
      await pass(between(500, 3_000));
      ground.filter([]);
    },
    async "the server stands still"() {
      ground.server?.kill("SIGSTOP");
      await pass(between(200, 2_500));
      ground.server?.kill("SIGCONT");
    },
    async "its event loop stands still"() {
      ground.server?.kill("SIGWINCH");
      await pass(2_000);
    },
    async "its disk is full"() {
      const { refused } = ground;
      volume.fill();
      await until("publishing is refused", () => ground.refused > refused, 30_000);
      volume.free();
    },
    async "visitors come and go"() {
      const visitors = await ground.gather({ publishers: 1, askers: 1, readers: { sse: 3, websocket: 3, "long-poll": 2 } });
      await ground.progress(30);
      await ground.dismiss(visitors);
    },
  };
}
