import { describe, expect, test } from "vitest";
import { type Action, memory, type Question } from "../../src/index.ts";
import { ask } from "../support/http.ts";
import { startServer } from "../support/start-server.ts";
import { byToken, LOBBY, promise } from "../support/story.ts";
import { until } from "../support/until.ts";
import { WAYS } from "../support/ways.ts";

const ACTIONS: readonly Action[] = ["subscribe", "history", "publish", "signal", "request", "delete", "presence", "watch"];

describe("Permissions", () => {
  for (const action of ACTIONS) {
    describe(`[D8] who may not ${action} is refused with the same answer over every transport`, () => {
      for (const way of WAYS.filter((one) => one.action === action)) {
        test(`by ${way.name}`, async () => {
          const questions: Question[] = [];
          const authorize = (question: Question) => {
            questions.push(question);
            return question.identity.id === "ada";
          };
          await using server = await disposable({ authenticate: byToken, authorize });
          server.tl.handle(":a/:b", "echo", ({ data }) => data);
          await server.tl.channel("is/here").publish("secret");
          const texts: string[] = [];
          for (const channel of ["is/here", "not/here"]) {
            const refused = await way.act(server.url, channel, "eve").then(
              () => ({ message: "It was allowed." }),
              (error) => error,
            );
            expect(refused).toMatchObject({ code: "forbidden" });
            texts.push(String(refused.message).replaceAll(channel, ""));
          }
          // Nothing in it tells whether the channel exists, and nothing came of it
          expect(texts[0]).toBe(texts[1]);
          expect(questions.map(({ identity, action, channel }) => [identity.id, action, channel])).toEqual([
            ["eve", action, "is/here"],
            ["eve", action, "not/here"],
          ]);
          expect((await server.tl.channel("is/here").history()).messages).toHaveLength(1);
          expect((await server.tl.channel("not/here").history()).messages).toHaveLength(0);
          await way.act(server.url, "is/here", "ada");
        });
      }
    });
  }

  promise("[D8] who is not known is refused, over every transport", { on: "one", authenticate: () => false }, async ({ connect, ask }) => {
    await expect(connect()).rejects.toMatchObject({ code: "unauthenticated" });
    expect((await ask(`/channels/${LOBBY}`, { method: "POST", body: 1 })).status).toBe(401);
  });

  promise("[D8] a token is taken from a header, and never from a URL", { on: "one", authenticate: byToken }, async (stage) => {
    const { connect, server, ask } = stage;
    await connect({ token: "ada" });
    await until("ada is there", () => [...server.tl.connections()].some(({ identity }) => identity.id === "ada"));
    await ask(`/channels/${LOBBY}?wait=0&token=eve&access_token=eve&authorization=Bearer%20eve`);
    expect([...server.tl.connections()].map(({ identity }) => identity.id)).not.toContain("eve");
  });

  promise(
    "[D8] an authorize that throws or forgets to answer is a no",
    { on: "one", needs: ["toldWhy"], authorize: forgetful },
    async ({ connect, server }) => {
      await expect(connect({ channels: ["throws"] })).rejects.toMatchObject({ code: "internal" });
      expect(server.sentences.join()).toContain("the secret of the operator");
      await expect(connect({ channels: ["forgets"] })).rejects.toMatchObject({ code: "forbidden" });
      await expect(connect({ channels: ["later"] })).rejects.toMatchObject({ code: "forbidden" });
    },
  );

  promise(
    "[D8] one channel of many is refused, and the others are read",
    { needs: ["refusesOne"], on: "one", authorize: notB },
    async (stage) => {
      const { connect, publish } = stage;
      const reader = await connect({ channels: ["a", "b", "c"] });
      const sent = [...(await publish(1, { channel: "a" })), ...(await publish(1, { channel: "c" }))];
      const got = await reader.next(2);
      expect(got.sort((one, other) => (one.channel < other.channel ? -1 : 1))).toEqual(sent);
    },
  );

  const expiry = { authenticate: oneSecond, atOnce: true, on: "one" } as const;
  promise(
    "[D8] a live reader ends within a second of its expiry, and is told to come back",
    { ...expiry, needs: ["toldWhy"] },
    async (stage) => {
      const { connect } = stage;
      const began = Date.now();
      const reader = await connect({ token: "ada" });
      const { code, retryAfterMs } = await reader.ended(3_000);
      const lasted = Date.now() - began;
      expect([code, typeof retryAfterMs]).toEqual(["expired", "number"]);
      expect(lasted).toBeGreaterThan(LASTS_MS - 50);
      expect(lasted).toBeLessThan(LASTS_MS + 1_000);
    },
  );

  promise("[D8] a client comes back with a fresh token, and misses nothing", { ...expiry, needs: ["comesBack"] }, async (stage) => {
    const { connect, server } = stage;
    const reader = await connect({ token: "ada" });
    const channel = server.tl.channel(LOBBY);
    const expired = Date.now() + LASTS_MS + 300;
    let count = 0;
    await until("it has expired", async () => {
      await channel.publish(++count);
      return Date.now() > expired;
    });
    const got = await reader.next(count);
    expect(got.map(({ data }) => data)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
  });

  promise(
    "[D8] a revoked identity ends at once on every transport, and does not come back",
    { on: "one", authenticate: byToken },
    async (stage) => {
      const { connect, publish, server } = stage;
      const reader = await connect({ token: "eve" });
      const other = await connect({ over: "sse", token: "ada" });
      await until("both are known", () => server.tl.counts().readers === 2);
      server.tl.revoke("eve");
      const { code, retryAfterMs } = await reader.ended();
      expect([code, retryAfterMs]).toEqual(["revoked", undefined]);
      const sent = await publish(1);
      expect(await other.next(1)).toEqual(sent);
      expect(server.tl.counts().readers).toBe(1);
    },
  );

  promise(
    "[D8] a review asks again, and ends the readers that are refused now",
    { on: "one", authenticate: byToken, authorize: fickle },
    async (stage) => {
      const { connect, publish, server } = stage;
      allowed.add(server.url);
      const reader = await connect({ token: server.url });
      const other = await connect({ over: "websocket", token: "ada" });
      await until("both are known", () => server.tl.counts().readers === 2);
      allowed.delete(server.url);
      await server.tl.review();
      expect((await reader.ended()).code).toBe("revoked");
      const sent = await publish(1, { token: "ada" });
      expect(await other.next(1)).toEqual(sent);
    },
  );

  promise(
    "[D8] who was on the way in during a review is asked about again, and reads nothing if it is refused now",
    { on: "one", authenticate: byToken, authorize: slow },
    async (stage) => {
      const { connect, publish, server } = stage;
      const late = server.url;
      allowed.add(late);
      const coming = connect({ token: late, from: "start" });
      coming.catch(() => undefined);
      await until("it is asked about", () => answers.has(late));
      // The answer is a yes; but before it is there the application changes its mind
      allowed.delete(late);
      await server.tl.review();
      await publish(1, { token: "ada" });
      answerTo(late);
      await until("it is asked about again", () => answers.has(late));
      answerTo(late);
      const told = await coming.then(
        async (reader) => [(await reader.ended(2_000)).code, reader.inbox.waiting],
        (error) => [error.code, 0],
      );
      expect(told).toEqual(["revoked", 0]);
    },
  );

  describe("[D8] a page of a foreign origin is refused before anything else, whatever it does", () => {
    for (const [method, path] of [
      ["GET", `/channels/${LOBBY}`],
      ["GET", "/events?channel=a"],
      ["POST", "/events"],
      ["POST", `/channels/${LOBBY}`],
      ["POST", "/publish"],
      ["DELETE", `/channels/${LOBBY}`],
      ["OPTIONS", `/channels/${LOBBY}`],
    ] as const) {
      test(`${method} ${path}`, async () => {
        let asked = 0;
        const authenticate = () => {
          asked++;
          return null;
        };
        await using server = await disposable({ authenticate, origins: ["https://app.example"] });
        const from = (origin: string) => ask(server.url + path, { method, headers: { origin } });
        const refused = await from("https://evil.example");
        expect([refused.status, refused.json.error.code, asked]).toEqual([403, "forbidden_origin", 0]);
        if (path.startsWith("/events?") || method === "GET") return;
        const taken = await from("https://app.example");
        expect(taken.headers["access-control-allow-origin"]).toBe("https://app.example");
        expect(taken.json?.error?.code).not.toBe("forbidden_origin");
      });
    }
  });
});

/** How long an identity lasts that `oneSecond` makes. */
const LASTS_MS = 900;

function oneSecond({ token }: { readonly token: string | null }) {
  return token === null ? null : { id: token, expiresAt: Date.now() + LASTS_MS };
}

const allowed = new Set(["ada"]);

function fickle({ identity }: Question): boolean {
  return allowed.has(identity.id);
}

const answers = new Map<string, () => void>();

/** Decides when it is asked, and says so when it is told to. */
function slow({ identity, action }: Question): boolean | Promise<boolean> {
  if (action !== "subscribe") return true;
  const isAllowed = allowed.has(identity.id);
  return new Promise((resolve) => answers.set(identity.id, () => resolve(isAllowed)));
}

function answerTo(identity: string): void {
  answers.get(identity)?.();
  answers.delete(identity);
}

function notB({ action, channel }: Question): boolean {
  return action !== "subscribe" || channel !== "b";
}

function forgetful({ channel }: Question): boolean | Promise<boolean> {
  if (channel === "throws") throw new Error("the secret of the operator");
  return (channel === "forgets" ? undefined : Promise.resolve(undefined)) as never;
}

async function disposable(options: Parameters<typeof startServer>[1]) {
  const server = await startServer(() => memory(), options);
  return Object.assign(Object.create(server) as typeof server, { [Symbol.asyncDispose]: () => server.dispose() });
}
