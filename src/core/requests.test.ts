import { describe, expect, test } from "vitest";
import { ADA, type Node, world } from "../../test/support/presence-world.ts";
import { codeOf } from "../../test/support/stage.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Handler } from "./handlers.ts";

const JOB = "jobs/7";

/** Nodes on one bus. What a client asks by way of one is asked as ada. */
async function stage(limits: Partial<Limits> = {}) {
  const { clock, bus, node } = world(limits);

  async function start(handler?: Handler): Promise<Node> {
    const one = node();
    if (handler !== undefined) one.hub.requests.handle("jobs/:id", "stop", handler);
    await one.hub.open();
    return one;
  }

  async function ask({ hub }: Node, data: unknown = null, identity: Record<string, unknown> & { id: string } = ADA): Promise<unknown> {
    const asked = hub.requests.ask(JOB, "stop", data, identity).then(JSON.parse);
    asked.catch(() => undefined);
    await clock.advanceAsync(5);
    return asked;
  }

  /** What nodes have said of requests. */
  const said = (type: string) => bus.said.filter(({ body }) => body.startsWith("request ") && body.includes(`"type":"${type}"`)).length;
  return { clock, bus, start, ask, said };
}

describe("A request that the asked node has no handler for", () => {
  test("is answered by the node that has one, which sees channel, parts, data and who asks", async () => {
    const { start, ask, clock } = await stage();
    const asked = await start();
    await start((input) => input);
    const identity = { id: "ada", expiresAt: 7, team: "blue" };
    expect(await ask(asked, { now: true }, identity)).toEqual({
      ...{ channel: JOB, name: "stop", params: { id: "7" }, data: { now: true }, identity },
    });
    expect(clock.timers).toBe(0);
  });

  test("is put to no other where the asked node has a handler", async () => {
    const { start, ask, said } = await stage();
    const asked = await start(() => "own");
    await start(() => "other's");
    expect([await ask(asked), said("who")]).toEqual(["own", 0]);
  });

  test("is put to one node, and once, though several would answer, and though what they say comes twice", async () => {
    const { start, ask, bus, said } = await stage();
    const asked = await start();
    let done = 0;
    for (let node = 0; node < 5; node++) await start(() => ++done);
    bus.copies = 2;
    expect([await ask(asked), done, said("offer"), said("put")]).toEqual([1, 1, 10, 1]);
  });

  test("goes to a handler that was registered after its node began", async () => {
    const { start, ask } = await stage();
    const [asked, other] = [await start(), await start()];
    other.hub.requests.handle(JOB, "stop", () => "late");
    expect(await ask(asked)).toBe("late");
  });

  test("is refused with no_handler when nobody has said within offerSecondsMax that he would answer", async () => {
    const { start, clock, said } = await stage({ offerSecondsMax: 1 });
    const asked = await start();
    const other = await start(() => "never");
    other.hub.requests.handle(JOB, "pause", () => "never");
    const code = codeOf(asked.hub.requests.ask(JOB, "restart", null, ADA));
    await clock.advanceAsync(999);
    expect(clock.timers).toBe(1);
    await clock.advanceAsync(1);
    expect([await code, clock.timers, said("offer")]).toEqual(["no_handler", 0, 0]);
  });

  test("finds its node though the first question is lost, or its node listens for answers too late", async () => {
    const { start, ask, clock, bus } = await stage();
    const asked = await start();
    await start(() => "found");
    bus.isAway = true;
    const answer = ask(asked);
    await clock.advanceAsync(50);
    bus.isAway = false;
    await clock.advanceAsync(150);
    expect(await answer).toBe("found");
  });

  test.each(["put", "answer"])(
    "fails with request_timeout where the %s is lost, and is not put again: it may have been done",
    async (lost) => {
      const { start, ask, clock, bus, said } = await stage({ requestSecondsMax: 30 });
      const asked = await start();
      let done = 0;
      await start(() => ++done);
      const carry = bus.carry.bind(bus);
      bus.carry = (from, notice) => {
        bus.isAway = notice.body.includes(`"type":"${lost}"`);
        carry(from, notice);
      };
      const code = codeOf(ask(asked));
      await clock.advanceAsync(29_000);
      expect(said("put")).toBe(1);
      await clock.advanceAsync(1_000);
      expect([await code, said("put"), done, clock.timers]).toEqual(["request_timeout", 1, lost === "put" ? 0 : 1, 0]);
    },
  );

  test("fails as its handler fails: with what it threw of ours, and without the text of any other error", async () => {
    const { start, ask } = await stage();
    const asked = await start();
    await start(({ data }) => {
      throw data === "ours" ? new ThroughlineError("forbidden", "only the owner may", { retryAfterMs: 70 }) : new Error("hunter2");
    });
    await expect(ask(asked, "ours")).rejects.toMatchObject({ code: "forbidden", message: "only the owner may", retryAfterMs: 70 });
    await expect(ask(asked, "theirs")).rejects.toMatchObject({ code: "request_failed", message: expect.not.stringContaining("hunter2") });
  });

  test("fails, and ends nothing, where its identity holds what JSON cannot", async () => {
    const { start, ask, clock } = await stage();
    const asked = await start();
    await start(() => "never");
    expect([await codeOf(ask(asked, null, { id: "ada", big: 1n })), clock.timers]).toEqual(["request_failed", 0]);
  });

  test("[D7] of more than forwardedBytesMax bytes, or with such an answer, is too_large", async () => {
    const { start, ask } = await stage({ forwardedBytesMax: 1_000 });
    const asked = await start();
    await start(({ data }) => "é".repeat(Number(data)));
    expect(await ask(asked, 400)).toHaveLength(400);
    expect(await codeOf(ask(asked, 600))).toBe("too_large");
    expect(await codeOf(ask(asked, "é".repeat(500)))).toBe("too_large");
  });

  test("[D7] beyond forwardedCountMax is refused until another is answered, and who answers as many for others offers no more", async () => {
    const { start, ask, clock } = await stage({ forwardedCountMax: 2 });
    const [asked, another] = [await start(), await start()];
    const answers: ((value: string) => void)[] = [];
    await start(() => new Promise((resolve) => answers.push(resolve)));
    const waiting = [ask(asked), ask(asked)];
    await clock.advanceAsync(5);
    expect([await codeOf(ask(asked)), answers.length]).toEqual(["too_many_requests", 2]);
    const refused = codeOf(ask(another));
    await clock.advanceAsync(3_100);
    expect(await refused).toBe("no_handler");
    for (const answer of answers) answer("done");
    expect(await Promise.all(waiting)).toEqual(["done", "done"]);
    const again = ask(another);
    await clock.advanceAsync(5);
    answers.at(-1)?.("done again");
    expect(await again).toBe("done again");
  });

  test("is answered with restart where the asked node stops meanwhile, and leaves no timer", async () => {
    const { start, ask, clock } = await stage();
    const asked = await start();
    await start(() => new Promise(() => {}));
    const code = codeOf(ask(asked));
    await clock.advanceAsync(5);
    await asked.hub.close();
    expect(await code).toBe("restart");
    expect(await codeOf(ask(asked))).toBe("restart");
  });

  test("is answered with restart where the node that answers stops meanwhile, which says nothing of it later", async () => {
    const { start, ask, clock, bus, said } = await stage();
    const asked = await start();
    let finish = (_: unknown): void => {};
    const other = await start(() => new Promise((resolve) => (finish = resolve)));
    const code = codeOf(ask(asked));
    await clock.advanceAsync(5);
    await other.hub.close();
    expect([await code, said("answer")]).toEqual(["restart", 1]);
    const { length } = bus.said;
    finish("late");
    await clock.advanceAsync(5);
    expect(bus.said).toHaveLength(length);
  });

  test("is not taken for one by what a client signals where nodes ask each other", async () => {
    const { start, said } = await stage();
    const asked = await start();
    let done = 0;
    const other = await start(() => ++done);
    const put = { type: "put", id: 1, asker: "x", node: "y", channel: JOB, name: "stop", data: null, identity: ADA };
    asked.hub.signal("throughline/requests", "stop", `request ${JSON.stringify(put)}`, "");
    expect([done, said("put"), other.hub.channelCount]).toEqual([0, 0, 0]);
  });
});

describe("A request on an engine without other nodes", () => {
  test("that nobody handles is refused at once", async () => {
    const { node, clock } = world();
    const alone = node(true);
    expect([await codeOf(alone.hub.requests.ask(JOB, "stop", null, ADA)), clock.timers]).toEqual(["no_handler", 0]);
  });
});
