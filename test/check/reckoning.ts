import type { Causes } from "./causes.ts";
import type { FinalEvent } from "./history.ts";
import type { Content, Entry, Ledger } from "./ledger.ts";
import { type Claim, isKnown, type Trace } from "./trace.ts";
import type { Findings } from "./verdict.ts";

export interface Terms {
  readonly causes: Causes;
  readonly findings: Findings;
  /** How long a key is remembered at least. */
  readonly keyMs: number;
  /** How long after the last fault and the last publish a reader may take to reach the end. */
  readonly catchUpMs: number;
  /** When the history ends. */
  readonly endAt: number;
}

/** The log at the end, its entries by offset. */
interface Remains {
  readonly t: number;
  readonly first: number;
  readonly headOffset: number;
  readonly headPlace: string;
  readonly entries: ReadonlyMap<number, Entry>;
  readonly places: ReadonlySet<Entry>;
}

/** Judges a channel by what is left of it: what only the end of a history shows. */
export function reckon(ledger: Ledger, finals: readonly FinalEvent[], traces: readonly Trace[], terms: Terms): void {
  const remains = takeStock(ledger, finals, terms);
  judgeContents(ledger, remains, terms);
  judgeSteps(ledger, terms);
  judgeConnections(ledger, terms);
  for (const trace of traces) trace.finish(terms.endAt);
  if (remains === null) return;
  judgeAcked(ledger, remains, terms);
  judgeSplits(ledger, remains, terms);
  for (const trace of traces) {
    for (const claim of trace.claims) judgeClaim(trace, claim, remains, terms);
    if (terms.causes.calmAt !== null && !trace.ended && trace.offset >= 0) judgeEnd(trace, remains, terms);
  }
}

/** P4, P6: the log is whole, and the same over every way. */
function takeStock(ledger: Ledger, finals: readonly FinalEvent[], { findings }: Terms): Remains | null {
  let remains: Remains | null = null;
  let told = "";
  for (const { t, via, first, head, log } of finals) {
    const who = `the log over ${via}`;
    const text = `${first} ${head} ${log.map(({ position, hash }) => `${position} ${hash}`)}`;
    const entries = new Map<number, Entry>();
    let before = "";
    let expected = first;
    for (const { position, hash } of log) {
      const entry = ledger.entryAt(position, t, who);
      if (entry === null) continue;
      ledger.bind(entry, hash, t, who);
      if (entry.offset === expected) ledger.follows(entry, before, t, who);
      else findings.add("hole-in-log", t, `${who} of ${ledger.name} goes from ${expected - 1} to ${entry.offset}`);
      entries.set(entry.offset, entry);
      before = entry.place;
      expected = entry.offset + 1;
    }
    const headOffset = Number(head.slice(21, 37));
    if (headOffset !== expected - 1)
      findings.add("hole-in-log", t, `${who} of ${ledger.name} ends at ${expected - 1}, and its head is ${head}`);
    if (remains === null) {
      told = text;
      remains = { t, first, headOffset, headPlace: head.slice(21), entries, places: new Set(entries.values()) };
    } else if (text !== told) findings.add("divergence", t, `${who} of ${ledger.name} is not the log over ${finals[0]!.via}`);
  }
  return remains;
}

/** P1, P6: everything stored was asked for, as it is, and once. */
function judgeContents(ledger: Ledger, remains: Remains | null, terms: Terms): void {
  const { findings } = terms;
  const { name } = ledger;
  const damaged = new Set<Content>();
  for (const { entry, content, t, who } of ledger.conflicts) {
    const own = entry.content!;
    if (own.attempts > 0 && content.attempts > 0) {
      findings.add("divergence", t, `${entry.place} of ${name} is ${content.hash} for ${who}, and ${own.hash} for others`);
      continue;
    }
    findings.add(
      "corrupt",
      t,
      `${entry.place} of ${name} is ${content.hash} for ${who}, and ${own.hash} for others, one of which nobody sent`,
    );
    damaged.add(own).add(content);
  }
  for (const content of ledger.contents.values()) {
    const { hash, attempts, refused, seenAt, askedAt, entries } = content;
    if (entries.length === 0) continue;
    if (damaged.has(content) && attempts === 0) continue;
    const place = `${hash} is at ${entries[0]!.place} of ${name}`;
    if (attempts === 0) findings.add("phantom", seenAt, `${place}, and nobody published it`);
    else if (askedAt > seenAt) findings.add("phantom", seenAt, `${place} before it was published`);
    else if (attempts === refused) findings.add("aborted-read", seenAt, `${place}, and its publisher was told that it is not stored`);
    judgeOnce(content, ledger, remains, terms);
  }
}

function judgeOnce({ hash, key, entries, askedAt }: Content, ledger: Ledger, remains: Remains | null, terms: Terms): void {
  const { causes, findings, keyMs } = terms;
  const [first, second] = entries;
  if (second !== undefined) {
    const wasLost = causes.mayLose(ledger.name, 0, askedAt, second.seenAt) && !(remains?.places.has(first!) && remains.places.has(second));
    if (!wasLost && second.seenAt - first!.seenAt < keyMs) {
      findings.add("duplicate-publish", second.seenAt, `${hash} is stored on ${ledger.name} at ${first!.place} and at ${second.place}`);
    }
  }
  const holder = key === "" ? undefined : ledger.ofKey(key);
  if (holder === undefined || holder.hash === hash) return;
  const [other] = holder.entries;
  const [own] = entries;
  if (other === undefined || Math.abs(own!.seenAt - other.seenAt) >= keyMs || causes.mayLose(ledger.name, 0, holder.askedAt, own!.seenAt))
    return;
  findings.add(
    "duplicate-publish",
    own!.seenAt,
    `the key ${key} is stored on ${ledger.name} at ${other.place} and, with other content, at ${own!.place}`,
  );
}

/** P2: an epoch began no earlier than where a reader was carried into it. */
function judgeSteps(ledger: Ledger, { findings }: Terms): void {
  const began = new Map<string, Entry>();
  for (const entry of ledger.entries.values()) {
    const earliest = began.get(entry.epoch);
    if (earliest === undefined || entry.offset < earliest.offset) began.set(entry.epoch, entry);
  }
  for (const { epoch, offset, t, who } of ledger.steps) {
    const earliest = began.get(epoch);
    if (earliest === undefined || earliest.offset >= offset) continue;
    const sentence = `${who} on ${ledger.name} came into the epoch ${epoch} at ${offset} and was told no gap, though it has ${earliest.place}`;
    findings.add("epoch-change-without-gap", t, sentence);
  }
}

/** P7: what was sent over one connection, each once, stands in the order sent. */
function judgeConnections(ledger: Ledger, { causes, findings }: Terms): void {
  for (const [connection, contents] of ledger.connections) {
    let last: Content | null = null;
    for (const content of contents) {
      const { attempts, refused, generation, seenGeneration, entries } = content;
      if (attempts !== 1 || refused > 0 || entries.length !== 1 || generation !== seenGeneration) continue;
      if (causes.isSplit(ledger.name, content.seenAt)) continue;
      if (last !== null && last.generation === generation && last.entries[0]!.offset >= entries[0]!.offset) {
        const sentence = `${content.hash} was sent after ${last.hash} over ${connection}, and stands before it on ${ledger.name}`;
        findings.add("publisher-order", content.seenAt, sentence);
      } else last = content;
    }
  }
}

/** P5, P10: what was acknowledged is there, or was trimmed, or was lost by what may lose it. */
function judgeAcked(ledger: Ledger, remains: Remains, { causes, findings }: Terms): void {
  const { name } = ledger;
  const lost: Entry[] = [];
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  const mayTrim = causes.allows(name, "trimmed");
  for (const entry of ledger.entries.values()) {
    if (entry.acked === null) continue;
    if (remains.places.has(entry)) {
      least = Math.min(least, entry.offset);
      most = Math.max(most, entry.offset);
    } else if (entry.offset >= remains.first || !mayTrim) {
      if (causes.mayLose(name, entry.acked.rank, entry.acked.askedAt)) findings.counts.lost++;
      else lost.push(entry);
    }
  }
  for (const entry of lost) {
    const where = entry.offset > most ? "lost-postfix" : entry.offset < least ? "lost-prefix" : "lost-middle";
    findings.add(where, entry.acked!.at, `${entry.place} of ${name} was acknowledged (${entry.content?.hash}), and is gone`);
  }
}

/** P7, where there were two logs: of what is left nothing stands before what had been answered when it was asked for. */
function judgeSplits(ledger: Ledger, remains: Remains, { causes, findings }: Terms): void {
  let next: Entry | null = null;
  for (const entry of [...remains.places].sort((a, b) => b.offset - a.offset)) {
    const { content, acked } = entry;
    const isSplit = content !== null && causes.isSplit(ledger.name, content.seenAt);
    if (isSplit && next !== null && content.askedAt > next.acked!.at) {
      const sentence = `${content.hash} is at ${entry.place} of ${ledger.name}, though ${next.place} was acknowledged before it was asked for`;
      findings.add("realtime-order", content.seenAt, sentence);
    }
    if (acked !== null && acked.at < (next?.acked?.at ?? Number.POSITIVE_INFINITY)) next = entry;
  }
}

/** P8: what a gap said is true. */
function judgeClaim(
  { ledger, who }: Trace,
  { gap, epoch, place, generation, judged, had, isSplit }: Claim,
  remains: Remains,
  { causes, findings }: Terms,
): void {
  const { reason, t, resumeFrom, missing } = gap;
  const lie = (what: string): void =>
    findings.add("gap-lied", t, `${who} on ${ledger.name} was told a gap ${reason} from ${place} to ${resumeFrom}, though ${what}`);
  const isSame = causes.generation(ledger.name) === generation;
  const offset = Number(resumeFrom.slice(21, 37));
  const trims = reason === "trimmed" || (reason === "truncated" && missing !== null && missing > 0);
  if (trims && causes.generation(ledger.name) === judged && remains.first <= offset) lie(`the log has everything from ${remains.first}`);
  if (reason === "trimmed") return;
  const own = ledger.entries.get(place);
  // Nothing that may bring it back has happened since; nor, beside what took it, while the gap was on its way
  if (own !== undefined && isSame && !isSplit && generation - judged <= 1 && remains.places.has(own)) {
    if (reason === "truncated" || own.epoch === epoch) lie("the log has the very message where it stood");
  }
  const isRewritten = ledger.rewritten || causes.rewrote(ledger.name, t);
  if (reason === "truncated" && missing === 0 && had !== undefined && isKnown(resumeFrom) && !isRewritten) {
    if (had.place !== resumeFrom.slice(21)) lie(`it had ${had.place} there, so that more is missing than it was told`);
  }
}

/** P9, P10: a reader stands at the end, has what it should, and was told of what it has and the log has not. */
function judgeEnd(trace: Trace, remains: Remains, { causes, findings, catchUpMs, endAt }: Terms): void {
  const { ledger, who, offset, place, held, startPlace, startOffset, startHeld, lastAt } = trace;
  const { name } = ledger;
  const gone = held.find((entry) => entry.offset >= remains.first && !remains.places.has(entry));
  if (gone !== undefined) {
    findings.add("unsignalled-loss", lastAt, `${who} on ${name} was given ${gone.place}, which the log has not any more, and was not told`);
  }
  if (offset < remains.headOffset) {
    findings.add("never-caught-up", endAt, `${who} on ${name} stands at ${place}, and the end is ${remains.headPlace}`);
    return;
  }
  if (lastAt - Math.max(causes.calmAt!, remains.entries.get(remains.headOffset)?.seenAt ?? 0) > catchUpMs) {
    findings.add("never-caught-up", lastAt, `${who} on ${name} took until ${lastAt} to reach the end, though all was calm`);
  }
  if (gone !== undefined) return;
  const start = remains.entries.get(startOffset);
  const wasElsewhere = isKnown(startPlace) && start !== undefined && start.place !== startPlace;
  const isBeyond = offset > remains.headOffset || (isKnown(place) && isKnown(remains.headPlace) && place !== remains.headPlace);
  if (wasElsewhere || isBeyond) {
    const sentence = `${who} on ${name} stands at ${place}, having begun at ${startPlace}, and the log ends at ${remains.headPlace}`;
    findings.add("missed", lastAt, sentence);
    return;
  }
  for (let index = startHeld, next = startOffset + 1; next <= remains.headOffset; index++, next++) {
    const entry = remains.entries.get(next);
    if (entry === undefined || held[index] === entry) continue;
    findings.add("missed", lastAt, `${who} on ${name} stands at the end, and was never given ${entry.place}`);
    return;
  }
}
