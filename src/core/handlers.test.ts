import { describe, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { codeOf } from "../../test/support/stage.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { Handlers } from "./handlers.ts";

const ADA = { id: "ada" };

function stage() {
  const clock = handClock();
  const warned: string[] = [];
  return { clock, warned, handlers: new Handlers(clock, 30, (text) => warned.push(text)) };
}

describe("a request", () => {
  test("is answered by the handler of its pattern and name, which sees the parts of the channel, the data and who asks", async () => {
    const { handlers, clock } = stage();
    handlers.add("chat/:room", "rename", (input) => input);
    const input = { channel: "chat/lobby", name: "rename", params: { room: "lobby" }, data: { to: "hall" }, identity: ADA };
    expect(await handlers.ask("chat/lobby", "rename", { to: "hall" }, ADA)).toEqual(input);
    expect(clock.timers).toBe(0);
  });

  test("is answered by the first that was registered and matches", async () => {
    const { handlers } = stage();
    handlers.add("chat/:room", "who", () => "any room");
    handlers.add("chat/lobby", "who", () => "the lobby");
    handlers.add("chat/lobby", "what", () => "a place");
    expect(await handlers.ask("chat/lobby", "who", null, ADA)).toBe("any room");
    expect(await handlers.ask("chat/lobby", "what", null, ADA)).toBe("a place");
  });

  test("that nobody answers is told so", async () => {
    const { handlers } = stage();
    handlers.add("chat/:room", "who", () => 1);
    expect(await codeOf(handlers.ask("chat/lobby", "what", null, ADA))).toBe("no_handler");
    expect(await codeOf(handlers.ask("chat", "who", null, ADA))).toBe("no_handler");
  });

  test("is not answered by a handler that was taken back, once or twice", async () => {
    const { handlers } = stage();
    const takeBack = handlers.add("c", "who", () => 1);
    handlers.add("c", "who", () => 2);
    takeBack();
    takeBack();
    expect(await handlers.ask("c", "who", null, ADA)).toBe(2);
  });

  test("fails with the text of what the application threw on purpose, and without that of any other error", async () => {
    const { handlers, warned } = stage();
    handlers.add("c", "ours", () => {
      throw new ThroughlineError("forbidden", "only the owner may");
    });
    handlers.add("c", "theirs", async () => {
      throw new Error("password is hunter2");
    });
    await expect(handlers.ask("c", "ours", null, ADA)).rejects.toMatchObject({ code: "forbidden", message: "only the owner may" });
    const failed = await handlers.ask("c", "theirs", null, ADA).catch((error: ThroughlineError) => error);
    expect(failed).toMatchObject({ code: "request_failed" });
    expect((failed as Error).message).not.toContain("hunter2");
    expect(warned.join()).toContain("hunter2");
  });

  test("without an answer within requestSecondsMax fails with request_timeout, and a late answer counts for nothing", async () => {
    const { handlers, clock } = stage();
    let answer: (value: string) => void = () => undefined;
    handlers.add("c", "slow", () => new Promise((resolve) => (answer = resolve)));
    const code = codeOf(handlers.ask("c", "slow", null, ADA));
    await clock.advanceAsync(29_999);
    expect(clock.timers).toBe(1);
    await clock.advanceAsync(1);
    answer("late");
    expect([await code, clock.timers]).toEqual(["request_timeout", 0]);
  });
});
