import { TAG_LENGTH } from "../protocol/position.ts";
import { expectSame, expectTrue } from "./expect.ts";
import { draft, drafts, EVERYTHING, headOf, offsets, positionOf, type Tell } from "./log-story.ts";

/** Offsets, order, content and pages. */
export function orderConformance(tell: Tell): void {
  tell("a channel that was never published to has no log", async ({ log, read }) => {
    expectSame(await read(), { head: null, entries: [] }, "the page");
    expectSame(await log().append("empty", []), [], "the answer to no drafts");
    expectSame((await log().read("empty", 0, EVERYTHING)).head, null, "the head");
  });

  tell("[D1] messages get the offsets 1, 2, 3… in the order of the calls and of their drafts", async ({ log, append, read }) => {
    const answers = await Promise.all([
      append(draft("a"), draft("b")),
      append(draft("c")),
      log().append("other", [draft("x")]),
      append(draft("d")),
    ]);
    expectSame(
      answers.flat().map((answer) => (answer.type === "stored" ? answer.position.offset : 0)),
      [1, 2, 3, 1, 4],
      "the offsets",
    );
    const { entries } = await read();
    expectSame(
      entries.map((entry) => [entry.offset, entry.data]),
      [
        [1, "a"],
        [2, "b"],
        [3, "c"],
        [4, "d"],
      ],
      "the entries",
    );
  });

  tell("[D1] many callers at once leave no hole, and each finds its message where its answer says", async ({ append, read }) => {
    const answers = await Promise.all(Array.from({ length: 300 }, (_, caller) => append(draft(`${caller} a`), draft(`${caller} b`))));
    const { entries, head } = await read();
    expectSame(
      offsets(entries),
      Array.from({ length: 600 }, (_, index) => index + 1),
      "the offsets",
    );
    for (const [caller, [a, b]] of answers.entries()) {
      expectTrue(a?.type === "stored" && b?.type === "stored", "both stored");
      expectSame(b.position.offset, a.position.offset + 1, "the second of one call");
      const entry = entries[a.position.offset - 1];
      expectSame(
        [entry?.data, entry?.tag, head?.lineage.at(-1)?.epoch],
        [`${caller} a`, a.position.tag, a.position.epoch],
        "what stands there",
      );
    }
  });

  tell("[D2] every message has a tag of its own, eight letters or digits", async ({ append, read }) => {
    await append(...drafts(500));
    const tags = (await read()).entries.map((entry) => entry.tag);
    expectSame(new Set(tags).size, 500, "the number of different tags");
    expectTrue(
      tags.every((tag) => tag.length === TAG_LENGTH && /^[0-9A-Za-z]+$/.test(tag)),
      "tags of letters and digits",
    );
  });

  tell("a message's time is that of the clock, and never goes back", async ({ append, read, clock }) => {
    const startMs = clock.now();
    await append(draft("a"));
    clock.advance(1_500);
    await append(draft("b"));
    clock.setNow(startMs - 60_000);
    await append(draft("c"));
    const times = (await read()).entries.map((entry) => entry.at - startMs);
    expectSame(times, [0, 1_500, 1_500], "the times");
  });

  tell("[D4] what is read is what was appended: JSON, text and bytes, empty and large, in any script", async ({ append, read }) => {
    const given = [
      draft('{"a":[1,null,"ü"]}', { kind: "json" }),
      draft("plain"),
      draft(""),
      draft("null", { kind: "json" }),
      draft(new Uint8Array(0)),
      draft(Uint8Array.from({ length: 256 }, (_, byte) => byte)),
      draft("line\r\nline\rline\n\u0000 end"),
      draft("𝕋hroughline – 線 – 😀", { event: "注文:ok ✓" }),
      draft("a lone surrogate \ud83d in a text, and \udc00 another"),
      draft("x".repeat(1024 * 1024)),
      draft("ü".repeat(512 * 1024)),
      draft(new Uint8Array(1024 * 1024).fill(0xfe)),
      draft("y", { event: "e".repeat(128) }),
    ];
    await append(...given);
    const { entries } = await read();
    expectSame(
      entries.map(({ event, kind, data, size }) => ({ event, kind, data, size })),
      given.map(({ event, kind, data, size }) => ({ event, kind, data, size })),
      "the entries",
    );
  });

  tell("a page begins after an offset and ends at its count, and carries the head of the same moment", async ({ append, read }) => {
    const answers = await append(...drafts(10));
    expectSame(offsets((await read(0, { count: 4, bytes: 1_000 })).entries), [1, 2, 3, 4], "the first page");
    expectSame(offsets((await read(4, { count: 4, bytes: 1_000 })).entries), [5, 6, 7, 8], "the second page");
    const last = await read(8, { count: 4, bytes: 1_000 });
    expectSame(offsets(last.entries), [9, 10], "the last page");
    expectSame(offsets((await read(10)).entries), [], "behind the end");
    expectSame(offsets((await read(99)).entries), [], "far behind the end");
    expectSame(offsets((await read(0, { count: 0, bytes: 0 })).entries), [], "a page of none");
    const head = headOf(last);
    expectSame([head.first, head.top, head.boundaryTag], [1, 10, "--------"], "the head");
    expectSame(positionOf(answers[9]), `${head.lineage[0]?.epoch}.0000000000000010.${head.topTag}`, "the position of the top");
    expectSame(head.lineage.length, 1, "the epochs");
    expectSame(head.lineage[0]?.start, 1, "the start of the first epoch");
  });

  tell("[D7] a page ends at its bytes, but has at least one message", async ({ append, read }) => {
    await append(...[23, 23, 23, 500, 1].map((length) => draft("x".repeat(length))));
    expectSame(offsets((await read(0, { count: 100, bytes: 90 })).entries), [1, 2, 3], "up to the bound");
    expectSame(offsets((await read(0, { count: 100, bytes: 89 })).entries), [1, 2], "not beyond it");
    expectSame(offsets((await read(3, { count: 100, bytes: 1 })).entries), [4], "one, however large");
    expectSame(offsets((await read(3, { count: 100, bytes: 0 })).entries), [4], "one, also of no bytes");
  });

  tell("channels know nothing of each other, whatever their names", async ({ log }) => {
    const names = ["a", "a/b", "a/b/c", "ab", "A", "a.", "a:b", "a~", "x".repeat(200), `${"x".repeat(199)}y`];
    await Promise.all(names.map((name) => log().append(name, [draft(name), draft("second")])));
    for (const name of names) {
      const { entries } = await log().read(name, 0, EVERYTHING);
      expectSame(
        entries.map((entry) => entry.data),
        [name, "second"],
        `the entries of ${name}`,
      );
    }
    const epochs = await Promise.all(names.map(async (name) => (await log().read(name, 0, EVERYTHING)).head?.lineage[0]?.epoch));
    expectSame(new Set(epochs).size, names.length, "the number of different epochs");
  });
}
