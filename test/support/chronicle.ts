import type { Client, Published } from "../../src/client.ts";
import { type GapEvent, type HistoryEvent, hashOf } from "../check/history.ts";
import { demand } from "./http.ts";
import { offsetOf } from "./inbox.ts";

/** What a history comes to, in the words of docs/evidence.md: whole numbers, over all readers. */
export interface Tally {
  readonly acked: number;
  readonly delivered: number;
  /** Messages of the log that a reader was not handed, and acknowledged ones that the log does not have. */
  readonly lost: number;
  /** Messages that a reader was handed again, and contents that stand in the log again. */
  readonly twice: number;
  readonly disordered: number;
  /** Of the lost: those that no gap told. */
  readonly untold: number;
}

/** Writes down what happens in this process, in the form that the checker judges (test/check/history.ts). */
export class Chronicle {
  readonly events: HistoryEvent[] = [];
  /** How far each reader has come. */
  readonly offsets = new Map<string, number>();
  #asked = 0;

  write(event: HistoryEvent): void {
    this.events.push(event);
    if (event.type === "begin" || event.type === "message") this.offsets.set(event.cid, offsetOf(event.position));
    if (event.type === "gap") this.offsets.set(event.cid, offsetOf(event.resumeFrom));
  }

  /** A publish, before it is asked for and after it is answered. Never rejects. Without an answer by the end it stays unknown. */
  async publish(channel: string, data: unknown, send: () => Promise<Published>, key = "", pid = "p"): Promise<Published | null> {
    const named = { channel, pid, seq: ++this.#asked };
    this.write({ type: "publish", t: performance.now(), ...named, key, hash: hashOf(data) });
    try {
      const { position, level, duplicate } = await send();
      this.write({ type: "stored", t: performance.now(), ...named, position, level, duplicate });
      return { position, level, duplicate };
    } catch (error) {
      const { code = String(error) } = error as { code?: string };
      // Only these say that nothing of it is stored; what was cut, or ran out of time, says nothing
      const type = /^(not_stored|overloaded|forbidden|too_|bad_|key)/.test(code) ? "refused" : "unknown";
      this.write({ type, t: performance.now(), ...named, code });
      return null;
    }
  }

  begin(cid: string, channel: string, position: string): void {
    this.write({ type: "begin", t: performance.now(), cid, channel, position });
  }

  message(cid: string, channel: string, position: string, data: unknown, transport?: string): void {
    const carried = transport === undefined ? {} : { transport };
    this.write({ type: "message", t: performance.now(), cid, channel, position, hash: hashOf(data), ...carried });
  }

  gap(cid: string, gap: Omit<GapEvent, "type" | "t" | "cid">): void {
    const { channel, reason, since, resumeFrom, missing } = gap;
    this.write({ type: "gap", t: performance.now(), cid, channel, reason, since, resumeFrom, missing });
  }

  /** Reads a channel with the client, and writes down what its callback is handed. */
  follow(cid: string, client: Client, channel: string, after: string, heard: (data: unknown) => void = () => undefined): void {
    this.begin(cid, channel, after);
    const read = client.channel(channel);
    read.on("gap", (gap) => this.gap(cid, gap));
    read.subscribe(
      ({ position, data }) => {
        this.message(cid, channel, position, data, client.transport ?? "");
        heard(data);
      },
      { from: { after } },
    );
  }

  fault(kind: string, phase: "start" | "stop" = "start", may: readonly GapEvent["reason"][] = []): void {
    this.write({ type: "fault", t: performance.now(), kind, phase, may });
  }

  calm(): void {
    this.write({ type: "fault", t: performance.now(), kind: "all", phase: "calm" });
  }

  /** Reads the log to its end, as a fresh reader of pages, and writes it down. */
  async final(url: string, channel: string): Promise<void> {
    const log: { position: string; hash: string }[] = [];
    let head = "";
    for (let from = "start", done = false; !done; ) {
      const query = `?from=${encodeURIComponent(from)}&limit=1000`;
      const { json } = await demand(`${url}/channels/${channel}${query}`, { headers: { accept: "application/json" } });
      for (const { position, data } of json.messages) log.push({ position, hash: hashOf(data) });
      head = json.position;
      from = `after:${head}`;
      done = json.upToDate;
    }
    const first = offsetOf(log[0]?.position ?? head) + (log.length === 0 ? 1 : 0);
    this.write({ type: "final", t: performance.now(), channel, via: "pages", first, head, log });
  }

  /** What it comes to: counted here without any rule but arithmetic, beside the checker. Of one channel, whose end was read. */
  tally(): Tally {
    const final = this.events.findLast((event) => event.type === "final");
    if (final === undefined) throw new Error("The log's end was not read.");
    const held = new Set(final.log.map(({ position }) => position));
    const acks = this.events.flatMap((event) => (event.type === "stored" && event.position !== undefined ? [event.position] : []));
    const readers = new Map<string, { next: number; highest: number; seen: Set<number>; told: Set<number>; from: number }>();
    let delivered = 0;
    let twice = final.log.length - new Set(final.log.map(({ hash }) => hash)).size;
    let disordered = 0;
    for (const event of this.events) {
      if (event.type === "begin" && !readers.has(event.cid)) {
        const from = offsetOf(event.position);
        readers.set(event.cid, { next: from + 1, highest: from, seen: new Set(), told: new Set(), from });
      }
      if (event.type !== "message" && event.type !== "gap") continue;
      const reader = readers.get(event.cid);
      if (reader === undefined) throw new Error(`${event.cid} never began.`);
      if (event.type === "gap") {
        for (let offset = reader.highest + 1; offset <= offsetOf(event.resumeFrom); offset++) reader.told.add(offset);
        reader.highest = Math.max(reader.highest, offsetOf(event.resumeFrom));
        continue;
      }
      const offset = offsetOf(event.position);
      delivered++;
      if (reader.seen.has(offset)) twice++;
      else if (offset < reader.highest) disordered++;
      reader.seen.add(offset);
      reader.highest = Math.max(reader.highest, offset);
    }
    let lost = acks.filter((position) => offsetOf(position) >= final.first && !held.has(position)).length;
    let untold = lost;
    for (const { from, seen, told } of readers.values()) {
      for (let offset = from + 1; offset <= offsetOf(final.head); offset++) {
        if (seen.has(offset)) continue;
        lost++;
        if (!told.has(offset)) untold++;
      }
    }
    return { acked: acks.length, delivered, lost, twice, disordered, untold };
  }
}
