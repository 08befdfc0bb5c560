import type { Throughline } from "../adapters/throughline.ts";
import { type MachineSample, sampleMachine } from "./machine.ts";

/** The page reads these: how the machine fares, once a second, as data and as a line of text. */
export const MACHINE_CHANNEL = "machine/stats";
export const FEED_CHANNEL = "demo/feed";

/** Publishes a sample each second. Returns what ends it. A log that is slow, or full, gets no second sample while it has the first. */
export function publishSamples(tl: Throughline): () => void {
  let isPublishing = false;
  return sampleMachine(async (sample) => {
    if (isPublishing) return;
    isPublishing = true;
    try {
      await Promise.all([
        tl.channel(MACHINE_CHANNEL).publish("sample", sample),
        tl.channel(FEED_CHANNEL).publish("message", sentenceOf(sample), { text: true }),
      ]);
    } catch {
      // The engine's own warnings tell; the plots show a hole
    } finally {
      isPublishing = false;
    }
  });
}

function sentenceOf({ cpu, memory, network }: MachineSample): string {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const parts = [`cpu ${percent(cpu.total)}`, `memory ${percent(memory.used / memory.total)}`];
  if (network !== null) parts.push(`in ${kilobytes(network.received)}`, `out ${kilobytes(network.sent)}`);
  return parts.join("  ");
}

function kilobytes(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1_000).toFixed(0)} kB/s`;
}
