import type { FinalEvent, GapEvent, HistoryEvent, MessageEvent } from "./history.ts";
import { offsetIn } from "./model-line.ts";

/** Does one damage to a history, in place. False: there is nothing in it to be damaged so. `pick` takes one of several by chance. */
type Damage = (events: HistoryEvent[], pick: <Item>(items: readonly Item[]) => Item) => boolean;

/** Single things that a broken line would do. Each must be found wherever it is done. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
  "a delivery is left out": (events, pick) => onMessage(events, pick, (message) => events.splice(events.indexOf(message), 1)),
  "a delivery is repeated": (events, pick) =>
    onMessage(events, pick, (message) => {
      const later = events.filter((event, index) => index > events.indexOf(message) && event.type !== "final");
      const place = pick([message, ...later]);
      events.splice(events.indexOf(place) + 1, 0, { ...message, t: place.t });
    }),
  "two deliveries change places": (events, pick) => {
    const pairs = messagesOf(events).flatMap((one) => {
      const next = events.find((event, index) => index > events.indexOf(one) && "cid" in event && event.cid === one.cid);
      return next?.type === "message" ? [[one, next] as const] : [];
    });
    if (pairs.length === 0) return false;
    const [one, next] = pick(pairs);
    const [early, late] = [events.indexOf(one), events.indexOf(next)];
    events[early] = { ...next, t: one.t };
    events[late] = { ...one, t: next.t };
    return true;
  },
  "a delivery has other data": (events, pick) =>
    onMessage(events, pick, (message) => replace(events, message, { ...message, hash: "damaged" })),
  "a delivery has the data of another message": (events, pick) => {
    const messages = messagesOf(events);
    const places = new Map<string | undefined, number>();
    for (const place of placesOf(events)) places.set(place, (places.get(place) ?? 0) + 1);
    // Where it is seen by nobody else, nothing tells that it is another's
    const seen = messages.filter(({ position }) => places.get(position)! > 1);
    if (seen.length === 0) return false;
    const one = pick(seen);
    const others = messages.filter(({ hash }) => hash !== one.hash);
    return others.length > 0 && replace(events, one, { ...one, hash: pick(others).hash });
  },
  "the log leaves one out": (events, pick) => onFinals(events, pick, (log, index) => log.toSpliced(index, 1)),
  "the log has one at two places": (events, pick) =>
    onFinals(events, pick, (log, index) => [...log, { ...log[index]!, position: nextTo(log.at(-1)!.position) }]),
  "the log lost its last, unseen": (events, pick) => onFinals(events, pick, (log) => log.slice(0, -1)),
  "the log has other data": (events, pick) => onFinals(events, pick, (log, index) => log.with(index, { ...log[index]!, hash: "damaged" })),
  "a gap is not told": (events, pick) => {
    // Of a tail that was rewritten unseen it may be that nobody saw what its first message really followed
    const isRewritten = events.some((event) => event.type === "fault" && event.kind === "rewrite tail");
    const isFelt = ({ reason, since }: GapEvent): boolean => reason === "trimmed" || (offsetIn(since!) > 0 && !isRewritten);
    return onGap(events, pick, isFelt, (gap) => {
      events.splice(events.indexOf(gap), 1);
      return true;
    });
  },
  "a gap miscounts": (events, pick) =>
    onGap(
      events,
      pick,
      ({ reason }) => reason === "trimmed",
      (gap) => replace(events, gap, { ...gap, missing: gap.missing! + 1 }),
    ),
  "a gap resumes further on": (events, pick) =>
    onGap(
      events,
      pick,
      ({ reason }) => reason === "trimmed",
      (gap) => replace(events, gap, { ...gap, resumeFrom: nextTo(gap.resumeFrom), missing: gap.missing! + 1 }),
    ),
  "a gap has no cause": (events, pick) =>
    onGap(
      events,
      pick,
      () => true,
      ({ reason }) => {
        for (const [index, event] of events.entries()) {
          if (event.type === "fault" && event.may !== undefined)
            events[index] = { ...event, may: event.may.filter((one) => one !== reason) };
        }
        return true;
      },
    ),
  "one that was refused is there": (events, pick) => {
    const once = events
      .filter((event) => event.type === "publish")
      .filter(({ hash }, _, all) => all.filter((one) => one.hash === hash).length === 1);
    const seen = once.filter(({ hash }) => contentsOf(events).includes(hash));
    if (seen.length === 0) return false;
    const { seq } = pick(seen);
    return replaceWhere(
      events,
      (event) => event.type === "stored" && event.seq === seq,
      (event) => ({ ...event, type: "refused" }) as HistoryEvent,
    );
  },
  "nobody published it": (events, pick) => {
    const seen = contentsOf(events);
    if (seen.length === 0) return false;
    const hash = pick(seen);
    const seqs = events.flatMap((event) => (event.type === "publish" && event.hash === hash ? [event.seq] : []));
    const kept = events.filter((event) => !("seq" in event && seqs.includes(event.seq)));
    events.splice(0, events.length, ...kept);
    return true;
  },
};

function messagesOf(events: readonly HistoryEvent[]): MessageEvent[] {
  return events.filter((event) => event.type === "message");
}

function contentsOf(events: readonly HistoryEvent[]): string[] {
  return events.flatMap((event) =>
    event.type === "message" ? [event.hash] : event.type === "final" ? event.log.map(({ hash }) => hash) : [],
  );
}

function placesOf(events: readonly HistoryEvent[]): (string | undefined)[] {
  return events.flatMap((event) => {
    if (event.type === "message" || event.type === "stored") return [event.position];
    return event.type === "final" ? event.log.map(({ position }) => position) : [];
  });
}

function nextTo(position: string): string {
  return `${position.slice(0, 21)}${String(offsetIn(position) + 1).padStart(16, "0")}.damaged1`;
}

function onMessage(
  events: HistoryEvent[],
  pick: <Item>(items: readonly Item[]) => Item,
  damage: (message: MessageEvent) => unknown,
): boolean {
  const messages = messagesOf(events);
  if (messages.length === 0) return false;
  damage(pick(messages));
  return true;
}

function onGap(
  events: HistoryEvent[],
  pick: <Item>(items: readonly Item[]) => Item,
  fits: (gap: GapEvent) => boolean,
  damage: (gap: GapEvent) => boolean,
): boolean {
  const gaps = events.filter((event) => event.type === "gap").filter(fits);
  return gaps.length > 0 && damage(pick(gaps));
}

/** The same to what every way shows, so that it is not found by their differing. */
function onFinals(
  events: HistoryEvent[],
  pick: <Item>(items: readonly Item[]) => Item,
  damage: (log: FinalEvent["log"], index: number) => FinalEvent["log"],
): boolean {
  const finals = events.filter((event) => event.type === "final");
  const { log, first } = finals[0]!;
  if (log.length === 0) return false;
  const index = pick([...log.keys()]);
  for (const final of finals) {
    const damaged = damage(log, index);
    const before = finals[0]!.head.slice(0, 21) + String(first - 1).padStart(16, "0");
    replace(events, final, { ...final, log: damaged, head: damaged.at(-1)?.position ?? `${before}.--------` });
  }
  return true;
}

function replace(events: HistoryEvent[], old: HistoryEvent, next: HistoryEvent): boolean {
  events[events.indexOf(old)] = next;
  return true;
}

function replaceWhere(
  events: HistoryEvent[],
  fits: (event: HistoryEvent) => boolean,
  change: (event: HistoryEvent) => HistoryEvent,
): boolean {
  const old = events.find(fits);
  return old !== undefined && replace(events, old, change(old));
}
