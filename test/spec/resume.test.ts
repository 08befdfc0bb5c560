import { describe, expect } from "vitest";
import { byChance, LOBBY, numbers, offsets, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

describe("Resuming", () => {
  promise("[D2] a reader that comes back at its position gets what it missed, once", {}, async ({ connect, publish }) => {
    const reader = await connect();
    const before = await publish(3);
    expect(await reader.next(3)).toEqual(before);
    reader.close();
    const missed = await publish(5);
    const again = await connect({ after: reader });
    const after = await publish(2);
    expect(await again.next(7)).toEqual([...missed, ...after]);
  });

  promise("[D2] every position of the log is one to resume from", { on: "one" }, async ({ connect, publish }) => {
    const sent = await publish(12);
    for (const [index, { position }] of sent.entries()) {
      const reader = await connect({ from: `after:${position}` });
      const rest = sent.slice(index + 1);
      expect(await reader.next(rest.length)).toEqual(rest);
      reader.close();
    }
  });

  promise("[D2] a reader that was cut before its first message resumes where it began", {}, async (stage) => {
    const { connect, comeBack, publish, server } = stage;
    await publish(2);
    const reader = await connect();
    server.cut();
    const missed = await publish(3);
    const again = await comeBack(reader);
    expect(await again.next(3)).toEqual(missed);
  });

  promise("[D2] a reader of an empty channel that was cut gets the first message", {}, async ({ connect, comeBack, publish, server }) => {
    const reader = await connect();
    server.cut();
    const missed = await publish(2);
    const again = await comeBack(reader);
    expect(await again.next(2)).toEqual(missed);
  });

  promise(
    "[D2] Last-Event-ID, which a browser sends by itself, wins over the URL's from",
    { needs: ["resumesByHeader"] },
    async ({ connect, publish }) => {
      const reader = await connect();
      await publish(2);
      await reader.next(2);
      reader.close();
      const missed = await publish(3);
      const again = await connect({ from: "start", lastEventId: reader.lastEventId });
      expect(await again.next(3)).toEqual(missed);
    },
  );

  promise(
    "[D2] ?lastEventId= does the same for who cannot set the header",
    { needs: ["resumesByHeader"], over: "one" },
    async ({ publish, ask }) => {
      const sent = await publish(5);
      const { json } = await ask(`/channels/${LOBBY}?wait=5&lastEventId=${sent[2]?.position}&from=start`);
      expect(offsets(json.messages)).toEqual([4, 5]);
    },
  );

  promise("[D2] cut at random places while messages pass, a reader has every one, once", {}, async (stage) => {
    const { connect, comeBack, server } = stage;
    const wanted = 500;
    const got: number[] = [];
    const publishing = (async () => {
      for (const n of numbers(wanted)) {
        await server.tl.channel(LOBBY).publish(n);
        if (n % 20 === 0) await until("the reader comes along", () => n < got.length + 100);
      }
    })();
    await byChance(async (below) => {
      let reader = await connect({ from: "start" });
      while (got.length < wanted) {
        got.push(...offsets(await reader.next(Math.min(1 + below(80), wanted - got.length))));
        server.cut();
        reader = await comeBack(reader);
      }
    });
    await publishing;
    expect(got).toEqual(numbers(wanted));
  });

  promise("[D2] a client comes back by itself, as often as it is cut", { needs: ["comesBack"] }, async ({ connect, publish, server }) => {
    const reader = await connect();
    for (const _ of numbers(3)) {
      server.cut();
      const sent = await publish(4);
      expect(await reader.next(4)).toEqual(sent);
    }
  });

  promise("[D2] a server that restarts loses a reader nothing", { needs: ["restart"], atOnce: true }, async (stage) => {
    const { connect, comeBack, publish, server } = stage;
    const reader = await connect();
    const before = await publish(3);
    expect(await reader.next(3)).toEqual(before);
    await server.restart();
    const missed = await publish(3);
    const again = await comeBack(reader);
    expect(await again.next(3)).toEqual(missed);
  });

  promise("[D2] [D10] readers that come while messages pour in all have an unbroken line to the end", { on: "each" }, async (stage) => {
    const { connect, server } = stage;
    const total = 1_500;
    const lobby = server.tl.channel(LOBBY);
    await byChance(async (below) => {
      let published = 0;
      const pouring = (async () => {
        while (published < total) {
          const some = numbers(Math.min(1 + below(20), total - published), published + 1);
          published += some.length;
          await Promise.all(some.map((n) => lobby.publish(n)));
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const coming = numbers(12).map(async (n) => {
        await until("it is its turn", () => published >= (n * total) / 14);
        const reader = await connect({ from: ["now", "start", "last:20", "last:400"][n % 4] ?? "" });
        await until("it has reached the end", () => reader.position.slice(21, 37) === String(total).padStart(16, "0"));
        return offsets(await reader.next(reader.inbox.waiting));
      });
      await pouring;
      for (const got of await Promise.all(coming)) expect(got).toEqual(numbers(got.length, total - got.length + 1));
    });
  });

  promise("[D10] a reader that resumes far behind reaches the end", { on: "one" }, async ({ connect, publish }) => {
    await publish(1);
    const reader = await connect({ from: "start" });
    await reader.next(1);
    reader.close();
    const missed = await publish(3_000, { size: 500 });
    const again = await connect({ after: reader });
    expect(offsets(await again.next(3_000))).toEqual(offsets(missed));
  });

  promise("a reader that resumes at the head is told nothing but what comes", {}, async ({ connect, publish, server }) => {
    await publish(3);
    const reader = await connect({ from: "start" });
    await reader.next(3);
    reader.close();
    const again = await connect({ after: reader });
    await until("it reads", () => server.tl.counts().readers > 0);
    const sent = await publish(1);
    expect(await again.next(1)).toEqual(sent);
  });

  for (const position of ["", "x", "000001a1b2c3d4Zk3x9QpA.0000000000000042", "000001a1b2c3d4Zk3x9QpA.9999999999999999.f3Zk9dQ1"]) {
    promise(`what is no position, such as ${JSON.stringify(position)}, is refused with bad_position`, { on: "one" }, async (stage) => {
      const { ask, connect } = stage;
      const answer = await ask(`/channels/${LOBBY}?from=${encodeURIComponent(`after:${position}`)}`);
      expect([answer.status, answer.json.error.code]).toEqual([400, "bad_position"]);
      await expect(connect({ from: `after:${position}` })).rejects.toMatchObject({ code: "bad_position" });
    });
  }
});
