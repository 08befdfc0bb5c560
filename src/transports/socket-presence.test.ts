import { expect, test } from "vitest";
import { world } from "../../test/support/presence-world.ts";
import { LOBBY } from "../../test/support/story.ts";
import type { Pipe } from "./pipe.ts";
import { SocketPresence } from "./socket-presence.ts";

test("[D8] who says on a socket that he is there is ended by a revocation from after it was opened, however late that is heard", async () => {
  const { node, bus, clock } = world();
  const [a, b] = [node(), node()];
  for (const { hub } of [a, b]) await hub.open();
  const pipe = { hub: b.hub, identity: { id: "ada" }, asked: b.hub.gate.moment, full: () => false } as unknown as Pipe;
  bus.isAway = true;
  a.hub.revocations.revoke("ada");
  await clock.advanceAsync(3_000);
  await new SocketPresence(pipe).ask({ type: "request", channel: LOBBY, id: 1, name: "$presence", data: { client: "x" } }, () => {});
  expect(await b.who()).toEqual(["x null"]);
  bus.isAway = false;
  await clock.advanceAsync(2_000);
  expect(await b.who()).toEqual([]);
});
