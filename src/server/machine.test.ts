import { describe, expect, test } from "vitest";
import { cpuShares, parseTraffic } from "./machine.ts";

const core = (user: number, sys: number, idle: number) => ({ times: { user, nice: 0, sys, idle, irq: 0 } });

describe("A sample of the machine", () => {
  test("tells which share of the time between two readings each core was busy, and all of them", () => {
    const before = [core(100, 100, 800), core(0, 0, 0)];
    const after = [core(150, 125, 825), core(0, 0, 100)];
    expect(cpuShares(before, after)).toEqual({ total: 0.375, cores: [0.75, 0] });
  });

  test("is 0 where no time has passed, and ignores a core that came in between", () => {
    expect(cpuShares([core(1, 1, 1)], [core(1, 1, 1), core(5, 5, 5)])).toEqual({ total: 0, cores: [0] });
  });

  test("counts the bytes of interfaces that lead out of the machine", () => {
    const text = [
      "Inter-|   Receive                                                |  Transmit",
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
      "    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0",
      "  eth0: 100 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0",
      " wlan0:7 1 0 0 0 0 0 0 3 2 0 0 0 0 0 0",
      "docker0: 500 1 0 0 0 0 0 0 500 2 0 0 0 0 0 0",
      "",
    ];
    expect(parseTraffic(text.join("\n"))).toEqual({ received: 107, sent: 23 });
  });
});
