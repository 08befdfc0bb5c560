import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { memory } from "../../src/index.ts";
import { demand } from "../support/http.ts";
import { need } from "../support/need.ts";
import { startServer, type TestServer } from "../support/start-server.ts";
import { PATIENCE_MS, until } from "../support/until.ts";

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** An app as a user writes it, in StrictMode, which mounts everything twice. */
const APP = `
  import { StrictMode, useState } from "react";
  import { createRoot } from "react-dom/client";
  import { connect } from "./src/client.ts";
  import { ThroughlineProvider, useChannel, useConnection, usePresence } from "./src/react.ts";

  function Lobby() {
    const { messages, state, gap, publish } = useChannel("chat/lobby", { from: "start", keep: 3 });
    const connection = useConnection();
    window.publish = publish;
    return <main data-state={state} data-transport={connection.transport} data-gap={gap?.reason}>{messages.map((m) => m.data).join(" ")}</main>;
  }
  function Here({ name }) {
    const members = usePresence("chat/lobby", { name });
    return <aside>{members.map(({ data }) => data.name).sort().join(" ")}</aside>;
  }
  function App() {
    const [shown, show] = useState(true);
    const [name, call] = useState(null);
    window.show = show;
    window.call = call;
    return <>{shown ? <Lobby /> : null}{name ? <Here name={name} /> : null}</>;
  }
  window.client = connect("/", { transport: "sse" });
  createRoot(document.body).render(<StrictMode><ThroughlineProvider client={window.client}><App /></ThroughlineProvider></StrictMode>);
`;

let browser: Browser;
let script: string;
let server: TestServer;
let page: Page;

beforeAll(async () => {
  const stdin = { contents: APP, loader: "tsx" as const, resolveDir: process.cwd() };
  const built = await build({
    stdin,
    bundle: true,
    write: false,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
  });
  script = built.outputFiles[0]!.text;
  browser = await chromium.launch({ executablePath: need("chromium"), args: ARGS });
});
afterAll(() => browser?.close());
afterEach(async () => {
  await page?.close();
  await server?.dispose();
});

async function openApp(): Promise<void> {
  server = await startServer(() => memory());
  page = await browser.newPage();
  await page.route(`${server.url}/app`, (route) =>
    route.fulfill({
      contentType: "text/html",
      body: `<!doctype html><body><script type="module">${script.replaceAll("</script", "<\\/script")}</script>`,
    }),
  );
  await page.goto(`${server.url}/app`);
}

const shows = (text: string) => page.locator("main", { hasText: new RegExp(`^${text}$`) }).waitFor({ timeout: PATIENCE_MS });

describe("React", () => {
  test("[D2] a component shows each message once, the latest that it keeps, in StrictMode too", async () => {
    await openApp();
    await page.locator('main[data-state="live"][data-transport="sse"]').waitFor({ state: "attached" });
    for (const word of ["one", "two", "three", "four"]) await server.tl.channel("chat/lobby").publish(word);
    await shows("two three four");
    expect(await page.locator("main").count()).toBe(1);
  });

  test("[D2] a component that comes back shows what it missed, once", async () => {
    await openApp();
    await server.tl.channel("chat/lobby").publish("one");
    await shows("one");
    await page.evaluate("show(false)");
    await page.locator("main").waitFor({ state: "detached" });
    await server.tl.channel("chat/lobby").publish("two");
    await page.evaluate("show(true)");
    await shows("one two");
  });

  test("[D3] a component is told of a gap", async () => {
    await openApp();
    await server.tl.channel("chat/lobby").publish("one");
    await shows("one");
    await server.restart();
    await page.locator('main[data-gap="epoch"]').waitFor({ state: "attached", timeout: PATIENCE_MS });
  });

  test("a component publishes, and reads nothing any more once it is gone", async () => {
    await openApp();
    await page.locator('main[data-state="live"]').waitFor({ state: "attached" });
    await page.evaluate('publish("mine")');
    await shows("mine");
    await page.evaluate("show(false)");
    await page.waitForFunction("client.transport === null || client.state === 'idle'");
  });

  test("[D9] a component is there while it is mounted, says what changes, and sees who else is, in StrictMode too", async () => {
    await openApp();
    const lobby = server.tl.channel("chat/lobby");
    const names = async () => (await lobby.presence<{ name: string }>()).map(({ data }) => data.name).sort();
    await page.evaluate('call("ada")');
    await demand(`${server.url}/presence/chat/lobby`, { method: "POST", body: { client: "eve", data: { name: "eve" } } });
    await page.locator("aside", { hasText: /^ada eve$/ }).waitFor({ timeout: PATIENCE_MS });
    await page.evaluate('call("bea")');
    await page.locator("aside", { hasText: /^bea eve$/ }).waitFor({ timeout: PATIENCE_MS });
    await page.evaluate("call(null)");
    await until("it has left", async () => String(await names()) === "eve");
  });
});
