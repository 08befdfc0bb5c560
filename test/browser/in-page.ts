import { type Client, connect, type From, type Transport } from "../../src/client.ts";
import { type Presence, presence } from "../../src/presence.ts";

/*
 * What runs in the page: readers of every kind, each of which writes down what it gets. A test asks for these functions by name (`Tab.run`),
 * so what they take and give is JSON.
 */

/** An offset with the data that came with it, or what else was told: a gap, an opening, an end. */
export type Told = readonly [offset: number, data: unknown] | string;

export interface FollowOptions {
  readonly channel: string;
  readonly transport?: Transport | "auto";
  readonly from?: From;
  /** Keeps what it was told, and its position, in sessionStorage, and goes on from there. */
  readonly kept?: boolean;
  /** Draws the longest of all waits each time. For who does not publish: keys are drawn too. */
  readonly unlucky?: boolean;
}

const stories = new Map<string, Told[]>();
const sources = new Map<string, EventSource>();
const sockets = new Map<string, WebSocket>();
const shows: boolean[] = [];
const visibility: string[] = [];
let client: Client | undefined;
let here: Presence | undefined;

addEventListener("pageshow", ({ persisted }) => shows.push(persisted));
for (const name of ["visibilitychange", "freeze", "resume"]) {
  document.addEventListener(name, () => visibility.push(name === "visibilitychange" ? document.visibilityState : name));
}

export function story(reader: string): Told[] {
  return tell(reader);
}

/** How many messages it has been told of. */
export function count(reader: string): number {
  return tell(reader).filter((told) => typeof told !== "string").length;
}

/** Tells the page that it is about to go, before it does. */
export function sayGoing(): void {
  dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
}

/** Tells the page that it is left for good, before it is. */
export function sayLeaving(): void {
  dispatchEvent(new PageTransitionEvent("pagehide", { persisted: false }));
}

/** For each time the page was shown: whether it came out of the back/forward cache. */
export function shown(): boolean[] {
  return shows;
}

/** What the page was told of its being seen. */
export function seen(): string[] {
  return visibility;
}

/** A bare EventSource, which is what most pages have. */
export function listen(reader: string, url: string): void {
  const source = new EventSource(url);
  sources.set(reader, source);
  source.onopen = () => tell(reader).push("open");
  source.onmessage = ({ data, lastEventId }) => tell(reader).push([offsetOf(lastEventId), JSON.parse(data)]);
  source.addEventListener("gap", ({ data }) => tell(reader).push(`gap ${JSON.parse(data).reason}`));
  source.addEventListener("bye", ({ data }) => tell(reader).push(`bye ${JSON.parse(data).code}`));
}

/** One EventSource for many channels: each message goes to the story of its channel, `reader channel`; ids to that of the reader. */
export function listenToMany(reader: string, url: string): void {
  const source = new EventSource(url);
  sources.set(reader, source);
  source.onopen = () => tell(reader).push("open");
  source.onmessage = ({ data, lastEventId }) => {
    const { channel, position, data: payload } = JSON.parse(data);
    tell(`${reader} ${channel}`).push([offsetOf(position), payload]);
    tell(reader).push(lastEventId);
  };
}

/** What tutorials teach: on an error a new EventSource, which knows nothing of the old one's position. */
export function listenNaively(reader: string, url: string): void {
  const source = new EventSource(url);
  source.onmessage = ({ data, lastEventId }) => tell(reader).push([offsetOf(lastEventId), JSON.parse(data)]);
  source.onerror = () => {
    source.close();
    setTimeout(() => listenNaively(reader, url), 500);
  };
}

export function closeSource(reader: string): void {
  sources.get(reader)!.close();
}

/** A bare WebSocket, which reads what its URL names. With `tokens` (perhaps none) it offers the subprotocols that carry one. */
export function openSocket(reader: string, url: string, tokens?: readonly string[]): void {
  const address = url.replace(/^http/, "ws");
  const bearers = tokens?.map((token) => `throughline.bearer.${btoa(token).replaceAll("=", "")}`);
  const socket = bearers ? new WebSocket(address, ["throughline", ...bearers]) : new WebSocket(address);
  sockets.set(reader, socket);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== "string") {
      const headBytes = new DataView(data).getUint32(0);
      const head = JSON.parse(new TextDecoder().decode(data.slice(4, 4 + headBytes)));
      tell(reader).push([Number.parseInt(head.id, 10), [...new Uint8Array(data, 4 + headBytes)]]);
      return;
    }
    const frame = JSON.parse(data);
    if (frame.type === undefined) tell(reader).push([Number.parseInt(frame.id, 10), frame.data]);
    else if (frame.type !== "heartbeat") tell(reader).push(frame.type === "bye" ? `bye ${frame.code}` : frame.type);
  };
  socket.onclose = ({ code, wasClean }) => tell(reader).push(`closed ${code} ${wasClean ? "cleanly" : "without a word"}`);
}

export function sendFrame(reader: string, frame: unknown): void {
  sockets.get(reader)!.send(JSON.stringify(frame));
}

export function sendBytes(reader: string, head: unknown, bytes: readonly number[]): void {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const frame = new Uint8Array(4 + text.length + bytes.length);
  new DataView(frame.buffer).setUint32(0, text.length);
  frame.set(text, 4);
  frame.set(bytes, 4 + text.length);
  sockets.get(reader)!.send(frame);
}

/** The page's one client, as an application has it. Nobody listens to its errors, so that what does not mend itself reaches `window.onerror`. */
export function follow(
  reader: string,
  { channel: name, transport = "auto", from = "start", kept = false, unlucky = false }: FollowOptions,
): void {
  client ??= connect("/", { transport, ...(unlucky && { random: () => 0.999 }) });
  const channel = client.channel(name);
  const saved = kept ? sessionStorage.getItem(reader) : null;
  const { position, told } = saved ? JSON.parse(saved) : { position: null, told: [] };
  const own: Told[] = told;
  stories.set(reader, own);
  channel.on("gap", ({ reason }) => own.push(`gap ${reason}`));
  channel.subscribe(
    (message) => {
      own.push([message.offset, message.data instanceof Uint8Array ? [...message.data] : message.data]);
      if (kept) sessionStorage.setItem(reader, JSON.stringify({ position: message.position, told: own }));
    },
    { from: position ? { after: position } : from },
  );
}

export function hearSignals(reader: string, name: string): void {
  client!.channel(name).on("signal", ({ event, data }) => tell(reader).push(`${event} ${JSON.stringify(data)}`));
}

/** Publishes without waiting in between, and says where each stands. */
export async function publish(name: string, data: readonly unknown[]): Promise<number[]> {
  const channel = client!.channel(name);
  const published = await Promise.all(data.map((one) => channel.publish(one)));
  return published.map(({ position }) => offsetOf(position));
}

export async function publishBytes(name: string, bytes: readonly number[]): Promise<number> {
  return offsetOf((await client!.channel(name).publish(new Uint8Array(bytes))).position);
}

export function signal(name: string, event: string, data: unknown): void {
  client!.channel(name).signal(event, data);
}

/** The answer, or the code of what was told instead. */
export async function request(name: string, what: string, data: unknown): Promise<unknown> {
  return client!
    .channel(name)
    .request(what, data)
    .catch(({ code }) => code);
}

/** Moves at once whenever it has moved, through all of them, so many times in all. */
export async function moveAbout(transports: readonly Transport[], moves: number): Promise<void> {
  for (let move = 0; move < moves; move++) {
    const to = transports[move % transports.length]!;
    client!.switchTo(to);
    if (client!.transport === to) continue;
    await new Promise<void>((resolve) => {
      const heard = client!.on("transport", (transport) => {
        if (transport !== to) return;
        heard.unsubscribe();
        resolve();
      });
    });
  }
}

/** Is on a channel from now on, by the client. */
export function attend(channel: string, data: unknown): void {
  here = presence(client!.channel(channel), data);
}

/** What those who are there say of themselves. */
export function members(): unknown[] {
  return here!.members.map(({ data }) => data);
}

export interface Fared {
  readonly state: string;
  readonly transport: Transport | null;
  readonly reason: string;
  readonly switches: number;
  readonly reconnects: number;
  readonly gaps: number;
  /** The code of what ended it. */
  readonly error: string | null;
}

export function fared(): Fared {
  const { state, transport, reason, counts, error } = client!;
  const { switches, reconnects, gaps } = counts;
  return { state, transport, reason, switches, reconnects, gaps, error: error?.code ?? null };
}

function tell(reader: string): Told[] {
  const told = stories.get(reader) ?? [];
  stories.set(reader, told);
  return told;
}

function offsetOf(position: string): number {
  return Number(position.split(".")[1]);
}
