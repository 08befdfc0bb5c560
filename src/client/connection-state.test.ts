import { describe, expect, test } from "vitest";
import { ThroughlineError } from "../protocol/error.ts";
import { STEADY_MS } from "./bounds.ts";
import { type ConnectionState, type Cut, type Happening, type Machine, type Rules, START, step } from "./connection-state.ts";

const RULES: Rules = { backoffMsMin: 300, backoffMsMax: 20_000, retriesMax: Number.POSITIVE_INFINITY };
const HALF = 0.5;
const ERROR = new ThroughlineError("disconnected", "cut");

/** What a machine of each state looks like in the table: pipe 1 is or was the first, pipe 2 the next. */
const STATES = {
  idle: START,
  connecting: { ...START, state: "connecting", next: 1, made: 1 },
  "connecting, waiting": { ...START, state: "connecting", made: 1, wait: { ms: 1 }, failures: 1 },
  connected: { ...START, state: "connected", current: 1, made: 1 },
  "connected, trying another": { ...START, state: "connected", current: 1, next: 2, made: 2 },
  reconnecting: { ...START, state: "reconnecting", next: 2, made: 2, failures: 1 },
  "reconnecting, waiting": { ...START, state: "reconnecting", made: 1, wait: { ms: 1 }, failures: 1 },
  offline: { ...START, state: "offline", made: 1, wait: { ms: 20_000 } },
  "offline, trying": { ...START, state: "offline", next: 2, made: 2 },
  closed: { ...START, state: "closed", made: 1 },
  failed: { ...START, state: "failed", made: 1, error: ERROR },
} as const satisfies Record<string, Machine>;

const cut = (pipe: number, more: Partial<Cut> = {}): Happening => ({
  type: "cut",
  pipe,
  error: ERROR,
  final: false,
  stoodMs: 0,
  ...more,
});

const EVENTS = {
  want: { type: "want" },
  rest: { type: "rest" },
  replace: { type: "replace" },
  retry: { type: "retry" },
  online: { type: "online" },
  offline: { type: "offline" },
  close: { type: "close" },
  "up 1": { type: "up", pipe: 1 },
  "up 2": { type: "up", pipe: 2 },
  "proven 2": { type: "proven", pipe: 2 },
  "cut 1": cut(1),
  "cut 2": cut(2),
  "cut 1, final": cut(1, { final: true }),
  "cut 2, final": cut(2, { final: true }),
} as const satisfies Record<string, Happening>;

/** The state after, then `+` opened, `-` closed, `~` waiting for. `=`: nothing changes. */
type Expected = "=" | `${ConnectionState}${string}`;

// biome-ignore format: a table is read by its columns
const TABLE: Record<keyof typeof STATES, Record<keyof typeof EVENTS, Expected>> = {
  idle: {
    want: "connecting +1", rest: "=", replace: "=", retry: "=", online: "=", offline: "=", close: "closed",
    "up 1": "=", "up 2": "=", "proven 2": "=", "cut 1": "=", "cut 2": "=", "cut 1, final": "=", "cut 2, final": "=",
  },
  connecting: {
    want: "=", rest: "idle -1", replace: "connecting -1 +2", retry: "connecting -1 +2", online: "connecting -1 +2", offline: "offline -1 ~20000",
    close: "closed -1", "up 1": "connected", "up 2": "=", "proven 2": "=",
    "cut 1": "connecting -1 ~150", "cut 2": "=", "cut 1, final": "failed -1", "cut 2, final": "=",
  },
  "connecting, waiting": {
    want: "=", rest: "idle", replace: "connecting +2", retry: "connecting +2", online: "connecting +2", offline: "offline ~20000",
    close: "closed", "up 1": "=", "up 2": "=", "proven 2": "=", "cut 1": "=", "cut 2": "=", "cut 1, final": "=", "cut 2, final": "=",
  },
  connected: {
    want: "=", rest: "idle -1", replace: "connected +2", retry: "connected", online: "=", offline: "offline -1 ~20000",
    close: "closed -1", "up 1": "=", "up 2": "=", "proven 2": "=",
    "cut 1": "reconnecting -1 ~150", "cut 2": "=", "cut 1, final": "failed -1", "cut 2, final": "=",
  },
  "connected, trying another": {
    want: "=", rest: "idle -1 -2", replace: "connected -2 +3", retry: "connected", online: "=", offline: "offline -1 -2 ~20000",
    close: "closed -1 -2", "up 1": "=", "up 2": "=", "proven 2": "connected -1",
    "cut 1": "reconnecting -1", "cut 2": "connected -2 ~150", "cut 1, final": "reconnecting -1", "cut 2, final": "connected -2 ~150",
  },
  reconnecting: {
    want: "=", rest: "idle -2", replace: "reconnecting -2 +3", retry: "reconnecting -2 +3", online: "reconnecting -2 +3", offline: "offline -2 ~20000",
    close: "closed -2", "up 1": "=", "up 2": "connected", "proven 2": "connected",
    "cut 1": "=", "cut 2": "reconnecting -2 ~300", "cut 1, final": "=", "cut 2, final": "failed -2",
  },
  "reconnecting, waiting": {
    want: "=", rest: "idle", replace: "reconnecting +2", retry: "reconnecting +2", online: "reconnecting +2", offline: "offline ~20000",
    close: "closed", "up 1": "=", "up 2": "=", "proven 2": "=", "cut 1": "=", "cut 2": "=", "cut 1, final": "=", "cut 2, final": "=",
  },
  offline: {
    want: "=", rest: "idle", replace: "offline +2", retry: "offline +2", online: "reconnecting +2", offline: "offline ~20000", close: "closed",
    "up 1": "=", "up 2": "=", "proven 2": "=", "cut 1": "=", "cut 2": "=", "cut 1, final": "=", "cut 2, final": "=",
  },
  "offline, trying": {
    want: "=", rest: "idle -2", replace: "offline -2 +3", retry: "offline -2 +3", online: "reconnecting -2 +3",
    offline: "offline -2 ~20000", close: "closed -2",
    "up 1": "=", "up 2": "connected", "proven 2": "connected",
    "cut 1": "=", "cut 2": "offline -2 ~150", "cut 1, final": "=", "cut 2, final": "failed -2",
  },
  closed: {
    want: "=", rest: "=", replace: "=", retry: "=", online: "=", offline: "=", close: "=",
    "up 1": "=", "up 2": "=", "proven 2": "=", "cut 1": "=", "cut 2": "=", "cut 1, final": "=", "cut 2, final": "=",
  },
  failed: {
    want: "=", rest: "=", replace: "connecting +2", retry: "=", online: "=", offline: "=", close: "closed",
    "up 1": "=", "up 2": "=", "proven 2": "=", "cut 1": "=", "cut 2": "=", "cut 1, final": "=", "cut 2, final": "=",
  },
};

function describeStep(before: Machine, after: Machine): string {
  if (after === before) return "=";
  const pipes = ({ current, next }: Machine): number[] => [current, next].filter((pipe) => pipe !== 0);
  const closed = pipes(before).filter((pipe) => !pipes(after).includes(pipe));
  const opened = pipes(after).filter((pipe) => !pipes(before).includes(pipe));
  const waits = after.wait !== null && after.wait !== before.wait ? [`~${after.wait.ms}`] : [];
  return [after.state, ...closed.map((pipe) => `-${pipe}`), ...opened.map((pipe) => `+${pipe}`), ...waits].join(" ");
}

describe("The connection's machine", () => {
  for (const [name, row] of Object.entries(TABLE)) {
    for (const [event, expected] of Object.entries(row)) {
      test(`${name}: ${event} -> ${expected}`, () => {
        const before: Machine = STATES[name as keyof typeof STATES];
        expect(describeStep(before, step(before, EVENTS[event as keyof typeof EVENTS], RULES, HALF))).toBe(expected);
      });
    }
  }

  test("waits for nothing once it rests or is connected", () => {
    for (const before of Object.values(STATES) as Machine[]) {
      for (const event of Object.values(EVENTS)) {
        const { state, wait, next } = step(before, event, RULES, HALF);
        if (state === "idle" || state === "closed" || state === "failed") expect({ wait, next }).toEqual({ wait: null, next: 0 });
        if (next !== 0) expect(wait).toBe(null);
      }
    }
  });

  test("comes back first within backoffMsMin, then in windows that double up to backoffMsMax", () => {
    let machine: Machine = STATES.connected;
    const windows: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      machine = step(machine, cut(machine.current || machine.next), RULES, 1);
      windows.push(machine.wait!.ms);
      machine = step(machine, { type: "retry" }, RULES, 1);
    }
    expect(windows).toEqual([300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 20_000, 20_000]);
  });

  test("begins the window anew only after a pipe that stood for 10 s", () => {
    const tired: Machine = { ...STATES.connected, failures: 5 };
    expect(step(tired, cut(1, { stoodMs: STEADY_MS - 1 }), RULES, 1).wait).toEqual({ ms: 9_600 });
    expect(step(tired, cut(1, { stoodMs: STEADY_MS }), RULES, 1)).toMatchObject({ wait: { ms: 300 }, failures: 1 });
  });

  test("obeys the server's hint, and never comes before it", () => {
    const restart = new ThroughlineError("restart", "", { retryAfterMs: 4_321 });
    expect(step(STATES.connected, cut(1, { error: restart }), RULES, 1).wait).toEqual({ ms: 4_321 });
    expect(step({ ...STATES.connected, failures: 9 }, cut(1, { error: restart }), RULES, 1).wait).toEqual({ ms: 20_000 });
    expect(step({ ...STATES.connected, failures: 9 }, cut(1, { error: restart }), RULES, 0).wait).toEqual({ ms: 4_321 });
  });

  test("comes back at once when its token expired, and in windows when that happens again", () => {
    const expired = new ThroughlineError("expired", "", { retryAfterMs: 0 });
    const once = step(STATES.connected, cut(1, { error: expired }), RULES, 1);
    expect(once.wait).toEqual({ ms: 0 });
    const twice = step({ ...once, next: 2 }, cut(2, { error: expired }), RULES, 1);
    expect(twice.wait).toEqual({ ms: 600 });
  });

  test("gives up after retriesMax failures in a row, with the last one as the cause", () => {
    const rules = { ...RULES, retriesMax: 2 };
    let machine: Machine = STATES.connecting;
    for (let attempt = 0; attempt < 2; attempt++) {
      machine = step(step(machine, cut(machine.next), rules, HALF), { type: "retry" }, rules, HALF);
    }
    machine = step(machine, cut(machine.next), rules, HALF);
    expect(machine).toMatchObject({ state: "failed", error: { code: "retries_exhausted", cause: ERROR } });
  });
});
