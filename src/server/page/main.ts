import { connect } from "../../client/connect.ts";
import type { ConnectionState } from "../../client/connection-state.ts";
import type { ThroughlineError } from "../../protocol/error.ts";
import { everyFrame } from "./canvas.ts";
import { openChat } from "./chat.ts";
import { find, setText } from "./element.ts";
import { count } from "./format.ts";
import { showMachine } from "./machine-panel.ts";
import { createNetwork } from "./network.ts";
import { createPane } from "./pane.ts";
import { openPasteLines } from "./paste-lines.ts";

const BURST = 1_000;
const CUT_MS = 5_000;
const BACKLOG = 20;
const RETRY_MS = 500;
/** A person watches, so that it comes back soon; and a burst and what is said wait for the network together. */
const LIMITS = { backoffMsMax: 2_000, outboxCountMax: 4 * BURST };

const network = createNetwork();
const options = { fetch: network.fetch, WebSocket: network.WebSocket, limits: LIMITS };
// Two connections for everything on the page, and only one of them counts against the six that HTTP/1.1 has for all tabs of a browser.
const first = connect("/", { ...options, transport: "sse" });
const second = connect("/", { ...options, transport: "websocket" });
const panes = [createPane("a", first), createPane("b", second)];
find("panes").append(...panes.map(({ element }) => element));
// What goes wrong is seen in the states; a browser's console is not the place for it
for (const client of [first, second]) client.on("error", () => {});

showMachine(first);
openChat(first);
const nameChannel = openPasteLines();
openChannel();
openActs();
showState();

/** The channel that both panes read; it stands in the URL, so that a reload and a bookmark keep it. */
function openChannel(): void {
  const field = find<HTMLInputElement>("channel");
  const note = find("channel-error");
  let wanted = "";

  async function read(name: string): Promise<void> {
    wanted = name;
    field.value = name;
    field.removeAttribute("aria-invalid");
    setText(note, "");
    nameChannel(name);
    // Both panes begin at the same position, so that their counts can be compared
    for (;;) {
      try {
        const { position } = await first.channel(name).history({ from: { last: BACKLOG + 1 }, limit: 1 });
        if (wanted === name) for (const pane of panes) pane.read(name, position);
        return;
      } catch (error) {
        if (wanted !== name) return;
        if ((error as ThroughlineError).code === "bad_channel") {
          field.setAttribute("aria-invalid", "true");
          setText(note, "A channel is a path of letters, digits and _ . : @ ~ + = , - such as logs/app.");
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  find("channel-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (name !== "" && name !== wanted) location.hash = encodeURI(name);
  });
  const fromUrl = (): void => void read(decodeURI(location.hash.slice(1)) || "demo/feed");
  addEventListener("hashchange", fromUrl);
  fromUrl();
}

function openActs(): void {
  const burst = find<HTMLButtonElement>("burst");
  const cut = find<HTMLButtonElement>("cut");
  const note = find("act-note");
  const cutLabel = cut.textContent ?? "";
  let bursts = 0;

  burst.addEventListener("click", async () => {
    const name = find<HTMLInputElement>("channel").value.trim();
    const channel = first.channel(name);
    const number = ++bursts;
    const beganMs = performance.now();
    burst.disabled = true;
    setText(note, `Publishing ${count(BURST)} messages.`);
    const texts = Array.from({ length: BURST }, (_, index) => `burst ${number}, message ${count(index + 1)} of ${count(BURST)}`);
    const results = await Promise.allSettled(texts.map((text) => channel.publish(text)));
    const stored = results.filter(({ status }) => status === "fulfilled").length;
    const refused = stored < BURST ? `, ${count(BURST - stored)} not` : "";
    setText(note, `${count(stored)} messages stored${refused} in ${count(performance.now() - beganMs)} ms.`);
    burst.disabled = false;
  });

  cut.addEventListener("click", () => {
    network.cut(CUT_MS);
    cut.disabled = true;
    const tick = (): void => {
      const leftMs = network.cutUntilMs - performance.now();
      cut.disabled = leftMs > 0;
      setText(cut, leftMs > 0 ? `Network cut, ${Math.ceil(leftMs / 1_000)} s left` : cutLabel);
      if (leftMs > 0) setTimeout(tick, 100);
    };
    tick();
  });
}

const STATES: readonly (readonly [ConnectionState, string])[] = [
  ["failed", "Failed"],
  ["closed", "Closed"],
  ["offline", "Offline"],
  ["reconnecting", "Reconnecting"],
  ["connecting", "Connecting"],
  ["idle", "Connecting"],
  ["connected", "Live"],
];

/** The worse of the two connections is the state of the page. */
function showState(): void {
  const state = find("state");
  const text = find("state-text");
  const halves = find("through").querySelectorAll("span");
  everyFrame(() => {
    const [worst, word] = STATES.find(([name]) => first.state === name || second.state === name) ?? ["connected", "Live"];
    state.dataset["state"] = worst;
    setText(text, word);
    for (const [index, client] of [first, second].entries()) {
      const half = halves[index];
      if (half) half.dataset["transport"] = client.transport ?? "none";
    }
    for (const pane of panes) pane.draw();
  });
}
