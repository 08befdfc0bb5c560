import { expectSame, expectTrue } from "./expect.ts";
import { CHANNEL, draft, drafts, EVERYTHING, headOf, positionOf, type Tell } from "./log-story.ts";
import type { LogPowers } from "./log-subject.ts";

/** What an engine that keeps things keeps. */
export function restartConformance(tell: Tell, { keepsEpoch = true }: LogPowers): void {
  tell("[D4] after a restart every message is there, and the next one follows the last", async ({ append, read, reopen }) => {
    await append(
      ...drafts(50),
      draft(new Uint8Array([1, 2, 3])),
      draft("a lone \ud83d surrogate"),
      draft("{}", { kind: "json", event: "注文" }),
    );
    const before = await read();
    await reopen();
    expectSame(await read(), before, "the page");
    await append(draft("after"));
    const { top, lineage } = headOf(await read());
    expectSame(top, 54, "the top");
    const eras = headOf(before).lineage;
    expectSame(lineage.slice(0, eras.length), eras, "the epochs from before");
    for (const { start } of lineage.slice(eras.length)) expectSame(start, 54, "where an epoch begins after the restart");
  });

  if (keepsEpoch) {
    tell("after a restart a log goes on under the same epoch", async ({ append, read, reopen }) => {
      const [before] = await append(draft("before"));
      await reopen();
      const [after] = await append(draft("after"));
      expectSame(positionOf(after).slice(0, 20), positionOf(before).slice(0, 20), "the epoch");
      expectSame(headOf(await read()).lineage.length, 1, "the number of epochs");
    });
  }

  tell(
    "[D5] after a restart keys are known, also those of trimmed messages, and expire as they would have",
    async ({ append, given, clock, reopen }) => {
      given.retain = { countMax: 1 };
      const [first] = await append(draft("a", { key: "k" }), draft("b"));
      await reopen();
      const [again] = await append(draft("a", { key: "k" }));
      expectSame([again?.type, positionOf(again)], ["duplicate", positionOf(first)], "the answer");
      expectSame((await append(draft("x", { key: "k" })))[0]?.type, "conflict", "the answer to other content");
      clock.advance(86_400_000);
      await reopen();
      expectSame((await append(draft("a", { key: "k" })))[0]?.type, "stored", "the answer a day later");
    },
  );

  tell("[D7] after a restart keysMax counts the keys from before", async ({ append, given, reopen }) => {
    given.keysMax = 3;
    await append(...["a", "b"].map((key) => draft(key, { key })));
    await reopen();
    const answers = await append(...["c", "d", "a"].map((key) => draft(key, { key })));
    expectSame(
      answers.map((answer) => answer.type),
      ["stored", "keys_full", "duplicate"],
      "the answers",
    );
  });

  tell("[D3] after a restart the boundary is where it was, and trimming goes on", async ({ append, read, given, reopen }) => {
    given.retain = { countMax: 3 };
    await append(...drafts(10));
    const before = await read();
    await reopen();
    expectSame(await read(), before, "the page");
    await append(draft("11"));
    expectSame([headOf(await read()).first, headOf(await read()).boundaryTag], [9, before.entries[0]?.tag], "first and boundary tag");
    given.retain = { bytesMax: 18 };
    await append(draft("12"));
    expectSame(headOf(await read()).first, 11, "first, by bytes");
  });

  tell("[D3] after a restart a log of which all has expired still knows its top", async ({ append, read, given, clock, reopen }) => {
    given.retain = { secondsMax: 60 };
    await append(...drafts(5));
    clock.advance(61_000);
    const before = await read();
    await reopen();
    expectSame(await read(), before, "the page");
    clock.advance(60_000);
    await reopen();
    await append(draft("6"));
    const page = await read();
    expectSame(
      [page.entries.length, headOf(page).first, headOf(page).top, headOf(page).boundaryTag],
      [1, 6, 6, headOf(before).topTag],
      "the log",
    );
  });

  tell("[D4] time does not go back over a restart", async ({ append, read, clock, reopen }) => {
    await append(draft("a"));
    clock.setNow(clock.now() - 3_600_000);
    await reopen();
    await append(draft("b"));
    const [a, b] = (await read()).entries;
    expectTrue(a !== undefined && b !== undefined && b.at >= a.at, "the second not to be before the first");
  });

  tell("[D3] a removed log stays removed over a restart, and what follows has a later epoch", async ({ log, append, reopen }) => {
    const [old] = await append(...drafts(3));
    await log().remove?.(CHANNEL);
    await reopen();
    expectSame((await log().read(CHANNEL, 0, EVERYTHING)).head, null, "the head");
    const [young] = await append(draft("a"));
    expectTrue(positionOf(young).slice(0, 20) > positionOf(old).slice(0, 20), "a later epoch");
  });

  tell("[D4] what was in flight at close is stored", async ({ append, read, reopen }) => {
    const answers = Promise.all(Array.from({ length: 50 }, () => append(draft("x"))));
    await reopen();
    await answers;
    expectSame(headOf(await read()).top, 50, "the top");
  });
}
