import { type Seen, TALK_MIN, TALK_MS } from "./choose-transport.ts";
import type { Transport } from "./options.ts";

/** A pipe that stood so long is not at fault when it is cut. */
const LONG_MS = 10_000;
/** So many short lives in a row are a proxy's doing, not chance (three is what ElectricSQL's client counts). */
const SIGNS_MAX = 3;

/** Remembers what the choice of a transport rests on. Pure: time is told. */
export interface Witness {
  /** The application said something: 1 for a publish, TALK_MIN for what alone is a conversation. */
  talked(weight: number, nowMs: number): void;
  /** A pipe was cut. `stoodMs`: how long it stood after its first frame, -1 if none came. `silent`: it was given up for saying nothing. */
  cut(transport: Transport, nowMs: number, stoodMs: number, silent: boolean): void;
  look(current: Transport | undefined, nowMs: number): Seen;
}

export function createWitness(): Witness {
  /** When it talked, latest first: no more than what makes a conversation. */
  let talkedMs: number[] = [];
  /** `signs`: what alone proves nothing. Long-polling is the last resort, and blamed for nothing. */
  const records = [0, 1, 2].map(() => ({ failures: 0, atMs: 0, signs: 0, msAgo: 0 }));
  const recordOf = (transport: Transport) => records[["sse", "websocket"].indexOf(transport) + 1]!;
  return {
    talked(weight, nowMs) {
      talkedMs = [...Array(weight).fill(nowMs), ...talkedMs].slice(0, TALK_MIN);
    },
    cut(transport, nowMs, stoodMs, silent) {
      const record = recordOf(transport);
      if (stoodMs >= LONG_MS) record.signs = record.failures = 0;
      else if (stoodMs >= 0) record.signs++;
      // A refused connection says nothing about streams; one that is held back, or a handshake that fails, does
      else if (silent || transport === "websocket") record.signs = SIGNS_MAX;
      if (record.signs < SIGNS_MAX) return;
      record.signs = 0;
      record.failures++;
      record.atMs = nowMs;
    },
    look(current, nowMs) {
      for (const record of records) record.msAgo = nowMs - record.atMs;
      return {
        current,
        talk: talkedMs.filter((atMs) => nowMs - atMs < TALK_MS).length,
        sse: recordOf("sse"),
        websocket: recordOf("websocket"),
      };
    },
  };
}
