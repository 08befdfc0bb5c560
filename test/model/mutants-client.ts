import type { Mutant } from "./mutate.ts";

const client = (file: string) => `src/client/${file}.ts`;

/** Faults of the client. */
export const CLIENT_MUTANTS: readonly Mutant[] = [
  {
    name: "receiver-takes-holes",
    what: "The client hands out a message that is further on than the next.",
    edits: [{ file: client("reader"), find: "if (!hole && ahead === 1 && epochOf", replace: "if (ahead >= 1 && epochOf" }],
  },
  {
    name: "receiver-takes-duplicates",
    what: "The client hands out what it has already, which two pipes bring while they overlap.",
    edits: [
      {
        file: client("reader"),
        find: 'if (reader.mode === "ended" || message.position <= (reader.position ?? "")) return;',
        replace: 'if (reader.mode === "ended") return;',
      },
      { file: client("reader"), find: "if (!hole && ahead === 1 && epochOf", replace: "if (ahead <= 1 && epochOf" },
    ],
  },
  {
    name: "stale-gap-taken",
    what: "A gap that was judged where the reader no longer stands moves it back.",
    edits: [
      {
        file: client("reader"),
        find: 'if (reader.mode !== "joined" || (position && reason === "trimmed" && resumeFrom <= position)) return false;',
        replace: 'void reason;\n      if (reader.mode !== "joined") return false;',
      },
      {
        file: client("reader"),
        find: "if (position && position.slice(20) !== since?.slice(20)) return null;",
        replace: "void [position, since];",
      },
    ],
  },
  {
    name: "gap-is-no-position",
    what: "A reader that is told a gap stays where it was, and would ask from there again.",
    edits: [{ file: client("reader"), find: "      reader.position = resumeFrom;", replace: "      void resumeFrom;" }],
  },
  {
    name: "old-tag-ignored",
    what: "The same place with another tag is taken for the message that the client has.",
    edits: [
      {
        file: client("reader"),
        find: "return position === own || (ahead < 0 && epochOf(position) <= epochOf(own)) ? false : null;",
        replace: "return ahead > 0 ? null : false;",
      },
    ],
  },
  {
    name: "epoch-frame-ignored",
    what: "The client goes on under the epoch that it was told first.",
    edits: [
      {
        file: client("create-channel"),
        find: 'if (frame.type === "epoch") view.position = frame.epoch + view.position.slice(20);',
        replace: "",
      },
    ],
  },
  {
    name: "earlier-subscription-believed",
    what: "What a pipe says before it has begun is taken for news.",
    edits: [{ file: client("create-channel"), find: "    if (!view.position) return;", replace: "" }],
  },
  {
    name: "page-restarts",
    what: "A reader that catches up meets the line before it has all that lies between.",
    edits: [
      {
        file: client("reader"),
        find: 'if (!fits && position.slice(20) !== line.slice(20) && position.slice(0, 38).padEnd(46, "-") < line) return;',
        replace: "",
      },
    ],
  },
  {
    name: "iterator-drops-when-full",
    what: "A `for await` reader that is full throws away what comes.",
    edits: [
      {
        file: client("create-channel"),
        find: 'if (reader.mode === "ended" || reader.sink.room() > 0) return;',
        replace: "if (reader.mode !== null) return;",
      },
      {
        file: client("create-channel"),
        find: "        queue.push(message);",
        replace: "        if (queue.length < limits.iteratorCountMax) queue.push(message);",
      },
    ],
  },
  {
    name: "retry-with-a-new-key",
    what: "A publish that is sent again is another publish.",
    edits: [
      {
        file: client("upstream"),
        find: "text.slice(1)",
        replace: 'text.slice(1).replace(/"key":"[^"]*/, (key) => key + random())',
      },
    ],
  },
  {
    name: "outbox-drops-at-cut",
    what: "What was under way when a pipe was cut is not sent again.",
    edits: [{ file: client("outbox"), find: "        waiting.via = 0;", replace: "" }],
  },
  {
    name: "refusal-speaks-for-the-lost",
    what: "A publish that is refused when it is sent again is told as not stored, though what became of the first attempt is not known.",
    edits: [{ file: client("outbox"), find: "        waiting.unsure = true;", replace: "" }],
  },
  {
    name: "outbox-unordered",
    what: "What was under way when a pipe was cut is sent again latest first.",
    edits: [
      {
        file: client("outbox"),
        find: "      for (const waiting of all.values()) {\n        if (waiting.via !== pipe) continue;",
        replace:
          "      for (const waiting of [...all.values()].reverse()) {\n        if (waiting.via !== pipe) continue;\n        all.delete(waiting.id);\n        all.set(waiting.id, waiting);",
      },
    ],
  },
  {
    name: "old-pipe-closed-first",
    what: "To change the transport the old pipe is closed, and then the new one tried.",
    edits: [
      {
        file: client("connection-state"),
        find: '    case "replace":\n      return open(state);',
        replace: '    case "replace":\n      return { ...open("reconnecting"), current: 0 };',
      },
    ],
  },
  {
    name: "silence-unnoticed",
    what: "A pipe that says nothing any more is waited for.",
    edits: [{ file: client("connection"), find: "else end();", replace: "else void heardAt;" }],
  },
];
