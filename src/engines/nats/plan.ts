import type { Appended, Draft, Era, Retention } from "../../core/log.ts";
import { makeEpoch } from "../../protocol/position.ts";
import { vouchesFor } from "./fence.ts";
import { aged, NO_FLOORS, raised } from "./floors.ts";
import { isKept, type KeyTable, type KnownKey } from "./keys.ts";
import { digestOf, type Line, type NewSheet } from "./record.ts";
import type { Standing } from "./standing.ts";

export interface PlanContext {
  readonly nowMs: number;
  readonly retention: Retention;
  readonly keysMax: number;
  readonly keyMsMin: number;
  readonly lineageMax: number;
  readonly node: string;
  readonly fence: string;
  /** For an epoch, should one begin. */
  readonly letters: string;
  /** One for each draft. */
  readonly tags: readonly string[];
  /** It is known that the log has lost its end. */
  readonly hasLost: boolean;
}

export interface Plan {
  readonly answers: readonly Appended[];
  /** What must be stored for them to be true; null where they are already. */
  readonly sheet: NewSheet | null;
}

/** What becomes of drafts that are appended to a log that stands so: keys looked up, offsets and tags given, what is too much trimmed. Nothing is altered here. */
export function planAppend(standing: Standing, keys: KeyTable, drafts: readonly Draft[], context: PlanContext): Plan {
  const { nowMs, retention, keysMax, keyMsMin, tags } = context;
  const isNew = standing.lineage.length === 0;
  const lineage = lineageOf(standing, context);
  const { epoch } = lineage.at(-1)!;
  let { top, bytes, lastAt } = standing;
  let floors = aged(isNew ? NO_FLOORS : standing.floors, nowMs, retention);
  let { keyTop } = standing;
  const fresh = new Map<string, KnownKey>();
  const lines: Line[] = [];
  const answers: Appended[] = [];

  if (!isNew) floors = raised(floors, { offset: top, below: standing.belowTop, at: lastAt }, bytes - standing.belowTop, retention);
  // What would expire by these drafts alone stays in the table until they are stored
  keys.drop(floors, nowMs, keyMsMin);
  let expired = keys.expired(floors, nowMs, keyMsMin);
  for (const [index, draft] of drafts.entries()) {
    const key = draft.key === undefined ? null : digestOf(draft.key);
    const print = draft.print === undefined ? "" : digestOf(draft.print);
    if (key !== null) {
      const known = fresh.get(key) ?? keys.find(key);
      if (known !== undefined && isKept(known, floors, nowMs, keyMsMin)) {
        const position = { epoch: known.epoch, offset: known.offset, tag: known.tag };
        answers.push(known.print === print ? { type: "duplicate", position } : { type: "conflict" });
        continue;
      }
      expired = keys.expired(floors, nowMs, keyMsMin, expired);
      if (keys.size - expired.keys + fresh.size >= keysMax) {
        answers.push({ type: "keys_full" });
        continue;
      }
    }
    const tag = tags[index]!;
    lastAt = Math.max(lastAt, nowMs);
    const { event, kind, data, size } = draft;
    const entry = { offset: top + 1, tag, at: lastAt, event, kind, data, size };
    const mark = { offset: entry.offset, below: bytes, at: lastAt };
    lines.push({ entry, below: bytes, key, print });
    if (key !== null) {
      fresh.set(key, { ...mark, key, print, epoch, tag });
      keyTop = entry.offset;
    }
    top = entry.offset;
    bytes += size;
    floors = raised(floors, mark, size, retention);
    answers.push({ type: "stored", position: { epoch, offset: entry.offset, tag } });
  }
  if (lines.length === 0) return { answers, sheet: null };
  const sheet: NewSheet = {
    ...{ previous: standing.seq, node: context.node, fence: context.fence, lineage, floors, keyTop, lines },
    born: isNew ? epoch : standing.born,
    bornAt: isNew ? lines[0]!.entry.at : standing.bornAt,
    ...{ tagBefore: standing.topTag, first: standing.top + 1, below: standing.bytes },
  };
  return { answers, sheet };
}

/** What a removal leaves behind: the last epoch, so that what follows gets a later one. */
export function planRemoval(standing: Standing, node: string, fence: string): NewSheet {
  const { seq: previous, born, bornAt, lineage, floors, keyTop, topTag: tagBefore, top, bytes: below } = standing;
  return { previous, node, fence, born, bornAt, lineage, floors, keyTop, tagBefore, first: top + 1, below, lines: [] };
}

/** A log that was never written, was removed, or of which it is not certain that it goes on where it ended, begins a new era. */
function lineageOf(standing: Standing, { nowMs, letters, lineageMax, fence, hasLost }: PlanContext): readonly Era[] {
  const { lineage, removed, top } = standing;
  const last = lineage.at(-1);
  if (last === undefined) return [{ epoch: makeEpoch(nowMs, letters, removed ?? undefined), start: 1 }];
  if (standing.fence === fence && !hasLost) return lineage;
  const epoch = makeEpoch(nowMs, letters, last.epoch);
  // Under the fence of before another node may have given offsets again, and where it is held by another server than the log nobody knows how often that was so
  const isVouched = standing.fence !== fence && vouchesFor(standing.fence);
  return [...lineage, { epoch, start: top + 1, ...(isVouched ? {} : { isUnvouched: true as const }) }].slice(-lineageMax);
}
