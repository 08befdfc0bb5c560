import type { Channel } from "../../client/channel.ts";
import type { Client } from "../../client/connect.ts";
import type { Transport } from "../../client/options.ts";
import { make, setText } from "./element.ts";
import { count, oneLine } from "./format.ts";
import { createLane } from "./lane.ts";
import { createRowList } from "./row-list.ts";
import { createTally, type Tally } from "./tally.ts";

export const TRANSPORT_NAMES: Readonly<Record<Transport, string>> = { sse: "SSE", websocket: "WebSocket", "long-poll": "Long-poll" };

/** A longer text would only cost: nobody sees more of it. */
const TEXT_CHARS_MAX = 300;

/** One reader of a channel, and what became of it. */
export interface Pane {
  readonly element: HTMLElement;
  /** Reads another channel, from a position on. */
  read(name: string, after: string): void;
  draw(): void;
}

/** `id` names it in the page's markup. `client` is its own way to the server, which it may share with others. */
export function createPane(id: string, client: Client): Pane {
  const element = make("article", "pane");
  element.id = `pane-${id}`;
  const title = make("h3");
  const state = make("span", "pane-state");
  const lane = createLane();
  const choice = createChoice(id, (transport) => client.switchTo(transport));
  const numbers = createNumbers();
  const reason = make("dd");
  const position = make("dd", "position", "–");
  const rows = createRowList(`Messages of pane ${id.toUpperCase()}`);
  const head = make("header");
  head.append(title, state);
  const about = make("dl", "about");
  about.append(make("dt", "", "Reason"), reason, make("dt", "", "Position"), position);
  element.append(head, choice.element, lane.element, numbers.element, about, rows.element);

  let channel: Channel | null = null;
  let tally: Tally = createTally(null);
  let last: Transport | null = null;
  let ending: AbortController | null = null;

  function mark(text: string, kind: string): void {
    rows.add({ lead: "", text, kind: `mark ${kind}` });
  }

  function onTransport(transport: Transport | null): void {
    lane.carriedBy(transport);
    if (transport === null) mark("The pipe was cut", "cut");
    else if (last === null) mark(`Over ${TRANSPORT_NAMES[transport]}`, transport);
    else
      mark(
        last === transport ? `Again over ${TRANSPORT_NAMES[transport]}` : `From ${TRANSPORT_NAMES[last]} to ${TRANSPORT_NAMES[transport]}`,
        transport,
      );
    last = transport ?? last;
  }
  client.on("transport", onTransport);
  // A transport that does not get through leaves the old one as it is; so must the choice
  client.on("error", () => client.state === "connected" && choice.forget());

  return {
    element,
    read(name, after) {
      ending?.abort();
      ending = new AbortController();
      const { signal } = ending;
      tally = createTally(after);
      rows.clear("Nothing has been published here yet.");
      const own = tally;
      channel = client.channel(name);
      const gaps = channel.on("gap", ({ reason: why, missing, resumeFrom }) => {
        mark(`Gap: ${missing === null ? "some" : count(missing)} not kept any more (${why})`, "gap");
        own.resume(resumeFrom);
      });
      signal.addEventListener("abort", () => gaps.unsubscribe());
      channel.subscribe(
        ({ position: at, offset, event, data }) => {
          own.take(at);
          lane.arrived();
          const text = oneLine(data).slice(0, TEXT_CHARS_MAX);
          rows.add({ lead: count(offset), text: event === "message" || event === "sample" ? text : `${event}  ${text}`, kind: "" });
        },
        { from: { after }, signal },
      );
    },
    draw() {
      const { transport } = client;
      element.dataset["transport"] = transport ?? "none";
      setText(title, TRANSPORT_NAMES[transport ?? last ?? "sse"]);
      setText(state, stateOf(client, channel));
      element.dataset["state"] = client.state;
      setText(reason, client.error?.message ?? client.reason);
      choice.show(transport ?? last);
      numbers.show(tally);
      setText(position, tally.position ?? "–");
      lane.draw();
      rows.draw();
    },
  };
}

/** What a person wants to know: is it up to date? */
function stateOf(client: Client, channel: Channel | null): string {
  if (client.state !== "connected") return client.state;
  return channel?.state === "catching-up" ? "catching up" : (channel?.state ?? "connected");
}

function createChoice(id: string, onChoose: (transport: Transport) => void) {
  const element = make("fieldset", "choice");
  element.append(make("legend", "unseen", "Transport"));
  const inputs = (Object.keys(TRANSPORT_NAMES) as Transport[]).map((transport) => {
    const input = make("input");
    input.type = "radio";
    input.name = `transport-${id}`;
    input.value = transport;
    input.addEventListener("change", () => onChoose(transport));
    const label = make("label");
    label.dataset["transport"] = transport;
    label.append(input, make("span", "", TRANSPORT_NAMES[transport]));
    element.append(label);
    return input;
  });
  let shown: Transport | null = null;
  return {
    element,
    /** Shows what runs, also if that has not changed since. */
    forget(): void {
      shown = null;
    },
    /** Follows what runs; a choice under way is not undone before something new runs. */
    show(transport: Transport | null): void {
      if (transport === shown) return;
      shown = transport;
      for (const input of inputs) input.checked = input.value === transport;
    },
  };
}

function createNumbers() {
  const element = make("dl", "numbers");
  const cells = (["received", "missing", "twice", "outOfOrder"] as const).map((name) => {
    const cell = make("div");
    cell.dataset["counter"] = name;
    const value = make("dd", "", "0");
    cell.append(make("dt", "", name === "outOfOrder" ? "out of order" : name), value);
    element.append(cell);
    return { name, cell, value };
  });
  return {
    element,
    show({ counters }: Tally): void {
      for (const { name, cell, value } of cells) {
        setText(value, count(counters[name]));
        if (name !== "received") cell.classList.toggle("bad", counters[name] > 0);
      }
    },
  };
}
