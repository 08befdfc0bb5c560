import { writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { freshDirectory, Program, startDevProgram } from "./program.ts";

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** fetch sets Host by itself, so this is node:http. */
function ask(port: number, path: string, headers: Record<string, string> = {}, method = "GET", body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      res.on("end", () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

const JSON_ONLY = { accept: "application/json" };

describe("throughline dev", () => {
  test("prints its URL, and lines to paste that read and publish", async () => {
    const port = await freePort();
    const dev = await startDevProgram(port);
    expect(dev.out).toContain(`http://127.0.0.1:${port}\n`);
    expect(dev.out).toContain(`curl -N http://127.0.0.1:${port}/channels/demo/feed`);
    expect(dev.out).toMatch(new RegExp(`echo hello \\| .*throughline.* pub demo/feed --url http://127\\.0\\.0\\.1:${port}`));
    expect(dev.err).toBe("");
  });

  test("serves the live page with its assets, and lets nothing foreign into it", async () => {
    const port = await freePort();
    await startDevProgram(port);
    const page = await ask(port, "/");
    expect(page.status).toBe(200);
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(page.headers["x-content-type-options"]).toBe("nosniff");
    const policy = String(page.headers["content-security-policy"]);
    expect(policy).toContain("default-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
    expect(page.body).not.toMatch(/<script(?![^>]*src=)|<style|style=|onclick=|%COMMAND%|https?:/);
    const types = { "/main.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml" };
    for (const [path, type] of Object.entries(types)) {
      const asset = await ask(port, path);
      expect([asset.status, asset.headers["content-type"]], path).toEqual([200, type]);
      expect(page.body, "the page uses what is served").toContain(path);
    }
    expect((await ask(port, "/", {}, "POST")).status).toBe(405);
    expect((await ask(port, "/../package.json")).status).toBe(404);
    expect((await ask(port, "/index.html")).status).toBe(404);
  });

  test("[D8] takes neither foreign host names nor foreign pages, on any path", async () => {
    const port = await freePort();
    await startDevProgram(port);
    const foreign = { host: "rebound.example" };
    for (const path of ["/", "/main.js", "/channels/demo/feed"]) expect((await ask(port, path, foreign)).status, path).toBe(421);
    const page = { origin: "https://evil.example", "content-type": "text/plain" };
    expect((await ask(port, "/channels/a", page, "POST", "forged")).status).toBe(403);
    expect((await ask(port, "/publish", page, "POST", "[]")).status).toBe(403);
    const upgrade = {
      ...page,
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    };
    expect((await ask(port, "/socket", upgrade)).status).toBe(403);
    expect(JSON.parse((await ask(port, "/channels/a", JSON_ONLY)).body).messages).toEqual([]);
    const own = { origin: `http://localhost:${port}`, "content-type": "text/plain" };
    expect((await ask(port, "/channels/a", own, "POST", "mine")).status).toBe(201);
  });

  test("publishes how the machine fares, once a second", async () => {
    const port = await freePort();
    const dev = await startDevProgram(port, undefined, "--memory");
    expect(dev.out).toContain("in memory");
    const page = JSON.parse((await ask(port, "/channels/machine/stats?wait=10&from=start", JSON_ONLY)).body);
    const { cpu, memory, network } = page.messages[0].data;
    expect(cpu.total).toBeGreaterThanOrEqual(0);
    expect(cpu.total).toBeLessThanOrEqual(1);
    expect(cpu.cores.length).toBeGreaterThan(0);
    expect(memory.used).toBeGreaterThan(0);
    expect(memory.used).toBeLessThan(memory.total);
    if (process.platform === "linux") expect(network.received).toBeGreaterThanOrEqual(0);
  });

  test("keeps of a channel what it is told to", async () => {
    const port = await freePort();
    await startDevProgram(port, undefined, "--retain-count", "3");
    for (let index = 0; index < 5; index++) await ask(port, "/channels/a", { "content-type": "text/plain" }, "POST", `${index}`);
    const page = JSON.parse((await ask(port, "/channels/a", JSON_ONLY)).body);
    expect(page.messages.map(({ data }: { data: string }) => data)).toEqual(["2", "3", "4"]);
  });

  test("says what to do if the port is in use, and ends with 1", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as { port: number };
    const dev = new Program(["dev", "--port", String(port)]);
    expect(await dev.exit()).toBe(1);
    expect(dev.err).toMatch(new RegExp(`^throughline: Port ${port} .* is in use.* --port ${port + 1}`));
    other.close();
  });

  test("says what to do about a directory that is a file, foreign, newer, or in use, and ends with 1", async () => {
    const directory = freshDirectory();
    const refused = async (data: string): Promise<string> => {
      const dev = new Program(["dev", "--port", "0", "--data", data]);
      expect(await dev.exit()).toBe(1);
      expect(dev.err.split("\n"), "one sentence, no stack").toHaveLength(2);
      return dev.err;
    };
    writeFileSync(join(directory, "file"), "");
    expect(await refused(join(directory, "file"))).toContain("Name a directory");
    const foreign = freshDirectory();
    writeFileSync(join(foreign, "data.mdb"), "not ours");
    expect(await refused(foreign)).toContain("not made by Throughline");
    const newer = freshDirectory();
    writeFileSync(join(newer, "format.json"), '{"name":"throughline","formatVersion":999}');
    expect(await refused(newer)).toContain("newer Throughline");
    await startDevProgram(await freePort(), directory);
    expect(await refused(join(directory, "data"))).toContain("in use by process");
  });

  for (const name of ["SIGTERM", "SIGINT"] as const) {
    test(`at ${name} says bye to every reader, and ends with 0`, async () => {
      const port = await freePort();
      const dev = await startDevProgram(port);
      const streams = [ask(port, "/channels/demo/feed"), ask(port, "/events?channel=demo/feed")];
      await ask(port, "/channels/demo/feed?wait=10", JSON_ONLY);
      dev.signal(name);
      expect(await dev.exit()).toBe(0);
      for (const stream of streams) expect((await stream).body).toMatch(/event: bye\ndata: \{.*"code":"restart".*\}\n\n$/);
      expect(dev.err).toBe("");
    });
  }

  test("goes on with what was stored, after kill -9", async () => {
    const directory = freshDirectory();
    const port = await freePort();
    const dev = await startDevProgram(port, directory);
    expect((await ask(port, "/channels/a", { "content-type": "text/plain" }, "POST", "kept")).status).toBe(201);
    await dev.kill();
    await startDevProgram(port, directory);
    const page = JSON.parse((await ask(port, "/channels/a", JSON_ONLY)).body);
    expect(page.messages.map(({ data }: { data: string }) => data)).toEqual(["kept"]);
  });
});
