import { SEED as ANY } from "../support/seed.ts";

/**
 * How much is done, and from which seed: `npm run fuzz` sets both (scripts/fuzz.js). Without it a run is small, and its seed
 * that of the run, which every failure prints.
 */
export const SEED = Number(process.env["THROUGHLINE_FUZZ_SEED"] ?? ANY);

/** Positions and frames in process; a tenth of it goes over sockets, as HTTP and as WebSocket each. */
export const COUNT = Number(process.env["THROUGHLINE_FUZZ_COUNT"] ?? 20_000);
export const SOCKET_COUNT = Math.ceil(COUNT / 10);

/** Long for a busy machine, and never reached when all is well. */
export const PATIENCE_MS = 60_000 + COUNT * 2;

/** What fast-check is told. A share of 1 is COUNT runs. */
export function runs(share = 1): { seed: number; numRuns: number } {
  return { seed: SEED, numRuns: Math.max(50, Math.ceil(COUNT * share)) };
}
