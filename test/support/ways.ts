import type { Action } from "../../src/index.ts";
import { ask, demand } from "./http.ts";
import { PUBLISHERS } from "./publishers.ts";
import { SocketReader } from "./raw-socket.ts";
import { TRANSPORTS } from "./transports.ts";

/** A way to do something on a channel. */
export interface Way {
  readonly action: Action;
  readonly name: string;
  /** Does it. Throws an error with a `code` if it is refused. */
  act(url: string, channel: string, token: string): Promise<unknown>;
}

/** Every action over every transport that has it. */
export const WAYS: readonly Way[] = [
  ...TRANSPORTS.map(
    (transport): Way => ({
      action: "subscribe",
      name: transport.name,
      async act(url, channel, token) {
        const reader = await transport.open({ url, channels: [{ name: channel, from: "start" }], token });
        reader.close();
      },
    }),
  ),
  ...PUBLISHERS.map(
    (publisher): Way => ({
      action: "publish",
      name: publisher.name,
      async act(url, channel, token) {
        const opened = await publisher.open(url, token);
        try {
          await opened.publish({ channel, data: { secret: 1 } });
        } finally {
          opened.close();
        }
      },
    }),
  ),
  {
    action: "history",
    name: "GET /channels",
    act: (url, channel, token) => demand(`${url}/channels/${channel}`, { token, headers: { accept: "application/json" } }),
  },
  {
    action: "history",
    name: "HEAD /channels",
    async act(url, channel, token) {
      const { status } = await ask(`${url}/channels/${channel}`, { method: "HEAD", token });
      // A HEAD has no body that could say the code
      if (status === 403) throw Object.assign(new Error("403"), { code: "forbidden" });
      if (status !== 200) throw new Error(`The answer was ${status}.`);
    },
  },
  { action: "signal", name: "POST /signals", act: post("signals", "event=typing") },
  { action: "signal", name: "a frame", act: frame((channel) => ({ type: "signal", channel, event: "typing", data: 1 }), false) },
  { action: "request", name: "POST /requests", act: post("requests", "name=echo") },
  { action: "request", name: "a frame", act: frame((channel) => ({ type: "request", channel, name: "echo", data: 1 }), true) },
  {
    action: "delete",
    name: "DELETE /channels",
    act: (url, channel, token) => demand(`${url}/channels/${channel}`, { method: "DELETE", token }),
  },
];

function post(room: string, query: string): Way["act"] {
  return (url, channel, token) => demand(`${url}/${room}/${channel}?${query}`, { method: "POST", token, body: { n: 1 } });
}

/** What is not answered when all is well is followed by a ping, which is. */
function frame(make: (channel: string) => Record<string, unknown>, answered: boolean): Way["act"] {
  return async (url, channel, token) => {
    const socket = await new SocketReader({ url, channels: [], token }).open();
    try {
      if (answered) await socket.ask(make(channel));
      else await socket.tell(make(channel));
    } finally {
      socket.close();
    }
  };
}
