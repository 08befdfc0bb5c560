/** Someone who is on a channel: one tab, device or program of a user. The pair of user and client names it. */
export interface Member {
  /** The id of the identity; empty for one that did not say who they are. */
  readonly user: string;
  /** Chosen by the client, one per tab. */
  readonly client: string;
  /** What it says of itself, as its JSON text. */
  readonly data: string;
  /** Counts what the client has said of itself: of two that bear its name the higher one is the later. */
  readonly turn: number;
}

/** A member as watchers see it. Not altered once it is shown. */
export interface Shown {
  readonly member: Member;
  /** A digest of name and data, below 2 ** 48: the sum of all tags is where a watcher stands. */
  readonly tag: number;
}

/** Something that watchers are told once. */
export interface PresenceChange extends Shown {
  readonly type: "join" | "update" | "leave";
  /** Where a watcher stands that knows it. */
  readonly position: string;
}

/** The request by which a client says that it is there, and asks who is. */
export const PRESENCE_REQUEST = "$presence";
