import type { Draft, PageLimit, Retention } from "../../src/core/log.ts";

interface Kept {
  readonly offset: number;
  readonly at: number;
  readonly data: string | Uint8Array;
  readonly size: number;
}

/** What a log is, with nothing clever: an array and a map. Engines are compared with it, all but tags and epochs. */
export class LogModel {
  entries: Kept[] = [];
  top = 0;
  lastAt = 0;
  keys = new Map<string, { print: string; offset: number; at: number }>();
  exists = false;

  append(draft: Draft, nowMs: number, retention: Retention, keysMax: number, keySecondsMin: number): string {
    this.#trim(nowMs, retention);
    const isKept = (key: { offset: number; at: number }) => key.offset >= this.first || nowMs - key.at < keySecondsMin * 1000;
    for (const [key, known] of this.keys) if (!isKept(known)) this.keys.delete(key);
    const known = draft.key === undefined ? undefined : this.keys.get(draft.key);
    if (known !== undefined) return known.print === draft.print ? `duplicate ${known.offset}` : "conflict";
    if (draft.key !== undefined && this.keys.size >= keysMax) return "keys_full";
    this.exists = true;
    this.top++;
    this.lastAt = Math.max(this.lastAt, nowMs);
    this.entries.push({ offset: this.top, at: this.lastAt, data: draft.data, size: draft.size });
    if (draft.key !== undefined) this.keys.set(draft.key, { print: draft.print ?? "", offset: this.top, at: this.lastAt });
    const { top } = this;
    this.#trim(nowMs, retention);
    return `stored ${top}`;
  }

  read(after: number, limit: PageLimit, nowMs: number, retention: Retention): { first: number; top: number; entries: Kept[] } | null {
    if (!this.exists) return null;
    const young = this.entries.filter((entry) => nowMs - entry.at < retention.secondsMax * 1000);
    const page: Kept[] = [];
    for (const entry of young.filter(({ offset }) => offset > after)) {
      const bytes = page.reduce((sum, { size }) => sum + size, entry.size);
      if (page.length === limit.count || (page.length > 0 && bytes > limit.bytes)) break;
      page.push(entry);
    }
    return { first: young[0]?.offset ?? this.top + 1, top: this.top, entries: page };
  }

  get first(): number {
    return this.entries[0]?.offset ?? this.top + 1;
  }

  #trim(nowMs: number, { countMax, bytesMax, secondsMax }: Retention): void {
    const bytes = () => this.entries.reduce((sum, { size }) => sum + size, 0);
    while (this.entries.length > 1 && (this.entries.length > countMax || bytes() > bytesMax)) this.entries.shift();
    while (this.entries.length > 0 && nowMs - (this.entries[0] as Kept).at >= secondsMax * 1000) this.entries.shift();
  }
}
