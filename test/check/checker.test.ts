import { describe, expect, test } from "vitest";
import { check, type ViolationName } from "./checker.ts";
import {
  answered,
  at,
  begin,
  calm,
  fault,
  final,
  finalAll,
  gap,
  message,
  messages,
  publish,
  publishAll,
  stored,
  type Told,
  told,
} from "./tell.ts";
import { PROPERTY_OF } from "./verdict.ts";

type Story = readonly (Told | readonly Told[])[];

interface Case {
  readonly name: ViolationName;
  readonly what: string;
  readonly faulty: Story;
  readonly innocent: Story;
}

const lostTail = fault("lose tail", { may: ["truncated"], loses: ["disk"] });
const trimmed = fault("trim", { may: ["trimmed"] });
const removed = fault("remove", { may: ["epoch"], loses: ["disk"] });
const rewroteTail = fault("rewrite tail", { may: ["truncated"], loses: ["disk"], rewrites: true });
const split = fault("split", { may: ["truncated", "epoch"], loses: ["disk"], splits: true });
const healed: Told = { type: "fault", kind: "split", phase: "stop" };
const restored = fault("restore", { may: ["truncated"], loses: ["disk"] });

/** Five are stored; the last two are lost, and their places given to 6 and 7; the reader is told, or is not. */
function afterLostTail(...heard: Told[]): Story {
  const again = [publish(6), stored(6, at(4, "b", 2)), publish(7), stored(7, at(5, "b", 2))];
  return [
    begin(),
    publishAll(1, 5),
    messages(1, 5),
    lostTail,
    again,
    heard,
    calm,
    final([...three, [6, at(4, "b", 2)], [7, at(5, "b", 2)]]),
  ];
}
const three: [number, string][] = [
  [1, at(1)],
  [2, at(2)],
  [3, at(3)],
];

/** The second was lost unseen: its place, under the same epoch, has another. */
const rewritten = [publish(3), stored(3, at(2, "b")), publish(4), stored(4, at(3, "b"))];
const rewrittenLog: [number, string][] = [
  [1, at(1)],
  [3, at(2, "b")],
  [4, at(3, "b")],
];

/** One after the other, the second by the other of two logs, which has less before it. */
const inSplit = [publish(2), stored(2, at(3)), publish(3), stored(3, at(2, "b", 2))];

const CASES: readonly Case[] = [
  {
    name: "phantom",
    what: "a reader is given what nobody published",
    faulty: [begin(), publishAll(1, 1), messages(1, 2)],
    innocent: [begin(), publishAll(1, 1), publish(2), messages(1, 2)],
  },
  {
    name: "phantom",
    what: "a reader is given a message before it was published",
    faulty: [begin(), message(1), publishAll(1, 1)],
    innocent: [begin(), publish(1), message(1), stored(1)],
  },
  {
    name: "aborted-read",
    what: "a reader is given what was refused",
    faulty: [begin(), publish(1), answered("refused", 1), message(1)],
    innocent: [begin(), publish(1), answered("refused", 1), publish(1, { seq: 2 }), answered("unknown", 1, 2), message(1)],
  },
  {
    name: "corrupt",
    what: "a reader is given a message with other data",
    faulty: [begin(), publishAll(1, 1), message(9, at(1))],
    innocent: [begin(), publishAll(1, 1), message(1)],
  },
  {
    name: "silent-gap",
    what: "an offset is left out",
    faulty: [begin(), publishAll(1, 3), message(1), message(3)],
    innocent: [begin(), publishAll(1, 3), messages(1, 3)],
  },
  {
    name: "silent-gap",
    what: "the first is left out",
    faulty: [begin(), publishAll(1, 2), message(2)],
    innocent: [begin("r", at(1)), publishAll(1, 2), message(2)],
  },
  {
    name: "duplicate",
    what: "a message is given twice",
    faulty: [begin(), publishAll(1, 3), messages(1, 2), messages(1, 3)],
    innocent: [begin(), publishAll(1, 3), messages(1, 2), begin("r", at(0)), messages(1, 3)],
  },
  {
    name: "reorder",
    what: "two messages are given the wrong way round",
    faulty: [begin(), publishAll(1, 3), message(1), message(3), message(2)],
    innocent: [begin(), publishAll(1, 3), messages(1, 3)],
  },
  {
    name: "epoch-change-without-gap",
    what: "the log was removed and made anew, and a reader goes on in it as if it were the same",
    faulty: [begin(), publishAll(1, 2), messages(1, 2), removed, remade(3, 5), message(5, at(3, "b", 2))],
    innocent: [
      [begin(), publishAll(1, 2), messages(1, 2), removed, remade(3, 5)].flat(),
      [gap("epoch", at(2), at(0, "b", 2), null), message(3, at(1, "b", 2)), message(4, at(2, "b", 2)), message(5, at(3, "b", 2))],
    ],
  },
  {
    name: "epoch-change-without-gap",
    what: "an epoch gives way to an earlier one",
    faulty: [begin("r", at(0, "a", 2)), publish(1), message(1)],
    innocent: [begin(), publish(1), message(1), publish(2), message(2, at(2, "b", 2))],
  },
  {
    name: "duplicate-mid",
    what: "one content is given at two places, the first of which was not lost for this reader",
    faulty: [begin(), publishAll(1, 1), message(1), lostTail, repeat(1, 2), message(1, at(2))],
    innocent: [
      begin(),
      publishAll(1, 1),
      message(1),
      lostTail,
      repeat(1, 1, "b"),
      gap("truncated", at(1), at(0), 0),
      message(1, at(1, "b")),
    ],
  },
  {
    name: "duplicate-mid",
    what: "one content is given before and after a trim, and was not lost in between",
    faulty: [
      begin(),
      publish(1),
      lostTail,
      stored(1),
      message(1),
      repeat(1, 3),
      trimmed,
      gap("trimmed", at(1), at(2), 1),
      message(1, at(3)),
    ],
    innocent: [begin(), publishAll(1, 1), message(1), lostTail, repeat(1, 3), trimmed, gap("trimmed", at(1), at(2), 1), message(1, at(3))],
  },
  {
    name: "duplicate-mid",
    what: "one content is given before and after a trim, and was first seen after the last that may have lost it",
    faulty: [
      [begin(), begin("s"), publish(1), lostTail, stored(1), message(1, at(1), "s"), message(1), repeat(1, 3), trimmed].flat(),
      [gap("trimmed", at(1), at(2), 1), message(1, at(3))],
    ],
    // Lost while it was on its way
    innocent: [
      [begin(), begin("s"), publishAll(1, 1), message(1, at(1), "s"), lostTail, message(1), repeat(1, 3), trimmed].flat(),
      [gap("trimmed", at(1), at(2), 1), message(1, at(3))],
    ],
  },
  {
    name: "divergence",
    what: "two readers are given different messages at one place",
    faulty: [begin("r"), begin("s"), publish(1), publish(2), message(1, at(1), "r"), message(2, at(1), "s")],
    innocent: [begin("r"), begin("s"), publishAll(1, 1), message(1, at(1), "r"), message(1, at(1), "s")],
  },
  {
    name: "divergence",
    what: "one epoch has two messages at one offset, and nothing was lost",
    faulty: [publish(1), publish(2), stored(1), stored(2, at(1, "b"))],
    innocent: [publish(1), stored(1), lostTail, publish(2), stored(2, at(1, "b"))],
  },
  {
    name: "divergence",
    what: "a reader goes on after a message that the log has lost",
    faulty: [begin(), publishAll(1, 2), messages(1, 2), lostTail, rewritten, message(4, at(3, "b")), final(rewrittenLog)],
    innocent: [
      [begin(), publishAll(1, 2), messages(1, 2), lostTail, rewritten].flat(),
      [gap("truncated", at(2), at(2, "b"), null), message(4, at(3, "b")), final(rewrittenLog)],
    ],
  },
  {
    name: "divergence",
    what: "the log is not the same over every way",
    faulty: [publishAll(1, 1), publish(2), finalAll(1, 1), final([...three.slice(0, 2)], { via: "sse" })],
    innocent: [publishAll(1, 2), finalAll(1, 2), final([...three.slice(0, 2)], { via: "sse" })],
  },
  {
    name: "divergence",
    what: "one message is told under two epochs",
    faulty: [begin("r"), begin("s", at(0, "a", 2)), publish(1), message(1, at(1), "r"), message(1, at(1, "a", 2), "s")],
    innocent: [begin("r"), begin("s"), publish(1), message(1, at(1), "r"), message(1, at(1), "s")],
  },
  {
    name: "lost-prefix",
    what: "the log begins later, and was never trimmed",
    faulty: [publishAll(1, 3), finalAll(2, 3)],
    innocent: [publishAll(1, 3), trimmed, finalAll(2, 3)],
  },
  {
    name: "lost-middle",
    what: "another stands in the place of one that was acknowledged",
    faulty: [publishAll(1, 1), publish(4), publishAll(2, 3), final([three[0]!, [4, at(2, "b", 2)], three[2]!])],
    innocent: [
      publishAll(1, 1),
      publish(2),
      answered("unknown", 2),
      publish(4),
      publish(3),
      stored(3),
      final([three[0]!, [4, at(2, "b", 2)], three[2]!]),
    ],
  },
  {
    name: "lost-postfix",
    what: "the last that was acknowledged is gone",
    faulty: [publishAll(1, 3), finalAll(1, 2)],
    innocent: [publishAll(1, 3), lostTail, finalAll(1, 2)],
  },
  {
    name: "lost-postfix",
    what: "a level is lost that what happened does not touch",
    faulty: [publish(1), stored(1), fault("kill", { loses: ["memory"], may: ["epoch"] }), final([])],
    innocent: [publish(1), stored(1, at(1), { level: "memory" }), fault("kill", { loses: ["memory"], may: ["epoch"] }), final([])],
  },
  {
    name: "lost-postfix",
    what: "it is lost though it was acknowledged after the loss",
    faulty: [lostTail, publishAll(1, 1), final([])],
    innocent: [publishAll(1, 1), lostTail, final([])],
  },
  {
    name: "hole-in-log",
    what: "the log leaves an offset out",
    faulty: [publishAll(1, 1), publish(3), final([three[0]!, three[2]!])],
    innocent: [publishAll(1, 3), finalAll(1, 3)],
  },
  {
    name: "hole-in-log",
    what: "the head is beyond the last message",
    faulty: [publishAll(1, 1), final([three[0]!], { head: at(2) })],
    innocent: [publishAll(1, 1), final([three[0]!])],
  },
  {
    name: "duplicate-publish",
    what: "a content is stored twice",
    faulty: [publishAll(1, 1), repeat(1, 2)],
    innocent: [publishAll(1, 1), publish(1, { seq: 2 }), stored(1, at(1), { seq: 2, duplicate: true })],
  },
  {
    name: "duplicate-publish",
    what: "a content is stored again though its first place is still there",
    faulty: [publishAll(1, 1), lostTail, repeat(1, 2), final([three[0]!, [1, at(2)]])],
    innocent: [publishAll(1, 1), lostTail, repeat(1, 1, "b"), final([[1, at(1, "b")]])],
  },
  {
    name: "duplicate-publish",
    what: "a key is stored twice, with two contents",
    faulty: [publishAll(1, 1), publish(2, { key: "k1" }), stored(2)],
    innocent: [publishAll(1, 1), publish(2, { key: "k1" }), answered("refused", 2)],
  },
  {
    name: "realtime-order",
    what: "what was asked for after an answer stands before it",
    faulty: [publish(1), stored(1, at(2)), publish(2, { pid: "q" }), stored(2, at(1), { pid: "q" })],
    innocent: [publish(1), publish(2, { pid: "q" }), stored(1, at(2)), stored(2, at(1), { pid: "q" })],
  },
  {
    name: "publisher-order",
    what: "a publisher that waits finds its messages the wrong way round, within one millisecond",
    faulty: [publish(1), stored(1, at(2)), publish(2), stored(2, at(1))].map(concurrent),
    innocent: [publish(1), publish(2), stored(1, at(2)), stored(2, at(1))].map(concurrent),
  },
  {
    name: "publisher-order",
    what: "two messages sent over one connection are stored the wrong way round",
    faulty: [publish(1, { connection: 1 }), publish(2, { connection: 1 }), stored(1, at(2)), stored(2, at(1))],
    innocent: [publish(1, { connection: 1 }), publish(2, { connection: 2 }), stored(1, at(2)), stored(2, at(1))],
  },
  {
    name: "spurious-gap",
    what: "nothing happened that gives cause",
    faulty: [begin(), publishAll(1, 2), gap("trimmed", at(0), at(1), 1), message(2)],
    innocent: [begin(), publishAll(1, 2), trimmed, gap("trimmed", at(0), at(1), 1), message(2)],
  },
  {
    name: "spurious-gap",
    what: "the cause is of another kind",
    faulty: [begin(), publishAll(1, 1), message(1), trimmed, gap("truncated", at(1), at(0), 0)],
    innocent: [begin(), publishAll(1, 1), message(1), lostTail, gap("truncated", at(1), at(0), 0)],
  },
  {
    name: "spurious-gap",
    what: "the cause comes after",
    faulty: [begin(), publishAll(1, 2), gap("trimmed", at(0), at(1), 1), trimmed, message(2)],
    innocent: [begin(), publishAll(1, 2), trimmed, gap("trimmed", at(0), at(1), 1), message(2)],
  },
  {
    name: "gap-lied",
    what: "missing is not what is missing",
    faulty: [begin(), publishAll(1, 3), trimmed, gap("trimmed", at(0), at(2), 1), message(3)],
    innocent: [begin(), publishAll(1, 3), trimmed, gap("trimmed", at(0), at(2), 2), message(3)],
  },
  {
    name: "gap-lied",
    what: "the first message after it is not the next",
    faulty: [begin(), publishAll(1, 3), trimmed, gap("trimmed", at(0), at(1), 1), message(3)],
    innocent: [begin(), publishAll(1, 3), trimmed, gap("trimmed", at(0), at(1), 1), messages(2, 3)],
  },
  {
    name: "gap-lied",
    what: "it begins where the reader does not stand",
    faulty: [begin(), publishAll(1, 3), message(1), trimmed, gap("trimmed", at(0), at(2), 1), message(3)],
    innocent: [begin(), publishAll(1, 3), message(1), trimmed, gap("trimmed", at(1), at(2), 1), message(3)],
  },
  {
    name: "gap-lied",
    what: "the log still has what it says was trimmed",
    faulty: [begin(), publishAll(1, 3), trimmed, gap("trimmed", at(0), at(2), 2), message(3), finalAll(2, 3)],
    innocent: [begin(), publishAll(1, 3), trimmed, gap("trimmed", at(0), at(2), 2), message(3), finalAll(3, 3)],
  },
  {
    name: "gap-lied",
    what: "the log still has what it says was trimmed, and did not go back to it while the gap was on its way",
    faulty: [begin(), lostTail, publishAll(1, 3), message(1), trimmed, gap("trimmed", at(1), at(2), 1), message(3), finalAll(1, 3)],
    innocent: [begin(), publishAll(1, 3), message(1), trimmed, lostTail, gap("trimmed", at(1), at(2), 1), message(3), finalAll(1, 3)],
  },
  {
    name: "gap-lied",
    what: "the log still has what it says was trimmed, and did not go back to it since the reader was asked for",
    faulty: [publishAll(1, 3), trimmed, lostTail, begin(), gap("trimmed", at(0), at(2), 2), message(3), finalAll(1, 3)],
    innocent: [
      [publishAll(1, 3), trimmed, lostTail].flat(),
      [begin("r", at(0), { askedAt: 0 }), gap("trimmed", at(0), at(2), 2), message(3), finalAll(1, 3)],
    ],
  },
  {
    name: "gap-lied",
    what: "the log still has what it says was trimmed, and did not go back to it while all that the reader has was on its way",
    faulty: [
      begin(),
      lostTail,
      publish(1),
      publish(2),
      publish(3),
      message(1),
      trimmed,
      gap("trimmed", at(1), at(2), 1),
      message(3),
      finalAll(1, 3),
    ],
    innocent: [
      begin(),
      publish(1),
      publish(2),
      publish(3),
      trimmed,
      lostTail,
      message(1),
      gap("trimmed", at(1), at(2), 1),
      message(3),
      finalAll(1, 3),
    ],
  },
  {
    name: "gap-lied",
    what: "it says that the reader's message was lost, and the log has it",
    faulty: [begin(), publishAll(1, 2), messages(1, 2), lostTail, gap("truncated", at(2), at(1), 0), message(2), finalAll(1, 2)],
    innocent: [begin(), publishAll(1, 2), messages(1, 2), lostTail, gap("truncated", at(2), at(1), 0), finalAll(1, 1)],
  },
  {
    name: "gap-lied",
    what: "it says that the reader's message was lost, and the log has it, having changed but once while the gap was on its way",
    faulty: [begin(), publishAll(1, 2), messages(1, 2), lostTail, gap("truncated", at(2), at(1), 0), message(2), finalAll(1, 2)],
    // Lost, which was told, and back with a copy before the telling came
    innocent: [
      begin(),
      publishAll(1, 2),
      messages(1, 2),
      lostTail,
      restored,
      gap("truncated", at(2), at(1), 0),
      message(2),
      finalAll(1, 2),
    ],
  },
  {
    name: "gap-lied",
    what: "it says that the log is another, and the log has the reader's message, having changed but once while the gap was on its way",
    faulty: [begin(), publishAll(1, 2), messages(1, 2), removed, gap("epoch", at(2), at(0), null), messages(1, 2), finalAll(1, 2)],
    innocent: [
      [begin(), publishAll(1, 2), messages(1, 2), removed, restored].flat(),
      [gap("epoch", at(2), at(0), null), messages(1, 2), finalAll(1, 2)].flat(),
    ],
  },
  {
    name: "gap-lied",
    what: "it says that nothing is missing, and resumes from another message than the reader had there",
    faulty: [
      begin(),
      publishAll(1, 3),
      messages(1, 3),
      lostTail,
      publish(4),
      message(4, at(2, "b", 2), "s"),
      gap("truncated", at(3), at(2, "b", 2), 0),
      final([three[0]!, [4, at(2, "b", 2)]]),
    ],
    innocent: [begin(), publishAll(1, 3), messages(1, 3), lostTail, gap("truncated", at(3), at(2), 0), finalAll(1, 2)],
  },
  {
    name: "gap-lied",
    what: "it says that nothing is missing, and resumes from another message of the same epoch, though no store rewrote it unnoticed",
    faulty: [begin(), publishAll(1, 3), messages(1, 3), lostTail, gap("truncated", at(3), at(2, "b"), 0), finalAll(1, 1)],
    innocent: [begin(), publishAll(1, 3), messages(1, 3), rewroteTail, lostTail, gap("truncated", at(3), at(2, "b"), 0), finalAll(1, 1)],
  },
  {
    name: "gap-lied",
    what: "it moves a reader on and does not say what is missing",
    faulty: [begin(), publishAll(1, 1), message(1), lostTail, gap("truncated", at(1), at(2, "b"), null)],
    innocent: [begin(), publishAll(1, 3), messages(1, 3), rewroteTail, gap("truncated", at(3), at(2, "b"), null)],
  },
  {
    name: "gap-lied",
    what: "it moves a reader on, does not say what is missing, and nothing was trimmed",
    faulty: [begin(), publishAll(1, 1), message(1), lostTail, gap("truncated", at(1), at(2, "b"), null)],
    innocent: [begin(), publishAll(1, 1), message(1), lostTail, trimmed, gap("truncated", at(1), at(2, "b"), null)],
  },
  {
    name: "realtime-order",
    what: "of what two logs stored, one stands before what was answered when it was asked for",
    faulty: [publishAll(1, 1), split, inSplit, healed, final([three[0]!, [3, at(2, "b", 2)], [2, at(3)]])],
    innocent: [publishAll(1, 1), split, inSplit, healed, final([three[0]!, [3, at(2, "b", 2)]])],
  },
  {
    name: "lost-postfix",
    what: "it is lost though it was acknowledged when there was one log again",
    faulty: [split, healed, publishAll(1, 1), final([])],
    innocent: [split, publishAll(1, 1), healed, final([])],
  },
  {
    name: "duplicate-publish",
    what: "two logs have it, and both are left",
    faulty: [split, publishAll(1, 1), repeat(1, 2, "b"), healed, final([three[0]!, [1, at(2, "b")]])],
    innocent: [split, publishAll(1, 1), repeat(1, 2, "b"), healed, final([three[0]!])],
  },
  {
    name: "gap-lied",
    what: "it says that the log is another, and has been one again for long, which has the reader's message",
    faulty: [
      begin(),
      split,
      publishAll(1, 1),
      message(1),
      healed,
      { ...gap("epoch", at(1), at(0), null), t: 5_000 },
      message(1),
      finalAll(1, 1),
    ],
    innocent: [begin(), split, publishAll(1, 1), message(1), healed, gap("epoch", at(1), at(0), null), message(1), finalAll(1, 1)],
  },
  {
    name: "never-caught-up",
    what: "a reader stands before the end",
    faulty: [begin(), publishAll(1, 3), calm, messages(1, 2), finalAll(1, 3)],
    innocent: [begin(), publishAll(1, 3), calm, messages(1, 2), { type: "end", cid: "r" }, finalAll(1, 3)],
  },
  {
    name: "missed",
    what: "a reader stands at a message that the log has not",
    faulty: [begin("r", at(2)), publishAll(1, 2), lostTail, publish(4), stored(4, at(2, "b")), calm, final([three[0]!, [4, at(2, "b")]])],
    innocent: [
      begin("r", at(2, "b")),
      publishAll(1, 2),
      lostTail,
      publish(4),
      stored(4, at(2, "b")),
      calm,
      final([three[0]!, [4, at(2, "b")]]),
    ],
  },
  {
    name: "unsignalled-loss",
    what: "a reader has what the log lost, and was not told",
    faulty: afterLostTail(),
    innocent: afterLostTail(gap("truncated", at(5), at(3), 0), message(6, at(4, "b", 2)), message(7, at(5, "b", 2))),
  },
];

describe("the checker finds", () => {
  for (const { name, what, faulty } of CASES) {
    test(`${name}: ${what}`, () => {
      const { violations, counts } = check(told(faulty));
      expect([...new Set(violations.map((violation) => violation.name))], violations.map(({ sentence }) => sentence).join("\n")).toEqual([
        name,
      ]);
      expect(violations[0]!.property).toBe(PROPERTY_OF[name]);
      expect(counts.violations).toBe(violations.length);
    });
  }

  test("each fault that it knows a name for", () => {
    expect(Object.keys(PROPERTY_OF).filter((name) => !CASES.some((one) => one.name === name))).toEqual([]);
  });
});

describe("the checker finds nothing where", () => {
  for (const { name, what, innocent } of CASES) {
    test(`it is not so that ${what} (${name})`, () => {
      expect(check(told(innocent)).violations).toEqual([]);
    });
  }
});

function remade(from: number, to: number): Told[] {
  return Array.from({ length: to - from + 1 }, (_, index) => [publish(from + index), stored(from + index, at(index + 1, "b", 2))]).flat();
}

/** The same content once more, stored at a place. */
function repeat(n: number, offset: number, letter = "a"): Told[] {
  return [publish(n, { seq: 100 }), stored(n, at(offset, letter), { seq: 100 })];
}

function concurrent(event: Told): Told {
  return { ...event, t: 1 };
}
