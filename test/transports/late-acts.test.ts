import { describe, expect, test } from "vitest";
import type { Action, Identity } from "../../src/index.ts";
import { nodeHost, type Running, run } from "../adapters/host.ts";
import { FrameClient, RawClient } from "../support/raw-clients.ts";
import { until } from "../support/until.ts";
import { WAYS } from "../support/ways.ts";

const CHANNEL = "is/here";
const ACTS: readonly Action[] = ["history", "publish", "signal", "request", "delete"];

/** What takes its right from eve, and what she is told then. */
const TAKEN = {
  "was revoked": { code: "revoked", take: ({ tl }) => tl.revoke("eve") },
  "has expired": {
    code: "expired",
    take() {
      eve.expiresAt = 1;
    },
  },
  "is refused by a review": {
    code: "forbidden",
    take({ tl }) {
      mayEve = false;
      return tl.review();
    },
  },
} as const satisfies Record<string, { code: string; take: (site: Running) => unknown }>;

const eve = { id: "eve", expiresAt: 0 };
const NEVER = Number.POSITIVE_INFINITY;
let mayEve = true;
let isSlow = false;
let answers: (() => void)[] = [];
let known = 0;

async function late(): Promise<Running & { done(): Promise<unknown[]> }> {
  mayEve = true;
  isSlow = false;
  answers = [];
  known = 0;
  eve.expiresAt = NEVER;
  const site = await run(nodeHost, {
    authenticate({ token }): Identity | null {
      known++;
      return token === "eve" ? eve : null;
    },
    authorize({ identity }) {
      const allowed = identity.id !== "eve" || mayEve;
      return isSlow && allowed ? new Promise((resolve) => answers.push(() => resolve(true))) : allowed;
    },
  });
  const done: unknown[] = [];
  site.tl.handle(":a/:b", "echo", () => done.push("asked"));
  const reader = await FrameClient.open(site.socketUrl(`/socket?channel=${CHANNEL}`));
  await reader.next("live");
  await site.tl.channel(CHANNEL).publish("before");
  await reader.next("message");
  return {
    ...site,
    async done() {
      await site.tl.channel(CHANNEL).publish("after");
      for (let frame = await reader.next(); frame["data"] !== "after"; frame = await reader.next()) {
        if (frame["type"] === "signal") done.push(frame);
      }
      const { messages } = await site.tl.channel(CHANNEL).history();
      return [...done, ...messages.map(({ data }) => data)];
    },
  };
}

for (const [what, { code, take }] of Object.entries(TAKEN)) {
  describe(`[D8] what was not allowed yet when its identity ${what} is not done`, () => {
    // The client comes back with a fresh token, and publishes then
    const ways = WAYS.filter(({ action, name }) => ACTS.includes(action) && !(code === "expired" && name.startsWith("the client")));
    for (const way of ways) {
      test(`${way.action} by ${way.name}`, async () => {
        const site = await late();
        isSlow = true;
        const acted = way.act(`http://127.0.0.1:${site.port}`, CHANNEL, "eve");
        acted.catch(() => undefined);
        await until("it is asked about", () => answers.length > 0);
        isSlow = false;
        await take(site);
        for (const answer of answers) answer();
        await expect(acted).rejects.toThrow();
        expect(await site.done()).toEqual(["before", "after"]);
      });
    }
  });

  describe(`[D8] what has not come in whole when its identity ${what} is not done`, () => {
    for (const [path, body] of [
      [`/channels/${CHANNEL}`, '"late"'],
      ["/publish", `{"channel":"${CHANNEL}","data":"late"}`],
      [`/signals/${CHANNEL}?event=late`, '"late"'],
      [`/requests/${CHANNEL}?name=echo`, '"late"'],
    ] as const) {
      test(`POST ${path}`, async () => {
        const site = await late();
        const before = known;
        const client = await RawClient.open(site.port);
        client.ask(`POST ${path}`, "Authorization: Bearer eve", "Content-Type: application/json", `Content-Length: ${body.length}`);
        client.write(body.slice(0, 3));
        await until("its head has been read", () => known > before);
        await take(site);
        client.write(body.slice(3));
        const answer = await client.answer();
        expect(answer.body).toContain(`"code":"${code}"`);
        expect(await site.done()).toEqual(["before", "after"]);
      });
    }
  });
}
