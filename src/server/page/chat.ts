import type { Client } from "../../client/connect.ts";
import { find, make } from "./element.ts";
import { oneLine, timeOfDay } from "./format.ts";

const CHANNEL = "chat/lobby";
const NAME_KEY = "throughline.name";
const LINES_MAX = 100;

/** A line of talk. Others may publish anything here, so that nothing is taken for granted. */
interface Said {
  readonly name?: unknown;
  readonly text?: unknown;
}

/** People in open tabs. What is said while the network is away waits, and is said once. */
export function openChat(client: Client): void {
  const talk = find("talk");
  const name = find<HTMLInputElement>("name");
  const text = find<HTMLInputElement>("text");
  const channel = client.channel(CHANNEL);
  name.value = remembered();

  channel.subscribe(({ data, at }) => add(talk, data, at), { from: { last: 50 } });

  find<HTMLFormElement>("say").addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = text.value.trim();
    if (said === "") return;
    remember(name.value.trim());
    text.value = "";
    try {
      await channel.publish({ name: name.value.trim() || "Someone", text: said });
    } catch {
      text.value = said;
    }
  });
}

function add(talk: HTMLElement, data: unknown, atMs: number): void {
  const { name, text } = (typeof data === "object" && data !== null ? data : {}) as Said;
  const follows = talk.scrollTop + talk.clientHeight >= talk.scrollHeight - 24;
  const line = make("li");
  const time = make("time", "", timeOfDay(atMs).slice(0, 5));
  time.dateTime = new Date(atMs).toISOString();
  const body = make("span", "said");
  if (typeof name === "string" && name !== "") body.append(make("b", "", name.slice(0, 24)), " ");
  body.append(typeof text === "string" ? text : oneLine(data));
  line.append(time, body);
  talk.append(line);
  if (talk.childElementCount > LINES_MAX) talk.firstElementChild?.remove();
  if (follows) talk.scrollTop = talk.scrollHeight;
}

/** Storage may be forbidden; then a name lasts as long as its page. */
function remembered(): string {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return "";
  }
}

function remember(name: string): void {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // As above
  }
}
