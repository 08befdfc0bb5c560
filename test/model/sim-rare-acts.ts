import type { Chance } from "./sim-chance.ts";
import type { SimClient } from "./sim-client.ts";
import type { ScriptedLogs } from "./sim-scripted.ts";
import type { World } from "./sim-world.ts";

interface Reading {
  readonly client: SimClient;
  readonly channel: string;
}

/** How likely it is before each act of a story. */
const RARELY = 0.01;

/**
 * What takes several things at once, which the acts bring together in none of 12,000 stories. `chance` is its own: a story in which it does
 * not happen is the one that it would be without.
 */
export function rarely(world: World, chance: Chance): void {
  if (chance.is(RARELY)) rewriteAhead(world, chance);
}

/**
 * A subscription reads on in pages, further than a pipe that is held up has brought its channel. Then the log has other messages there, and
 * the pipe, which stands before them, brings those and has no gap to tell.
 */
function rewriteAhead(world: World, chance: Chance): void {
  const { scripted } = world.store;
  if (scripted === null) return;
  const reading = world.clients.flatMap((client) => (client.isDone ? [] : channelsOf(client).map((channel) => ({ client, channel }))));
  if (reading.length > 0) world.begin(holdUp(world, chance, scripted, chance.one(reading)));
}

async function holdUp(world: World, chance: Chance, logs: ScriptedLogs, { client, channel }: Reading): Promise<void> {
  const log = logs.of(channel);
  const lines = [...client.access.lines].filter(({ isStream, passes }) => isStream && passes);
  for (const line of lines) {
    world.fault("stall");
    line.stall();
  }
  // Mostly more than the kernels take and a server may hold for one: what is beyond waits in the log
  const count = 5 + chance.dice(20);
  for (let written = 0; written < count; written++) {
    world.fault("a write elsewhere", { channel });
    log.appendElsewhere(channel, world.makeElsewhere(channel));
    await world.sleep(chance.between(0, 5));
  }
  if (!client.isDone) client.read(channel, "callback", { last: 1 + chance.dice(count) });
  await world.sleep(chance.between(0, 6 * client.access.latencyMs + 60));
  world.fault("rewrite the tail", { channel, may: ["truncated", "epoch"], loses: ["memory"], rewrites: true });
  log.rewriteTail(channel, 1 + chance.dice(count), () => world.makeElsewhere(channel));
  await world.sleep(chance.between(0, 200));
  for (const line of lines) line.flow();
  world.saw("a rewrite ahead of a line");
}

/** Those that a subscription of it reads. */
function channelsOf({ readers }: SimClient): string[] {
  return [...new Set(readers.flatMap(({ channel, hasEnded, position }) => (hasEnded || position === null ? [] : [channel])))];
}
