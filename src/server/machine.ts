import { readFileSync } from "node:fs";
import { type CpuInfo, cpus, freemem, totalmem } from "node:os";

/** How this machine fared since the sample before. */
export interface MachineSample {
  /** Busy shares from 0 to 1, of all cores together and of each. */
  readonly cpu: { readonly total: number; readonly cores: readonly number[] };
  /** Bytes. Used is what no program could have: caches count as free. */
  readonly memory: { readonly used: number; readonly total: number };
  /** Bytes per second of the interfaces that lead out of this machine; null where the system does not tell (anything but Linux). */
  readonly network: { readonly received: number; readonly sent: number } | null;
}

const SAMPLE_MS = 1_000;
const SHARE_DIGITS = 1_000;

/** Gives a sample each second. Returns what ends it. The timer does not keep the process alive. */
export function sampleMachine(take: (sample: MachineSample) => void): () => void {
  let cores = cpus();
  let traffic = readTraffic();
  let atMs = performance.now();
  const timer = setInterval(() => {
    const nextCores = cpus();
    const nextTraffic = readTraffic();
    const nextMs = performance.now();
    const seconds = Math.max(nextMs - atMs, 1) / 1_000;
    take({
      cpu: cpuShares(cores, nextCores),
      memory: { used: totalmem() - freemem(), total: totalmem() },
      network: traffic && nextTraffic && rates(traffic, nextTraffic, seconds),
    });
    cores = nextCores;
    traffic = nextTraffic;
    atMs = nextMs;
  }, SAMPLE_MS);
  timer.unref();
  return () => clearInterval(timer);
}

type Core = Pick<CpuInfo, "times">;

/** Busy shares between two readings. A core that came or went in between makes the reading one of the cores that both have. */
export function cpuShares(before: readonly Core[], after: readonly Core[]): MachineSample["cpu"] {
  let busyOfAll = 0;
  let ticksOfAll = 0;
  const cores = after.slice(0, before.length).map(({ times }, index) => {
    const was = before[index]!.times;
    const idle = times.idle - was.idle;
    const ticks = times.user - was.user + times.nice - was.nice + times.sys - was.sys + times.irq - was.irq + idle;
    busyOfAll += ticks - idle;
    ticksOfAll += ticks;
    return share(ticks - idle, ticks);
  });
  return { total: share(busyOfAll, ticksOfAll), cores };
}

function share(part: number, whole: number): number {
  if (whole <= 0) return 0;
  return Math.round(Math.min(Math.max(part / whole, 0), 1) * SHARE_DIGITS) / SHARE_DIGITS;
}

interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/** The loopback interface, and those between this machine and its own containers: the same bytes would count twice. */
const INSIDE = /^(lo\d*|veth.*|docker.*|br-.*|virbr.*|ifb.*|dummy.*)$/;

/** Sums the bytes that each line of /proc/net/dev counts (proc(5)): received in the first column behind the name, sent in the ninth. */
export function parseTraffic(text: string): Traffic {
  let received = 0;
  let sent = 0;
  for (const line of text.split("\n")) {
    const [, name, counts] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || counts === undefined || INSIDE.test(name)) continue;
    const columns = counts.split(/\s+/);
    received += Number(columns[0]) || 0;
    sent += Number(columns[8]) || 0;
  }
  return { received, sent };
}

function readTraffic(): Traffic | null {
  try {
    return parseTraffic(readFileSync("/proc/net/dev", "utf8"));
  } catch {
    return null; // not Linux
  }
}

/** An interface that went away takes its counts along: that second counts as nothing. */
function rates(before: Traffic, after: Traffic, seconds: number): Traffic {
  const rate = (was: number, is: number) => Math.round(Math.max(is - was, 0) / seconds);
  return { received: rate(before.received, after.received), sent: rate(before.sent, after.sent) };
}
