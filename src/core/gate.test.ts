import { describe, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { codeOf } from "../../test/support/stage.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { Gate, type GateOptions } from "./gate.ts";
import { ANONYMOUS, type Authenticate, type Authorize, type Credentials } from "./identity.ts";

const CREDENTIALS: Credentials = { token: "secret", header: () => null, url: "/", address: "" };
const ADA = { id: "ada" };

function gate(own: Partial<GateOptions>) {
  const clock = handClock();
  const warned: string[] = [];
  const usual = { authenticate: undefined, authorize: undefined, clock, secondsMax: 10, revocationsMax: 10 };
  const one = new Gate({ ...usual, warn: (text) => warned.push(text), ...own });
  return { gate: one, clock, warned };
}

/** What the gate answers, whether it answers at once or later: a code, or `none`. */
function ask(authorize: Authorize, identity = ADA): Promise<string> {
  return codeOf((async () => gate({ authorize }).gate.authorize(identity, "publish", "chat/lobby"))());
}

describe("[D7] [D8] authenticate", () => {
  const answers = (authenticate: unknown) => codeOf(gate({ authenticate: authenticate as Authenticate }).gate.authenticate(CREDENTIALS));

  test("makes everyone anonymous where there is none", async () => {
    expect(await gate({}).gate.authenticate(CREDENTIALS)).toBe(ANONYMOUS);
  });

  test("sees the credentials, and its identity is taken as it is", async () => {
    const asked = gate({ authenticate: ({ token }) => ({ id: `owner of ${token}`, role: "admin" }) });
    expect(await asked.gate.authenticate(CREDENTIALS)).toEqual({ id: "owner of secret", role: "admin" });
    expect(asked.clock.timers).toBe(0);
  });

  test("makes anonymous by null, at once or later", async () => {
    expect(await gate({ authenticate: () => null }).gate.authenticate(CREDENTIALS)).toBe(ANONYMOUS);
    expect(await gate({ authenticate: async () => null }).gate.authenticate(CREDENTIALS)).toBe(ANONYMOUS);
  });

  test.each([
    ["refuses by false", () => false, "unauthenticated"],
    ["refuses by false, later", async () => false, "unauthenticated"],
    ["refuses if it forgets to answer", () => undefined, "unauthenticated"],
    ["fails if it throws", () => nothing(), "internal"],
    ["fails if it rejects", async () => nothing(), "internal"],
    ["fails if it answers with true", () => true, "internal"],
    ["fails if it answers with an identity without an id", () => ({ user: 7 }), "internal"],
    ["fails if it answers with an id that is no text", () => ({ id: 7 }), "internal"],
    ["may throw an error of ours", () => refuse("too_many_requests"), "too_many_requests"],
    ["refuses an identity that has expired", () => ({ id: "a", expiresAt: 1 }), "expired"],
    ["refuses an identity whose expiry cannot be read", () => ({ id: "a", expiresAt: Number.NaN }), "expired"],
    ["takes an identity that has not expired", () => ({ id: "a", expiresAt: Date.UTC(2030, 0, 1) }), "none"],
  ])("%s", async (_, authenticate, code) => {
    expect(await answers(authenticate)).toBe(code);
  });

  test("that does not answer within gateSecondsMax fails as overloaded, and its late answer counts for nothing", async () => {
    let answer: (identity: { id: string }) => void = () => undefined;
    const { gate: one, clock } = gate({ authenticate: () => new Promise((resolve) => (answer = resolve)) });
    const code = codeOf(one.authenticate(CREDENTIALS));
    await clock.advanceAsync(9_999);
    expect(clock.timers).toBe(1);
    await clock.advanceAsync(1);
    answer(ADA);
    expect([await code, clock.timers]).toEqual(["overloaded", 0]);
  });
});

describe("[D8] authorize", () => {
  test("allows everything where there is none", () => {
    expect(gate({}).gate.authorize(ADA, "delete", "chat/lobby")).toBeUndefined();
  });

  test("answers at once where the application does", () => {
    expect(gate({ authorize: () => true }).gate.authorize(ADA, "publish", "chat/lobby")).toBeUndefined();
    expect(() => gate({ authorize: () => false }).gate.authorize(ADA, "publish", "chat/lobby")).toThrow(ThroughlineError);
  });

  test("is asked who, what and where", async () => {
    const asked: unknown[] = [];
    await ask((question) => asked.push(question) > 0);
    expect(asked).toEqual([{ identity: ADA, action: "publish", channel: "chat/lobby" }]);
  });

  test.each<[string, unknown]>([
    ["false", false],
    ["nothing", undefined],
    ["null", null],
    ["1", 1],
    ["a text", "yes"],
    ["an object", {}],
    ["a function", () => true],
  ])("takes %s for a no, at once or later", async (_, answer) => {
    expect(await ask((() => answer) as Authorize)).toBe("forbidden");
    expect(await ask((async () => answer) as unknown as Authorize)).toBe("forbidden");
  });

  test("takes true for a yes, later too", async () => {
    expect(await ask(async () => true)).toBe("none");
  });

  test("that throws or rejects is a fault of the server, told to the operator and to nobody else", async () => {
    for (const authorize of [() => nothing(), async () => nothing()] as Authorize[]) {
      const { gate: one, warned } = gate({ authorize });
      let told: unknown;
      await (async () => one.authorize(ADA, "publish", "chat/lobby"))().catch((error) => (told = error));
      expect((told as ThroughlineError).code).toBe("internal");
      expect((told as ThroughlineError).message).not.toContain("secret cause");
      expect(warned.join()).toContain("secret cause");
    }
  });

  test("that does not answer within gateSecondsMax fails as overloaded", async () => {
    const { gate: one, clock } = gate({ authorize: () => new Promise(() => undefined) });
    const code = codeOf(one.authorize(ADA, "publish", "c") as Promise<void>);
    await clock.advanceAsync(10_000);
    expect([await code, clock.timers]).toEqual(["overloaded", 0]);
  });

  test("is not asked about an identity that has expired meanwhile", async () => {
    const { gate: one, clock } = gate({ authorize: () => true });
    const identity = { id: "ada", expiresAt: clock.now() + 1_000 };
    expect(one.authorize(identity, "publish", "c")).toBeUndefined();
    clock.advance(1_000);
    expect(() => one.authorize(identity, "publish", "c")).toThrow(expect.objectContaining({ code: "expired" }));
    expect(() => one.authorize({ id: "ada", expiresAt: Number.NaN }, "publish", "c")).toThrow(expect.objectContaining({ code: "expired" }));
  });

  test("as a yes or no: whatever is not a yes is a no", async () => {
    const yes = (authorize: Authorize) => gate({ authorize }).gate.allows(ADA, "subscribe", "c");
    expect(
      await Promise.all([yes(() => true), yes(async () => true), yes(() => false), yes(() => nothing()), yes(async () => nothing())]),
    ).toEqual([true, true, false, false, false]);
  });
});

function nothing(): never {
  throw new Error("the secret cause");
}

function refuse(code: "too_many_requests"): never {
  throw new ThroughlineError(code, "slowly, please");
}
