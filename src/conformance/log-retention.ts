import { NO_TAG } from "../protocol/position.ts";
import { expectSame } from "./expect.ts";
import { draft, drafts, headOf, offsets, type Tell } from "./log-story.ts";

/** Trimming by count, bytes and age, and what the head says of it. */
export function retentionConformance(tell: Tell): void {
  tell(
    "[D3] beyond countMax the oldest are trimmed, and the head keeps the tag of the last one trimmed",
    async ({ append, read, given }) => {
      const all = await append(...drafts(5));
      given.retain = { countMax: 3 };
      await append(draft("6"));
      const page = await read();
      expectSame(offsets(page.entries), [4, 5, 6], "what is retained");
      const third = all[2];
      expectSame(
        [headOf(page).first, headOf(page).boundaryTag],
        [4, third?.type === "stored" && third.position.tag],
        "first and boundary tag",
      );
    },
  );

  tell("[D3] beyond bytesMax the oldest are trimmed; the newest stays, however large", async ({ append, read, given }) => {
    given.retain = { bytesMax: 100 };
    for (let count = 0; count < 5; count++) await append(draft("x".repeat(33)));
    expectSame(offsets((await read()).entries), [4, 5], "what is retained of 40 bytes each");
    await append(draft("x".repeat(500)));
    const page = await read();
    expectSame(offsets(page.entries), [6], "what is retained");
    expectSame([headOf(page).first, headOf(page).top], [6, 6], "first and top");
  });

  tell("[D3] a batch larger than the retention is trimmed within itself", async ({ append, read, given }) => {
    given.retain = { countMax: 2 };
    const answers = await append(...drafts(7));
    const page = await read();
    expectSame(offsets(page.entries), [6, 7], "what is retained");
    const fifth = answers[4];
    expectSame(
      [headOf(page).first, headOf(page).boundaryTag],
      [6, fifth?.type === "stored" && fifth.position.tag],
      "first and boundary tag",
    );
  });

  tell("[D3] a message past its age is not given, though nobody published since", async ({ append, read, given, clock }) => {
    given.retain = { secondsMax: 60 };
    const [first] = await append(draft("a"));
    clock.advance(40_000);
    const [second] = await append(draft("b"));
    clock.advance(19_999);
    expectSame(offsets((await read()).entries), [1, 2], "just before");
    clock.advance(1);
    const page = await read();
    expectSame(offsets(page.entries), [2], "at its age");
    expectSame(
      [headOf(page).first, headOf(page).boundaryTag],
      [2, first?.type === "stored" && first.position.tag],
      "first and boundary tag",
    );
    clock.advance(40_000);
    const empty = await read();
    const { first: firstOffset, boundaryTag, top, topTag } = headOf(empty);
    const tag = second?.type === "stored" && second.position.tag;
    expectSame([empty.entries.length, firstOffset, boundaryTag, top, topTag], [0, 3, tag, 2, tag], "a log of which all has expired");
    await append(draft("c"));
    expectSame(offsets((await read()).entries), [3], "offsets go on");
  });

  tell("[D2] a page that begins before the first retained message begins at it", async ({ append, read, given }) => {
    given.retain = { countMax: 4 };
    await append(...drafts(10));
    for (const after of [0, 3, 5, 6]) expectSame(offsets((await read(after)).entries), [7, 8, 9, 10], `the page after ${after}`);
    expectSame(offsets((await read(7)).entries), [8, 9, 10], "the page after 7");
  });

  tell("a log of which nothing was trimmed has no boundary tag", async ({ append, read }) => {
    await append(draft("a"));
    expectSame([headOf(await read()).first, headOf(await read()).boundaryTag], [1, NO_TAG], "first and boundary tag");
  });

  tell("[D7] thousands of messages through a small retention leave exactly that many", async ({ log, read, given }) => {
    given.retain = { countMax: 100 };
    for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 30 }, () => log().append("chat/lobby", drafts(10))));
    const page = await read();
    expectSame([page.entries.length, headOf(page).first, headOf(page).top], [100, 2_901, 3_000], "what is retained");
  });

  tell("retention is of a channel: a change counts from the next append", async ({ append, read, given }) => {
    await append(...drafts(2_500));
    given.retain = { countMax: 10 };
    await append(draft("last"));
    expectSame(headOf(await read()).first, 2_492, "first");
    given.retain = { countMax: 20 };
    await append(...drafts(15));
    expectSame(headOf(await read()).first, 2_497, "first, after it may keep more");
  });
}
