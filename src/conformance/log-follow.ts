import type { Told } from "../core/log.ts";
import { expectSame, expectSoon, expectTrue } from "./expect.ts";
import { CHANNEL, draft, drafts, EVERYTHING, headOf, offsets, positionOf, type Tell } from "./log-story.ts";
import type { LogPowers } from "./log-subject.ts";

/** Followers, and removal. */
export function followConformance(tell: Tell, powers: LogPowers): void {
  tell("[D2] a follower is told every message once, in order, with its epoch", async ({ log, append, read }) => {
    const told: Told[] = [];
    log().follow(CHANNEL, (one) => told.push(one));
    await Promise.all([append(...drafts(3)), append(draft("4")), log().append("other", drafts(2)), append(...drafts(5))]);
    const entries = told.flatMap((one) => (one.type === "appended" ? one.entries : []));
    expectSame(offsets(entries), [1, 2, 3, 4, 5, 6, 7, 8, 9], "the offsets told");
    const page = await read();
    expectSame(entries, page.entries, "what was told");
    expectTrue(
      told.every((one) => one.type === "appended" && one.epoch === headOf(page).lineage[0]?.epoch),
      "the epoch of the log in all that was told",
    );
  });

  tell("[D4] a follower is told after the message is stored, and before its append is answered", async ({ log, append }) => {
    const order: string[] = [];
    let isThere: Promise<boolean> = Promise.resolve(false);
    log().follow(CHANNEL, () => {
      order.push("told");
      isThere = log()
        .read(CHANNEL, 0, EVERYTHING)
        .then((page) => page.entries.length === 1);
    });
    await append(draft("a")).then(() => order.push("answered"));
    expectSame(order, ["told", "answered"], "the order");
    expectTrue(await isThere, "the message to be readable once it is told");
  });

  tell("a follower is never told inside follow, nor of what was stored before it followed", async ({ log, append }) => {
    await append(draft("before"));
    let told = 0;
    let isInside = true;
    log().follow(CHANNEL, () => {
      expectTrue(!isInside, "nothing to be told inside follow");
      told++;
    });
    isInside = false;
    await append(draft("after"));
    expectSame(told, 1, "how often it was told");
  });

  tell("[D5] a duplicate, a conflict and a refused key are not told", async ({ log, append, given }) => {
    given.keysMax = 1;
    await append(draft("a", { key: "a" }));
    const told: Told[] = [];
    log().follow(CHANNEL, (one) => told.push(one));
    await append(draft("a", { key: "a" }), draft("b", { key: "a" }), draft("c", { key: "c" }));
    await append(draft("d"));
    expectSame(
      told.map((one) => one.type === "appended" && offsets(one.entries)),
      [[2]],
      "what was told",
    );
  });

  tell("followers come and go one by one; one that fails or leaves in its turn does not disturb the others", async ({ log, append }) => {
    const told: string[] = [];
    const follow = (name: string, act: () => void) =>
      log().follow(CHANNEL, () => {
        told.push(name);
        act();
      });
    const leaveA = follow("a", () => leaveA());
    follow("b", () => {
      throw new Error("This follower fails.");
    });
    const leaveC = follow("c", () => leaveD());
    const leaveD = follow("d", () => {});
    await append(draft("1"));
    leaveC();
    leaveC();
    await append(draft("2"));
    expectSame(told, ["a", "b", "c", "b"], "who was told");
  });

  tell("[D1] a follower that appends in its turn does not change the order that others are told", async ({ log, append }) => {
    const answers: Promise<unknown>[] = [];
    const told: number[] = [];
    log().follow(CHANNEL, (one) => {
      if (one.type === "appended" && one.entries[0]?.offset === 1) answers.push(append(draft("from within")));
    });
    log().follow(CHANNEL, (one) => {
      if (one.type === "appended") told.push(...offsets(one.entries));
    });
    await append(draft("first"));
    await Promise.all(answers);
    expectSame(told, [1, 2], "what the second follower was told");
  });

  if (!powers.remove) return;

  tell("[D3] a log that was removed is gone, its followers are told, and the next one has a later epoch", async ({ log, append, read }) => {
    const [old] = await append(draft("a", { key: "k" }), draft("b"));
    const told: Told[] = [];
    log().follow(CHANNEL, (one) => told.push(one));
    await log().remove?.(CHANNEL);
    expectSame(await read(), { head: null, entries: [] }, "the page");
    await expectSoon(() => told.some((one) => one.type === "changed"), "followers to be told");
    const [young] = await append(draft("a", { key: "k" }));
    expectSame(young?.type, "stored", "the answer to a key of the old log");
    expectTrue(positionOf(young).slice(0, 20) > positionOf(old).slice(0, 20), "a later epoch");
    const page = await read();
    expectSame([offsets(page.entries), headOf(page).first, headOf(page).lineage.length], [[1], 1, 1], "the new log");
  });

  tell("[D3] removed and made anew again and again within a millisecond, each epoch is later", async ({ log, append }) => {
    const epochs: string[] = [];
    for (let round = 0; round < 5; round++) {
      epochs.push(positionOf((await append(draft("a")))[0]).slice(0, 20));
      await log().remove?.(CHANNEL);
    }
    expectSame(epochs, [...new Set(epochs)].sort(), "the epochs");
  });

  tell("removing what is not there is no error, and leaves other channels alone", async ({ log, append, read }) => {
    await append(draft("a"));
    await log().remove?.("chat");
    await log().remove?.("chat/lobby/x");
    expectSame((await read()).entries.length, 1, "the entries");
  });

  tell("[D1] a removal stands in the order of the calls", async ({ log, append, read }) => {
    const [, , after] = await Promise.all([append(...drafts(3)), log().remove?.(CHANNEL), append(draft("after"))]);
    expectTrue(after?.[0]?.type === "stored" && after[0].position.offset === 1, "the message after it to be the first of a new log");
    expectSame((await read()).entries.length, 1, "the entries");
  });
}
