import type { Action } from "../../src/index.ts";
import { ask, demand, open, refusalOf, textOf } from "./http.ts";
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

/** What a member says that does not ask who else is there. */
const THERE = { client: "a", data: 1 };

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
    action: "presence",
    name: "POST /presence",
    act: (url, channel, token) => demand(`${url}/presence/${channel}`, { method: "POST", token, body: THERE }),
  },
  {
    action: "presence",
    name: "POST /requests",
    act: (url, channel, token) => demand(`${url}/requests/${channel}?name=$presence`, { method: "POST", token, body: THERE }),
  },
  { action: "presence", name: "a frame", act: frame((channel) => ({ type: "request", channel, name: "$presence", data: THERE }), true) },
  {
    action: "watch",
    name: "GET /presence, a page",
    act: (url, channel, token) => demand(`${url}/presence/${channel}`, { token, headers: { accept: "application/json" } }),
  },
  {
    action: "watch",
    name: "GET /presence, a stream",
    async act(url, channel, token) {
      const response = await open(`${url}/presence/${channel}`, { token });
      if (response.statusCode === 200) response.destroy();
      else throw refusalOf({ status: response.statusCode ?? 0, headers: response.headers, json: JSON.parse(await textOf(response)) });
    },
  },
  {
    action: "watch",
    name: "POST /presence",
    act: (url, channel, token) => demand(`${url}/presence/${channel}`, { method: "POST", token, body: {} }),
  },
  { action: "watch", name: "a frame", act: frame((channel) => ({ type: "request", channel, name: "$presence", data: {} }), true) },
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
