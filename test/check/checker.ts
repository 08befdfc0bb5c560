import { LIMITS } from "../../src/protocol/limits.ts";
import { Causes } from "./causes.ts";
import type { FinalEvent, HistoryEvent } from "./history.ts";
import { Ledger } from "./ledger.ts";
import { reckon } from "./reckoning.ts";
import { Trace } from "./trace.ts";
import { Findings, type Verdict } from "./verdict.ts";

export type { Counts, Verdict, Violation, ViolationName } from "./verdict.ts";

export interface CheckOptions {
  /** How many of each name are told. Default 20; `counts.violations` counts them all. */
  readonly violationsMax?: number;
  /** Milliseconds that a key is remembered, after which its content may be stored again. Default: the law's. */
  readonly keyMs?: number;
  /** Milliseconds from the last fault and the last message until every reader must stand at the end. Default: until the history ends. */
  readonly catchUpMs?: number;
  /** How many epochs a lineage remembers: with more, an entry may be told under a later epoch than its own. Default: the law's. */
  readonly lineageMax?: number;
}

/**
 * Judges a history, its events in the order of time, by the promises. Knows nothing of how the product works. What it finds:
 *
 *     P1  phantom, aborted-read, corrupt                     everything given was published, and as it is
 *     P2  silent-gap, duplicate, reorder,                    between two gaps each offset is the one before + 1, and an epoch
 *         epoch-change-without-gap                           gives way only to a later one, where that one begins
 *     P3  duplicate-mid                                      no content twice to a reader that was not told of another log
 *     P4  divergence                                         a place is one message for all, after one and the same message
 *     P5  lost-prefix, lost-middle, lost-postfix             what was acknowledged is there or was trimmed; lost before, among, after the rest
 *     P6  hole-in-log, duplicate-publish                     the log is contiguous and has each content and key once
 *     P7  realtime-order, publisher-order                    what was stored before another was asked for stands before it
 *     P8  spurious-gap, gap-lied                             a gap has a cause, and tells the truth
 *     P9  never-caught-up, missed                            after calm every reader stands at the end and has all
 *     P10 unsignalled-loss                                   who holds what the log lost was told
 *
 * P9 and P10 need a `calm` and a `final`, P5 a `final`.
 */
export function check(events: Iterable<HistoryEvent>, options: CheckOptions = {}): Verdict {
  const { violationsMax = 20, keyMs = LIMITS.keySecondsMin * 1_000, catchUpMs = Number.POSITIVE_INFINITY } = options;
  const findings = new Findings(violationsMax);
  const { counts } = findings;
  const causes = new Causes();
  const ledgers = new Map<string, Ledger>();
  const traces = new Map<Ledger, Map<string, Trace>>();
  const finals = new Map<Ledger, FinalEvent[]>();
  let endAt = 0;

  for (const event of events) {
    counts.events++;
    endAt = event.t;
    switch (event.type) {
      case "publish":
        counts.published++;
        ledgerOf(event.channel).ask(event);
        break;
      case "stored":
      case "refused":
      case "unknown":
        counts[event.type]++;
        if (event.duplicate) counts.duplicates++;
        ledgerOf(event.channel).answer(event);
        break;
      case "begin":
        traceOf(event.channel, event.cid).begin(event);
        break;
      case "message":
        counts.delivered++;
        traceOf(event.channel, event.cid).message(event);
        break;
      case "gap":
        counts.gaps[event.reason]++;
        traceOf(event.channel, event.cid).gap(event);
        break;
      case "end":
        for (const ledger of event.channel === undefined ? ledgers.values() : [ledgerOf(event.channel)]) {
          const trace = traces.get(ledger)?.get(event.cid);
          if (trace !== undefined) trace.ended = true;
        }
        break;
      case "open":
        counts.pipes++;
        break;
      case "close":
        break;
      case "fault":
        causes.add(event);
        if (event.phase === "start") counts.faults[event.kind] = (counts.faults[event.kind] ?? 0) + 1;
        break;
      case "final": {
        const ledger = ledgerOf(event.channel);
        const known = finals.get(ledger);
        if (known === undefined) finals.set(ledger, [event]);
        else known.push(event);
        break;
      }
      default:
        throw new Error(`This history is broken: no event has the type ${JSON.stringify((event satisfies never as HistoryEvent).type)}.`);
    }
  }
  for (const ledger of ledgers.values()) {
    counts.unknown += ledger.unanswered;
    reckon(ledger, finals.get(ledger) ?? [], [...(traces.get(ledger)?.values() ?? [])], { causes, findings, keyMs, catchUpMs, endAt });
  }
  counts.channels = ledgers.size;
  return findings.verdict();

  function ledgerOf(channel: string): Ledger {
    let ledger = ledgers.get(channel);
    if (ledger === undefined) {
      ledger = new Ledger(channel, causes, findings, options.lineageMax ?? LIMITS.lineageMax);
      ledgers.set(channel, ledger);
    }
    return ledger;
  }

  function traceOf(channel: string, cid: string): Trace {
    const ledger = ledgerOf(channel);
    let own = traces.get(ledger);
    if (own === undefined) {
      own = new Map();
      traces.set(ledger, own);
    }
    let trace = own.get(cid);
    if (trace === undefined) {
      counts.readers++;
      trace = new Trace(ledger, cid, causes, findings);
      own.set(cid, trace);
    }
    return trace;
  }
}
