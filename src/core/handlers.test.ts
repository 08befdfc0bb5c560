import { describe, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { codeOf } from "../../test/support/stage.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { Handlers } from "./handlers.ts";

const ADA = { id: "ada" };

function stage() {
  const clock = handClock();
  const warned: string[] = [];
  const handlers = new Handlers(clock, 30, (text) => warned.push(text));
  const ask = async (channel: string, name: string, data: unknown) =>
    JSON.parse((await handlers.ask(channel, name, data, ADA)) ?? '"nobody"');
  return { clock, warned, handlers, ask };
}

describe("a request", () => {
  test("is answered by the handler of its pattern and name, which sees the parts of the channel, the data and who asks", async () => {
    const { handlers, ask, clock } = stage();
    handlers.add("chat/:room", "rename", (input) => input);
    const input = { channel: "chat/lobby", name: "rename", params: { room: "lobby" }, data: { to: "hall" }, identity: ADA };
    expect(await ask("chat/lobby", "rename", { to: "hall" })).toEqual(input);
    expect(clock.timers).toBe(0);
  });

  test("is answered by the first that was registered and matches", async () => {
    const { handlers, ask } = stage();
    handlers.add("chat/:room", "who", () => "any room");
    handlers.add("chat/lobby", "who", () => "the lobby");
    handlers.add("chat/hall", "when", () => "the hall's");
    handlers.add("chat/:room", "when", () => "any room's");
    handlers.add("chat/lobby", "what", () => "a place");
    expect(await ask("chat/lobby", "who", null)).toBe("any room");
    expect(await ask("chat/lobby", "what", null)).toBe("a place");
    expect([await ask("chat/hall", "when", null), await ask("chat/lobby", "when", null)]).toEqual(["the hall's", "any room's"]);
  });

  test("that no handler answers is known at once", async () => {
    const { handlers, ask } = stage();
    handlers.add("chat/:room", "who", () => 1);
    expect([await ask("chat/lobby", "what", null), handlers.has("chat/lobby", "what")]).toEqual(["nobody", false]);
    expect([await ask("chat", "who", null), handlers.has("chat", "who")]).toEqual(["nobody", false]);
    expect([await ask("chat/lobby", "who", null), handlers.has("chat/lobby", "who")]).toEqual([1, true]);
  });

  test("is not answered by a handler that was taken back, once or twice", async () => {
    const { handlers, ask } = stage();
    const takeBacks = [handlers.add("c", "who", () => 1), handlers.add(":any", "who", () => 2)];
    takeBacks.push(handlers.add("c", "who", () => 3));
    const answers = [];
    for (const takeBack of takeBacks) {
      answers.push(await ask("c", "who", null));
      takeBack();
      takeBack();
    }
    expect([answers, handlers.isEmpty]).toEqual([[1, 2, 3], true]);
  });

  test("fails with the text of what the application threw on purpose, and without that of any other error", async () => {
    const { handlers, ask, warned } = stage();
    handlers.add("c", "ours", () => {
      throw new ThroughlineError("forbidden", "only the owner may");
    });
    handlers.add("c", "theirs", async () => {
      throw new Error("password is hunter2");
    });
    await expect(ask("c", "ours", null)).rejects.toMatchObject({ code: "forbidden", message: "only the owner may" });
    const failed = await ask("c", "theirs", null).catch((error: ThroughlineError) => error);
    expect(failed).toMatchObject({ code: "request_failed" });
    expect((failed as Error).message).not.toContain("hunter2");
    expect(warned.join()).toContain("hunter2");
  });

  test("without an answer within requestSecondsMax fails with request_timeout, and a late answer counts for nothing", async () => {
    const { handlers, ask, clock } = stage();
    let answer: (value: string) => void = () => undefined;
    handlers.add("c", "slow", () => new Promise((resolve) => (answer = resolve)));
    const code = codeOf(ask("c", "slow", null));
    await clock.advanceAsync(29_999);
    expect(clock.timers).toBe(1);
    await clock.advanceAsync(1);
    answer("late");
    expect([await code, clock.timers]).toEqual(["request_timeout", 0]);
  });
});
