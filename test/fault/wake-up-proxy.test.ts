import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { splitter } from "../support/broker-wire.ts";
import { seededRandom } from "../support/clock.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";
import { type Fate, fates, WakeUpProxy } from "../support/wake-up-proxy.ts";

/* The tool is tried before what is tried with it. */

const bulk = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const redis = (mark: string, type: string) => (place: string, text: string) => `${mark}3\r\n${bulk(type)}${bulk(place)}${bulk(text)}`;

const WIRES = [
  {
    name: "RESP2",
    kind: "redis" as const,
    told: redis("*", "message"),
    others: [
      "+OK\r\n",
      ":12\r\n",
      "$-1\r\n",
      "*-1\r\n",
      "*0\r\n",
      bulk("in\r\nit"),
      `*2\r\n${bulk("a")}*2\r\n:1\r\n$-1\r\n`,
      "-ERR no\r\n",
    ],
  },
  {
    name: "RESP3, sharded",
    kind: "redis" as const,
    told: redis(">", "smessage"),
    others: [
      ...["_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n", `%2\r\n${bulk("a")}:1\r\n${bulk("b")}~1\r\n_\r\n`, "=8\r\ntxt:in\r\n\r\n"],
      `|1\r\n${bulk("a")}:1\r\n${bulk("of this")}`,
      `>3\r\n${bulk("subscribe")}${bulk("wake")}:1\r\n`,
    ],
  },
  {
    name: "NATS",
    kind: "nats" as const,
    told: (place: string, text: string) => `MSG ${place} 7 ${Buffer.byteLength(text)}\r\n${text}\r\n`,
    others: [
      'INFO {"a":1}\r\n',
      "PING\r\n",
      "PONG\r\n",
      "-ERR 'no'\r\n",
      "HMSG _INBOX.1 2 12 18\r\nNATS/1.0\r\n\r\nMSG \r\n\r\n",
      "MSG _INBOX.1 2 3 0\r\n\r\n",
    ],
  },
];

describe.each(WIRES)("Of what $name carries", ({ kind, told, others }) => {
  const stream = Buffer.from(
    numbers(20)
      .map((n) => others[n % others.length] + told("wake", `ü ${n}\r\n$9`))
      .join(""),
  );

  test("each unit is found whole, wherever it is cut, and what is told with where it is told", () => {
    for (const piece of [1, 2, 3, 7, 50, stream.length]) {
      const split = splitter(kind);
      const units = numbers(Math.ceil(stream.length / piece)).flatMap((n) => split(stream.subarray((n - 1) * piece, n * piece)));
      expect(Buffer.concat(units.map(({ bytes }) => bytes)).equals(stream)).toBe(true);
      expect(units.map(({ place }) => place).filter((place) => place === "wake").length).toBe(20);
      expect(units.length).toBe(40);
    }
  });

  describe("by way of a proxy", () => {
    let server: Server;
    let proxy: WakeUpProxy;
    let socket: Socket;
    let end: Socket;
    let got = "";

    beforeEach(async () => {
      server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      proxy = await WakeUpProxy.open({ kind, port: (server.address() as { port: number }).port, places: /^wake$/, lateMs: () => 20 });
      got = "";
      socket = connect({ port: proxy.port, host: "127.0.0.1" });
      socket.setEncoding("utf8").on("data", (text: string) => {
        got += text;
      });
      [end] = (await once(server, "connection")) as [Socket];
    });

    afterEach(async () => {
      socket.destroy();
      await proxy[Symbol.asyncDispose]();
      server.close();
    });

    test.each<[Fate, string[]]>([
      ["passed", ["1", "2", "3"]],
      ["lost", ["1", "3"]],
      ["twice", ["1", "2", "3", "2"]],
      ["late", ["1", "3", "2"]],
      ["swapped", ["1", "3", "2"]],
    ])("one that is %s is so, and everything else is as it was", async (fate, expected) => {
      proxy.fate = ({ bytes }) => (bytes.includes("n2") ? fate : "passed");
      const before = others.join("");
      end.write(`${before}${told("wake", "n1")}${told("wake", "n2")}${told("elsewhere", "n2")}${told("wake", "n3")}`);
      const all = [before, ...["1", "3"].map((n) => told("wake", `n${n}`)), told("elsewhere", "n2")].join("").length;
      const length = all + (expected.length - 2) * told("wake", "n2").length;
      await until("all has come", () => got.length === length);
      expect(got.startsWith(before + told("wake", "n1"))).toBe(true);
      expect(got).toContain(told("elsewhere", "n2"));
      const wakeUps = got.replaceAll(told("elsewhere", "n2"), "").slice(before.length);
      expect(wakeUps).toBe(expected.map((n) => told("wake", `n${n}`)).join(""));
      expect(proxy.injections).toBe(fate === "passed" ? 0 : 1);
    });

    test("what a client asks passes as it is, and an end of one side is an end for the other", async () => {
      let asked = "";
      end.setEncoding("utf8").on("data", (text: string) => {
        asked += text;
      });
      socket.write(told("wake", "asked"));
      await until("it was asked", () => asked === told("wake", "asked"));
      socket.destroy();
      await once(end, "close");
    });
  });
});

test("the parts of each fate are as they are told, and one seed is one story", () => {
  const draw = () => numbers(1_000).map(fates(seededRandom(5), { lost: 0.1, late: 0.2 }));
  const drawn = draw();
  const count = (fate: Fate) => drawn.filter((one) => one === fate).length;
  expect(draw()).toEqual(drawn);
  expect([count("twice"), Math.abs(count("lost") - 100) < 40, Math.abs(count("late") - 200) < 60]).toEqual([0, true, true]);
});
