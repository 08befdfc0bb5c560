import { describe, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { freshDirectory, Program, runProgram, startDevProgram } from "./program.ts";

const TRANSPORTS = ["auto", "sse", "websocket", "long-poll"];

async function startServer(): Promise<{ url: readonly string[]; port: number; server: Program; directory: string }> {
  const port = await freePort();
  const directory = freshDirectory();
  const server = await startDevProgram(port, directory);
  return { url: ["--url", `http://127.0.0.1:${port}`], port, server, directory };
}

describe("throughline pub, sub and history", () => {
  test("each line of input is a message, as it stands, and comes out again", async () => {
    const { url } = await startServer();
    const lines = ["one", "", "  indented\tand tabbed  ", '{"json": "is text"}', "ünï✓cödé 🧵", "data: not a field"];
    expect(await runProgram(["pub", "logs/app", ...url], `${lines.join("\r\n")}\nwithout an end`)).toEqual({ code: 0, out: "", err: "" });
    const stored = await runProgram(["history", "logs/app", ...url]);
    expect(stored).toEqual({ code: 0, out: `${[...lines, "without an end"].join("\n")}\n`, err: "" });
  });

  test("a line that comes in pieces is one message, told as soon as it is whole", async () => {
    const { url } = await startServer();
    const pub = new Program(["pub", "a", ...url]);
    const sub = new Program(["sub", "a", "--from", "start", ...url]);
    pub.stdin.write("first, of which the end");
    pub.stdin.write(" comes later\nsecond\nthird, of which");
    await sub.until(({ lines }) => lines.length === 2);
    expect(sub.lines).toEqual(["first, of which the end comes later", "second"]);
  });

  test("one message by --data, as text, as JSON, with an event and a key", async () => {
    const { url } = await startServer();
    expect((await runProgram(["pub", "a", "--data", "12", ...url])).code).toBe(0);
    for (const _ of [1, 2]) {
      const again = ["pub", "a", "--data", '{"total":12345678901234567890}', "--json", "--event", "order", "--key", "k", ...url];
      expect((await runProgram(again)).code).toBe(0);
    }
    const { out } = await runProgram(["history", "a", "--json", ...url]);
    const [first, second, ...rest] = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(first).toEqual({ position: expect.stringMatching(/^.{46}$/), event: "message", data: "12", at: expect.any(Number) });
    expect(second).toMatchObject({ event: "order", data: { total: expect.any(Number) } });
    expect(rest).toEqual([]);
  });

  test("[D5] input that is published again with the same key is stored once", async () => {
    const { url } = await startServer();
    await runProgram(["pub", "a", "--key", "import", ...url], "x\ny\n");
    await runProgram(["pub", "a", "--key", "import", ...url], "x\ny\nz\n");
    expect((await runProgram(["history", "a", ...url])).out).toBe("x\ny\nz\n");
  });

  test("what cannot be stored is told by line and makes the exit code 1, and the rest is stored", async () => {
    const { url } = await startServer();
    const long = "x".repeat(1_048_577);
    const { code, err } = await runProgram(["pub", "a", ...url], `first\n${long}\nlast\n`);
    expect(code).toBe(1);
    expect(err).toMatch(/^throughline: Line 2 was not stored: .*1048576 bytes.*\(too_large\)\n$/);
    expect((await runProgram(["pub", "a", "--json", ...url], `1\n{\n${"[".repeat(20_000)}${"]".repeat(20_000)}\n2\n`)).err).toMatch(
      /^throughline: Line 2 .*bad_json\)\nthroughline: Line 3 .*\)\n$/,
    );
    expect((await runProgram(["history", "a", ...url])).out).toBe("first\nlast\n1\n2\n");
  });

  test("what is wrong for good ends at once, with a sentence", async () => {
    const { url, port } = await startServer();
    const bad = await runProgram(["pub", "not a channel", ...url], "x\ny\n");
    expect(bad.code).toBe(1);
    expect(bad.err).toMatch(/\(bad_channel\)/);
    for (const command of ["sub", "history"]) {
      expect((await runProgram([command, "not a channel", ...url])).code, command).toBe(1);
      expect(await runProgram([command, "a", "--from", "yesterday", ...url]), command).toMatchObject({ code: 1, out: "" });
    }
    expect((await runProgram(["pub", "a", "--data", "x", "--url", "nowhere"])).err).toContain("is not the URL of a server");
    expect((await runProgram(["pub", "a", "--data", "x", "--url", `http://127.0.0.1:${port}/elsewhere`])).code).toBe(1);
    expect((await runProgram(["sub"])).code).toBe(2);
    expect((await runProgram(["sub", "a", "--transport", "pigeon"])).code).toBe(2);
  });

  test("sub begins where it is told, and ends at a signal", async () => {
    const { url } = await startServer();
    await runProgram(["pub", "a", ...url], "1\n2\n3\n");
    const position = JSON.parse((await runProgram(["history", "a", "--limit", "1", "--json", ...url])).out).position;
    for (const [from, expected] of [
      ["start", "1 2 3"],
      ["last:1", "3"],
      [`after:${position}`, "2 3"],
    ] as const) {
      const sub = new Program(["sub", "a", "--from", from, ...url]);
      await sub.until(({ lines }) => lines.at(-1) === "3");
      expect(sub.lines.join(" ")).toBe(expected);
      sub.signal("SIGTERM");
      expect(await sub.exit()).toBe(0);
    }
  });

  test("bytes are printed as base64", async () => {
    const { url, port } = await startServer();
    const bytes = new Uint8Array([0, 255, 10, 13]);
    await fetch(`http://127.0.0.1:${port}/channels/a`, {
      method: "POST",
      body: bytes,
      headers: { "content-type": "application/octet-stream" },
    });
    expect((await runProgram(["history", "a", ...url])).out).toBe("AP8KDQ==\n");
    expect(JSON.parse((await runProgram(["history", "a", "--json", ...url])).out)).toMatchObject({ data: "AP8KDQ==", encoding: "base64" });
  });

  test("[D3] sub tells a gap beside the messages", async () => {
    const directory = freshDirectory();
    const port = await freePort();
    await startDevProgram(port, directory, "--retain-count", "2");
    const url = ["--url", `http://127.0.0.1:${port}`];
    await runProgram(["pub", "a", ...url], "1\n");
    const position = JSON.parse((await runProgram(["history", "a", "--json", ...url])).out).position;
    await runProgram(["pub", "a", ...url], "2\n3\n4\n");
    const sub = new Program(["sub", "a", "--from", `after:${position}`, ...url]);
    await sub.until(({ lines }) => lines.at(-1) === "4");
    expect(sub.lines).toEqual(["3", "4"]);
    expect(sub.err).toContain("Gap: 1 message of a cannot be delivered");
  });

  test("sub and history end well when nobody reads them any more", async () => {
    const { url } = await startServer();
    await runProgram(["pub", "a", ...url], `${"line\n".repeat(500)}`);
    for (const words of [
      ["sub", "a", "--from", "start"],
      ["history", "a", "--limit", "500"],
    ]) {
      const program = new Program([...words, ...url]);
      program.closeOutput();
      expect(await program.exit()).toBe(0);
      expect(program.err).toBe("");
    }
  });

  test("a single message does not wait for a server for ever", async () => {
    const port = await freePort();
    const pub = new Program(["pub", "a", "--data", "x", "--url", `http://127.0.0.1:${port}`]);
    expect(await pub.exit()).toBe(1);
    expect(pub.err).toContain(`http://127.0.0.1:${port} does not answer (ECONNREFUSED).`);
  });

  test("pub ends soon after a signal, and says what it could not store", async () => {
    const port = await freePort();
    const pub = new Program(["pub", "a", "--url", `http://127.0.0.1:${port}`]);
    pub.stdin.write("1\n2\n");
    await pub.until(({ err }) => err.includes("does not answer"));
    pub.signal("SIGINT");
    expect(await pub.exit()).toBe(1);
    expect(pub.err).toContain("2 lines that were read are not known to be stored");
  });

  test("[D2] [D4] [D5] a log that is piped in survives kill -9 of the server: every line once, in order, on every transport", async () => {
    const { url, port, server, directory } = await startServer();
    const subs = TRANSPORTS.map((transport) => new Program(["sub", "logs/app", "--from", "start", "--transport", transport, ...url]));
    const total = 20_000;
    const pub = new Program(["pub", "logs/app", ...url]);
    let written = 0;
    const write = async (count: number): Promise<void> => {
      for (const end = written + count; written < end; ) {
        const block = Array.from({ length: 100 }, () => `line ${++written} ${"x".repeat(written % 80)}`);
        if (!pub.stdin.write(`${block.join("\n")}\n`)) await new Promise((resolve) => pub.stdin.once("drain", resolve));
      }
    };
    let current = server;
    for (let kill = 0; kill < 3; kill++) {
      const writing = write(total / 4);
      // In the midst of it: some of what was sent has been told, and the rest has not
      await subs[0]!.until(({ lines }) => lines.length > (kill * total) / 4);
      await current.kill();
      current = await startDevProgram(port, directory);
      await writing;
    }
    await write(total / 4);
    pub.stdin.end();
    expect(await pub.exit()).toBe(0);
    expect(pub.err).toContain("does not answer");
    expect(pub.err).toContain("is back");
    const expected = Array.from({ length: total }, (_, index) => `line ${index + 1} ${"x".repeat((index + 1) % 80)}`);
    expect(await rawLines(port, total)).toEqual(expected);
    for (const [index, sub] of subs.entries()) {
      await sub.until(({ out }) => out.length >= expected.join("\n").length);
      expect(sub.lines.length, TRANSPORTS[index]).toBe(total);
      expect(sub.lines, TRANSPORTS[index]).toEqual(expected);
    }
  }, 90_000);
});

/** What curl would show: the data lines of a bare event stream. */
async function rawLines(port: number, count: number): Promise<string[]> {
  const abort = new AbortController();
  const response = await fetch(`http://127.0.0.1:${port}/channels/logs/app?from=start`, { signal: abort.signal });
  const lines: string[] = [];
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop() as string;
    for (const line of parts) if (line.startsWith("data: line")) lines.push(line.slice("data: ".length));
    if (lines.length >= count) break;
  }
  abort.abort();
  return lines;
}
