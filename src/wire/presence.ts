import type { PresenceChange, Shown } from "../protocol/presence.ts";
import { formatEvent } from "./sse.ts";

const encoder = new TextEncoder();

/** A list that many watchers are given is written once. Lists are not altered, and are let go of with what was made of them. */
function once<List extends object, Made>(make: (list: List) => Made): (list: List) => Made {
  const known = new WeakMap<List, Made>();
  return (list) => {
    let made = known.get(list);
    if (made === undefined) {
      made = make(list);
      known.set(list, made);
    }
    return made;
  };
}

/** Members as a JSON array (PROTOCOL.md §13). */
export const membersJson: (members: readonly Shown[]) => string = once((members) => `[${members.map((one) => `{${fieldsOf(one)}}`)}]`);

/** Changes as a JSON array. */
export const changesJson: (changes: readonly PresenceChange[]) => string = once((changes) => `[${changes.map(changeJson)}]`);

/** All that a watcher lacks, as events. The last one says where it leads: whoever is cut before it lacks updates that were passed over, and is told all of it again. */
export const changesSse: (changes: readonly PresenceChange[]) => Uint8Array = once((changes) =>
  encodeChanges(changes, changes.at(-1)?.position),
);

/** A part of it, behind which more follows. */
export const changesPartSse: (changes: readonly PresenceChange[]) => Uint8Array = once((changes) => encodeChanges(changes, undefined));

/** A page of members as an event. Only the last one says where it leads: whoever is cut before it begins anew. */
export function membersSse(members: readonly Shown[], count: number, isFirst: boolean, position: string | null): Uint8Array {
  const data = `{"count":${count},"first":${isFirst},"last":${position !== null},"members":${membersJson(members)}}`;
  return encoder.encode(formatEvent({ event: "members", ...(position === null ? {} : { id: position }), data }));
}

/** The first event of a watcher's stream. It has no id, since it leads nowhere. */
export function watchingSse(about: { channel: string; connection: string; heartbeatSeconds: number }, retryMs: number): Uint8Array {
  return encoder.encode(formatEvent({ retry: retryMs, event: "connected", data: JSON.stringify(about) }));
}

function encodeChanges(changes: readonly PresenceChange[], position: string | undefined): Uint8Array {
  const last = changes.length - 1;
  const events = changes.map((one, index) =>
    formatEvent({ event: one.type, ...(index === last && position !== undefined && { id: position }), data: `{${fieldsOf(one)}}` }),
  );
  return encoder.encode(events.join(""));
}

function changeJson(change: PresenceChange): string {
  return `{"change":"${change.type}",${fieldsOf(change)}}`;
}

function fieldsOf({ member: { user, client, data }, tag }: Shown): string {
  return `"user":${JSON.stringify(user)},"client":"${client}","data":${data},"tag":${tag}`;
}
