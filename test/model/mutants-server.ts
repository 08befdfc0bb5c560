import type { Mutant } from "./mutate.ts";

const core = (file: string) => `src/core/${file}.ts`;
const MEMORY_LOG = "src/engines/memory/memory-log.ts";
const TRANSACTION = "src/engines/disk/transaction.ts";
const WRITER = "src/engines/disk/writer.ts";

/** Faults of the core and the engines. */
export const SERVER_MUTANTS: readonly Mutant[] = [
  // Resuming
  {
    name: "no-tag",
    what: "Epoch and offset are compared, tags are not: a tail that was lost and written anew is taken for the old one.",
    edits: [
      {
        file: core("resume"),
        find: "if (present !== position.tag && present !== NO_TAG && position.tag !== NO_TAG) {",
        replace: "if (present === undefined) {",
      },
      {
        file: core("tail"),
        find: "return a.epoch === b.epoch && a.offset === b.offset && (a.tag === b.tag || a.tag === NO_TAG || b.tag === NO_TAG);",
        replace: "return a.epoch === b.epoch && a.offset === b.offset;",
      },
    ],
  },
  {
    name: "no-boundary-tag",
    what: "A reader that stands just before the first retained message is believed without a look at the tag of the last trimmed one.",
    edits: [
      {
        file: core("resume"),
        find: "if (offset === head.first - 1) return head.boundaryTag;",
        replace: "if (offset === head.first - 1) return NO_TAG;",
      },
    ],
  },
  {
    name: "epoch-untold",
    what: "A position of another log is taken for one of this log.",
    edits: [
      {
        file: core("resume"),
        find: "head.lineage.findIndex((era) => era.epoch === position.epoch);",
        replace: "Math.max(0, head.lineage.findIndex((era) => era.epoch === position.epoch));",
      },
    ],
  },
  {
    name: "truncated-untold",
    what: "A reader beyond the end of the log waits there for messages.",
    edits: [
      { file: core("resume"), find: "if (position.offset > last) {", replace: "if (position.offset > last && next !== undefined) {" },
    ],
  },
  {
    name: "trimmed-untold",
    what: "A reader that retention has passed goes on at the first message that is left, and is told nothing.",
    edits: [
      { file: core("resume"), find: "if (position.offset < head.first - 1) {", replace: "if (position.offset < -1) {" },
      { file: core("resume"), find: "return first.offset > offset ? [] :", replace: "return first.offset > offset ? entries :" },
    ],
  },
  {
    name: "gap-miscounts",
    what: "A gap says that one more is missing than is.",
    edits: [
      {
        file: core("resume"),
        find: "const missing = head.first - 1 - position.offset;",
        replace: "const missing = head.first - position.offset;",
      },
    ],
  },
  {
    name: "page-off-by-one",
    what: "A page of catching up begins one too late.",
    edits: [
      {
        file: core("resume"),
        find: "return { gap: null, entries: from(entries, position.offset + 1) };",
        replace: "return { gap: null, entries: from(entries, position.offset + 2) };",
      },
    ],
  },
  // Attaching
  {
    name: "history-before-subscribe",
    what: "A channel looks at its log first and follows it then, and takes the next that it is told, whatever lies between.",
    edits: [
      {
        file: core("channel"),
        find: "    this.#unfollow = log.follow(this.name, (told) => this.#onTold(told));\n    try {",
        replace: "    try {",
      },
      {
        file: core("channel"),
        find: "      this.#place(topOf(head));\n    } catch (error) {\n      this.#unfollow();",
        replace:
          "      this.#place(topOf(head));\n      this.#unfollow = log.follow(this.name, (told) => this.#onTold(told));\n    } catch (error) {\n      this.#unfollow?.();",
      },
      {
        file: core("channel"),
        find: "if (continues && first === this.head.offset + 1) {",
        replace: "if (continues && first > this.head.offset) {",
      },
    ],
  },
  {
    name: "changed-ignored",
    what: "A channel that is told that something was missed does not look.",
    edits: [
      {
        file: core("channel"),
        find: "    this.#again = true;\n    if (this.#isOpen) void this.#lookAgain();\n  }",
        replace: '    if (told.type === "changed") return;\n    this.#again = true;\n    if (this.#isOpen) void this.#lookAgain();\n  }',
      },
    ],
  },
  {
    name: "joins-a-turn-later",
    what: "A reader that has caught up joins the live set in the next turn: what is told in between passes it by.",
    edits: [
      {
        file: core("channel"),
        find: "live.join(reader, this.head.offset);",
        replace: "const set = live;\n    const { offset } = this.head;\n    this.#context.clock.after(1, () => set.join(reader, offset));",
      },
    ],
  },
  {
    name: "page-after-tail",
    what: "A reader writes from the tail, lets others in, and joins the live set as if it stood at the head.",
    edits: [
      {
        file: core("reader"),
        find: "      if (this.#join()) continue;",
        replace:
          "      const head = this.channel.head;\n      await Promise.resolve();\n      if (this.position?.offset === head.offset) this.position = this.channel.head;\n      if (this.#join()) continue;",
      },
    ],
  },
  {
    name: "tail-serves-trimmed",
    what: "A reader that comes back is served from memory what retention has taken.",
    edits: [
      {
        file: core("reader"),
        find: 'this.mustReadLog = start.type === "after" && !(await this.channel.isRetained(position));',
        replace: "this.mustReadLog = false;",
      },
    ],
  },
  {
    name: "refresh-keeps-readers",
    what: "When the log turns out to be another, live readers are not sent to look for themselves.",
    edits: [{ file: core("channel"), find: "for (const reader of live) reader.doubt(head);", replace: "void [live, head];" }],
  },
  // Writing
  {
    name: "wrong-epoch-encoded",
    what: "A batch is encoded as if its readers had been told its epoch.",
    edits: [
      {
        file: core("fan-out"),
        find: "batch.encode(codec, before.epoch)",
        replace: "batch.encode(codec, batch.epoch)",
      },
    ],
  },
  {
    name: "lagging-stays-live",
    what: "A reader whose socket is full misses the batch and stays in the live set.",
    edits: [
      {
        file: core("fan-out"),
        find: "else if (outlets[index]!.full()) reader.lag(before);",
        replace: "else if (outlets[index]!.full()) offsets[index] = last;",
      },
    ],
  },
  {
    name: "unbounded-queue",
    what: "A reader whose socket is full is written to all the same.",
    edits: [
      { file: core("fan-out"), find: "else if (outlets[index]!.full()) reader.lag(before);", replace: "" },
      {
        file: core("reader"),
        find: "      if (this.outlet.full()) {\n        this.state",
        replace: "      if (this.outlet === null) {\n        this.state",
      },
    ],
  },
  {
    name: "lag-forgets-place",
    what: "A reader that falls behind goes on from where the channel is, not from where it was.",
    edits: [
      {
        file: core("reader"),
        find: '    this.channel.leave(this);\n    this.position = position;\n    this.state = "waiting";',
        replace: '    this.channel.leave(this);\n    this.position = this.channel.head;\n    void position;\n    this.state = "waiting";',
      },
    ],
  },
  {
    name: "flush-loses-pending",
    what: "What was told while a flush was under way is forgotten when it ends.",
    edits: [
      {
        file: core("channel"),
        find: "    this.#flush = null;\n    for (const { live, codec } of sets)",
        replace:
          "    this.#flush = null;\n    this.#pending = [];\n    this.#pendingBatch = null;\n    for (const { live, codec } of sets)",
      },
    ],
  },
  {
    name: "slice-not-resumed",
    what: "A fan-out that stopped at its deadline is not gone on with.",
    edits: [{ file: core("flusher"), find: "if (!one.flush(deadline)) this.#current.add(one);", replace: "one.flush(deadline);" }],
  },
  {
    name: "wanted-while-flushing",
    what: "What wants a flush while one is under way is forgotten until the next wants one.",
    edits: [{ file: core("flusher"), find: "if (this.#waiting.size > 0) this.#schedule();", replace: "" }],
  },
  {
    name: "pace-never-told",
    what: "A log that waits for the end of a flush is not told of it, and is given nothing any more.",
    edits: [
      {
        file: core("flusher"),
        find: "for (const { leadMs, act } of awaiting) this.#near(leadMs, act);",
        replace: "void awaiting;",
      },
    ],
  },
  {
    name: "pace-of-one",
    what: "Of several logs that wait for the end of a flush only the last is told.",
    edits: [
      {
        file: core("flusher"),
        find: "if (this.#scheduled) this.#awaiting.push({ leadMs, act });",
        replace: "if (this.#scheduled) this.#awaiting = [{ leadMs, act }];",
      },
    ],
  },
  {
    name: "listener-left-behind",
    what: "A channel that nobody reads any more goes on following its log.",
    edits: [{ file: core("channel"), find: "    this.#unfollow?.();\n    this.#resting?.end();", replace: "    this.#resting?.end();" }],
  },
  // Plain events
  {
    name: "last-event-id-ignored",
    what: "A bare EventSource that comes back begins where its URL says.",
    edits: [
      {
        file: "src/transports/streams.ts",
        find: 'return exchange.header("last-event-id") || exchange.query.get("lastEventId") || null;',
        replace: 'return exchange.query.get("lastEventId") || null;',
      },
    ],
  },
  {
    name: "vector-id-late",
    what: "On a stream of many channels the id of a message is that of the one before.",
    edits: [
      {
        file: "src/transports/sse.ts",
        find: "    this.#positions.set(channel, formatPosition({ epoch, offset, tag }));\n    return this.#vector();",
        replace:
          "    const late = this.#vector();\n    this.#positions.set(channel, formatPosition({ epoch, offset, tag }));\n    return late;",
      },
    ],
  },
  {
    name: "gap-without-id",
    what: "A gap on a plain stream is no place to come back to.",
    edits: [
      {
        file: "src/wire/control.ts",
        find: 'formatEvent({ event: "gap", id, data: frameJson(frame) })',
        replace: 'formatEvent({ event: "gap", data: id && frameJson(frame) })',
      },
    ],
  },
  // Who may
  {
    name: "expired-goes-on",
    what: "A pipe outlives the identity that opened it.",
    edits: [
      { file: core("connection"), find: "if (!hasExpired(connection.identity, nowMs)) continue;", replace: "if (nowMs > 0) continue;" },
    ],
  },
  {
    name: "revoked-goes-on",
    what: "A revoked identity keeps its pipes.",
    edits: [
      {
        file: core("connection"),
        find: "if (connection.identity.id === id && connection.asked < until) connection.end(",
        replace: "void (",
      },
    ],
  },
  // Publishing
  {
    name: "no-dedupe",
    what: "A key that is known is stored again.",
    edits: [
      {
        file: MEMORY_LOG,
        find: "if (known !== undefined && isKeyKept(known, this.#first, nowMs, keySecondsMin)) {",
        replace: "if (known === null) {",
      },
      {
        file: TRANSACTION,
        find: "if (known !== undefined && this.#isKept(known, open.stand as Stand)) {",
        replace: "if (known === null) {",
      },
    ],
  },
  {
    name: "keys-forgotten-at-trim",
    what: "A key is forgotten with its message, as if keys were read back from the trimmed log.",
    edits: [
      {
        file: core("retention"),
        find: "return key.offset >= first || nowMs - key.at < secondsMin * 1000;",
        replace: "return key.offset >= first && nowMs - key.at < secondsMin * 1000;",
      },
    ],
  },
  {
    name: "conflict-is-duplicate",
    what: "A key that comes with other content is answered as if it were the same.",
    edits: [
      { file: MEMORY_LOG, find: 'if (known.print !== (print ?? "")) return { type: "conflict" };', replace: "void print;" },
      { file: TRANSACTION, find: 'if (known.print !== (draft.print ?? "")) return { type: "conflict" };', replace: "" },
    ],
  },
  {
    name: "ack-before-durable",
    what: "A publish is acknowledged when it is decided, before it is on the disk.",
    edits: [
      {
        file: WRITER,
        find: "    const writes = transaction.finish();",
        replace: "    const writes = transaction.finish();\n    for (const answer of answers) answer();",
      },
    ],
  },
  {
    name: "told-before-durable",
    what: "Readers are given what is not on the disk yet.",
    edits: [
      {
        file: WRITER,
        find: "    const writes = transaction.finish();",
        replace:
          "    const writes = transaction.finish();\n    for (const [channel, told] of transaction.told()) this.#followers.tell(channel, told);",
      },
    ],
  },
  {
    name: "failed-commit-acked",
    what: "A commit that failed is taken for one that stands.",
    edits: [
      {
        file: WRITER,
        find: "        await this.#fail(jobs, transaction, error as CommitError);\n        return decidedMs;",
        replace: "        void [error, jobs];",
      },
    ],
  },
  {
    name: "cache-outlives-fault",
    what: "After a fault of the disk what memory says of a log is believed, not what is read back.",
    edits: [
      { file: WRITER, find: "    this.#stands.clear();\n    try {", replace: "    try {" },
      { file: WRITER, find: "this.#about = readAbout(store) ?? this.#about;", replace: "" },
    ],
  },
  {
    name: "inlet-reverses",
    what: "What waits for the log is stored latest first.",
    edits: [
      {
        file: core("inlet"),
        find: "this.#queue.push({ draft, resolve, reject })",
        replace: "this.#queue.unshift({ draft, resolve, reject })",
      },
    ],
  },
];
