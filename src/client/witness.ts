import { SHUN_MS_MAX, SHUN_MS_MIN, SIGNS_MAX, STEADY_MS, TALK_MIN, TALK_MS } from "./bounds.ts";
import type { Seen } from "./choose-transport.ts";
import type { Transport } from "./options.ts";

/** Remembers what the choice of a transport rests on. Pure: time is told. */
export interface Witness {
  /** The application said something: 1 for a publish, TALK_MIN for what alone is a conversation. */
  talked(weight: number, nowMs: number): void;
  /** A pipe was cut. `stoodMs`: how long it stood after its first frame, -1 if none came. `silent`: it was given up for saying nothing. */
  cut(transport: Transport, nowMs: number, stoodMs: number, silent: boolean): void;
  look(current: Transport | undefined, nowMs: number): Seen;
}

interface Account {
  failures: number;
  /** It is to be left alone until then. */
  untilMs: number;
  /** What alone proves nothing. */
  signs: number;
}

export function createWitness(): Witness {
  /** When it talked, latest first: no more than what makes a conversation. */
  let talkedMs: number[] = [];
  const accounts: { [Name in Transport]?: Account } = {};

  const accountOf = (transport: Transport): Account => (accounts[transport] ??= { failures: 0, untilMs: 0, signs: 0 });

  return {
    talked(weight, nowMs) {
      talkedMs = [...Array(weight).fill(nowMs), ...talkedMs].slice(0, TALK_MIN);
    },
    cut(transport, nowMs, stoodMs, silent) {
      const account = accountOf(transport);
      if (stoodMs >= STEADY_MS) account.signs = account.failures = 0;
      else if (stoodMs >= 0) account.signs++;
      // A refused connection says nothing about streams; one that is held back, or a handshake that fails, does
      else if (silent || transport === "websocket") account.signs = SIGNS_MAX;
      if (account.signs < SIGNS_MAX) return;
      account.signs = 0;
      account.untilMs = nowMs + Math.min(SHUN_MS_MAX, SHUN_MS_MIN * 2 ** account.failures++);
    },
    look: (current, nowMs) => [
      current,
      talkedMs.filter((atMs) => nowMs - atMs < TALK_MS).length,
      accountOf("sse").untilMs - nowMs,
      accountOf("websocket").untilMs - nowMs,
    ],
  };
}
