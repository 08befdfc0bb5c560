import { type Acts, some, someone } from "./sim-act.ts";
import type { Line } from "./sim-line.ts";
import type { World } from "./sim-world.ts";

/** What networks do. */
export const NETWORK_ACTS: Acts = {
  cut: [9, (world) => breakLine(world, "cut", (line) => line.cut())],
  "cut, told to nobody": [2, (world) => breakLine(world, "half open", (line) => line.cutSilently("nobody"))],
  "cut, told to the client": [2, (world) => breakLine(world, "half open", (line) => line.cutSilently("client"))],
  "cut, told to the server": [2, (world) => breakLine(world, "half open", (line) => line.cutSilently("server"))],
  "cut all of a client": [2, cutAll],
  "swallow a write": [2, swallow],
  stall: [5, (world) => breakLine(world, "stall", (line) => line.stall())],
  flow: [5, flow],
  slow: [4, slow],
  fast: [2, fast],
  "block WebSocket": [3, blockWebSocket],
  "let WebSocket through": [2, (world) => some(world, ({ access }) => Object.assign(access, { webSocket: "open" }))],
  offline: [2, offline],
  online: [3, (world) => someone(world, ({ access }) => Object.assign(access, { isOffline: false }))],
  "move to another node": [3, move],
};

function breakLine(world: World, kind: string, act: (line: Line) => void): unknown {
  const lines = [...world.network.lines.keys()].filter(({ passes }) => passes);
  if (lines.length === 0) return false;
  world.fault(kind);
  act(world.chance.one(lines));
}

/** Of a client, which notices: a bare EventSource has nobody who counts. */
function swallow(world: World): unknown {
  const lines = world.clients.flatMap(({ access }) => [...access.lines]).filter(({ isStream, passes }) => isStream && passes);
  if (lines.length === 0) return false;
  world.fault("a write swallowed");
  world.chance.one(lines).swallows = true;
}

function cutAll(world: World): unknown {
  return someone(world, ({ access }) => {
    for (const line of [...access.lines]) {
      world.fault("cut");
      line.cut();
    }
  });
}

function flow(world: World): unknown {
  const stalled = [...world.network.lines.keys()].filter(({ isStalled }) => isStalled);
  if (stalled.length === 0) return false;
  world.chance.one(stalled).flow();
}

function slow(world: World): unknown {
  return someone(world, ({ access }) => {
    world.fault("slow");
    access.bytesPerMs = world.chance.between(0.1, 2);
    for (const line of access.lines) line.bytesPerMs = access.bytesPerMs;
  });
}

function fast(world: World): unknown {
  return someone(world, ({ access }) => {
    access.bytesPerMs = Number.POSITIVE_INFINITY;
    for (const line of access.lines) line.heal();
  });
}

function blockWebSocket(world: World): unknown {
  return some(world, ({ access }) => {
    world.fault("WebSocket blocked");
    access.webSocket = world.chance.one(["refused", "dies", "deaf", "hangs"]);
  });
}

function offline(world: World): unknown {
  return someone(world, ({ access }) => {
    world.fault("offline");
    access.isOffline = true;
    for (const line of [...access.lines]) line.cutSilently(world.chance.one(["client", "nobody"]));
  });
}

function move(world: World): unknown {
  if (world.nodes.length === 1) return false;
  return someone(world, ({ access }) => {
    world.fault("move");
    const node = world.chance.one(world.nodes);
    access.target = () => node;
    for (const line of [...access.lines]) line.cut();
  });
}
