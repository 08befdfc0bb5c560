import { expectSame } from "./expect.ts";
import { draft, drafts, EVERYTHING, headOf, positionOf, type Tell } from "./log-story.ts";

const DAY_MS = 86_400_000;

/** Idempotency keys. */
export function keysConformance(tell: Tell): void {
  tell("[D5] the same key is stored once, and answered with the first position", async ({ append, read }) => {
    const [first] = await append(draft("a", { key: "k" }));
    const [again] = await append(draft("a", { key: "k" }));
    expectSame([first?.type, again?.type], ["stored", "duplicate"], "the answers");
    expectSame(positionOf(again), positionOf(first), "the position");
    expectSame(headOf(await read()).top, 1, "the top");
  });

  tell("[D5] the same key with other content is a conflict, and nothing is stored", async ({ append, read }) => {
    await append(draft("a", { key: "k" }));
    expectSame((await append(draft("b", { key: "k" }), draft("c")))[0]?.type, "conflict", "the answer");
    expectSame(
      (await read()).entries.map((entry) => entry.data),
      ["a", "c"],
      "the entries",
    );
  });

  tell("[D5] the same key twice in one call, and in calls at once, is stored once", async ({ append, read }) => {
    const twice = await append(draft("a", { key: "k" }), draft("a", { key: "k" }), draft("b", { key: "k" }));
    expectSame(
      twice.map((answer) => answer.type),
      ["stored", "duplicate", "conflict"],
      "the answers of one call",
    );
    const answers = (await Promise.all(Array.from({ length: 50 }, () => append(draft("x", { key: "other" }))))).flat();
    expectSame(answers.filter((answer) => answer.type === "stored").length, 1, "how many of fifty are stored");
    expectSame(new Set(answers.map(positionOf)).size, 1, "the number of different positions");
    expectSame(headOf(await read()).top, 2, "the top");
  });

  tell("[D5] a key is of its channel", async ({ log }) => {
    const [a] = await log().append("a", [draft("x", { key: "k" })]);
    const [b] = await log().append("b", [draft("y", { key: "k" })]);
    expectSame([a?.type, b?.type], ["stored", "stored"], "the answers");
  });

  tell("[D5] keys that are nearly the same are different, also long ones and those in any script", async ({ append }) => {
    const keys = ["k", "K", "k ", "kk", "ключ", "鍵", "k\u0001", "x".repeat(1_000), `${"x".repeat(999)}y`];
    for (let round = 0; round < 2; round++) {
      const answers = await append(...keys.map((key) => draft(key, { key })));
      const expected = keys.map(() => (round === 0 ? "stored" : "duplicate"));
      expectSame(
        answers.map((answer) => answer.type),
        expected,
        "the answers",
      );
    }
  });

  tell("[D5] a key outlives its message: for a day", async ({ append, given, clock }) => {
    given.retain = { countMax: 1 };
    const [first] = await append(draft("a", { key: "k" }));
    await append(...drafts(20));
    clock.advance(DAY_MS - 1);
    const [again] = await append(draft("a", { key: "k" }));
    expectSame([again?.type, positionOf(again)], ["duplicate", positionOf(first)], "the answer after trimming");
    clock.advance(1);
    expectSame((await append(draft("a", { key: "k" })))[0]?.type, "stored", "the answer a day later");
    expectSame((await append(draft("a", { key: "k" })))[0]?.type, "duplicate", "the answer to its second use");
  });

  tell("[D5] a key is kept as long as its message is retained", async ({ append, clock, given }) => {
    given.retain = { secondsMax: 10 * 86_400 };
    await append(draft("a", { key: "k" }));
    clock.advance(10 * DAY_MS - 1);
    expectSame((await append(draft("a", { key: "k" })))[0]?.type, "duplicate", "the answer nine days later");
    clock.advance(1);
    expectSame((await append(draft("a", { key: "k" })))[0]?.type, "stored", "the answer after its message has expired");
  });

  tell(
    "[D7] beyond keysMax a new key is refused, an old one is answered, and messages without a key are stored",
    async ({ append, given }) => {
      given.keysMax = 3;
      await append(...["a", "b", "c"].map((key) => draft(key, { key })));
      const answers = await append(draft("d", { key: "d" }), draft("b", { key: "b" }), draft("no key"));
      expectSame(
        answers.map((answer) => answer.type),
        ["keys_full", "duplicate", "stored"],
        "the answers",
      );
    },
  );

  tell("[D7] expired keys make room", async ({ append, read, given, clock }) => {
    given.keysMax = 3;
    given.retain = { countMax: 1 };
    await append(...["a", "b", "c"].map((key) => draft(key, { key })));
    clock.advance(DAY_MS);
    const answers = await append(...["d", "a", "e", "f"].map((key) => draft(key, { key })));
    expectSame(
      answers.map((answer) => answer.type),
      ["stored", "stored", "stored", "keys_full"],
      "the answers",
    );
    expectSame(headOf(await read()).top, 6, "the top");
  });

  tell("[D5] a key that expires within a call and is used again in it is known from then on", async ({ append, given, clock }) => {
    given.keysMax = 3;
    given.keySecondsMin = 100;
    given.retain = { countMax: 1 };
    await append(...["a", "b", "c"].map((key) => draft(key, { key })));
    clock.advance(100_000);
    const answers = await append(draft("trims c"), ...["c", "a", "b", "e", "c"].map((key) => draft(key, { key })));
    expectSame(
      answers.map((answer) => answer.type),
      ["stored", "stored", "stored", "stored", "keys_full", "duplicate"],
      "the answers",
    );
    expectSame((await append(draft("c", { key: "c" })))[0]?.type, "duplicate", "the answer later");
  });

  tell("[D5] one of a thousand expired keys, used again, is known however the others are forgotten", async ({ append, given, clock }) => {
    given.retain = { countMax: 1 };
    await append(...Array.from({ length: 1_000 }, (_, index) => draft("x", { key: `old ${index}` })));
    clock.advance(DAY_MS);
    expectSame((await append(draft("x", { key: "old 900" })))[0]?.type, "stored", "the answer to its second use");
    for (let round = 0; round < 30; round++) {
      await append(draft("x", { key: `new ${round}` }));
      expectSame((await append(draft("x", { key: "old 900" })))[0]?.type, "duplicate", "the answer from then on");
    }
  });

  tell("[D7] keys that expire while others come stay within keysMax", async ({ append, given, clock }) => {
    given.keysMax = 50;
    given.keySecondsMin = 100;
    given.retain = { countMax: 1 };
    for (let round = 0; round < 40; round++) {
      const answers = await append(...Array.from({ length: 10 }, (_, index) => draft("x", { key: `${round} ${index}` })));
      expectSame(new Set(answers.map((answer) => answer.type)), new Set(["stored"]), "the answers");
      clock.advance(25_000);
    }
  });

  tell("a channel whose only drafts were refused has no log", async ({ log, given }) => {
    given.keysMax = 0;
    expectSame((await log().append("refused", [draft("a", { key: "k" })]))[0]?.type, "keys_full", "the answer");
    expectSame((await log().read("refused", 0, EVERYTHING)).head, null, "the head");
  });
}
