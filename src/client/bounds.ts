/*
 * The numbers of this room, by name. They stand in a file that imports nothing, since then a bundler writes each where it is used.
 */

/** How long an answer may take: `requestSecondsMax` of PROTOCOL.md §12. */
export const REQUEST_MS = 30_000;
/** `waitSecondsMax` of PROTOCOL.md §12. */
export const WAIT_SECONDS = 25;
/** `batchCountMax` of PROTOCOL.md §12. */
export const BATCH_COUNT_MAX = 1_000;
/** Of one POST. At three bytes for a character this is below the 1 MiB that nginx takes as it comes. One that is larger goes alone. */
export const BATCH_CHARS_MAX = 300_000;

/** A pipe that stood so long is not at fault when it is cut, and the backoff window begins anew. A server that cuts sooner must not be asked three times a second. */
export const STEADY_MS = 10_000;
/** So many short lives in a row are a proxy's doing, not chance (three is what ElectricSQL's client counts). */
export const SIGNS_MAX = 3;
/** How long a transport that failed is left alone: doubling with each failure, so that nothing flaps. */
export const SHUN_MS_MIN = 60_000;
export const SHUN_MS_MAX = 1_800_000;

export const TALK_MS = 10_000;
/** So many publishes within TALK_MS are a conversation; fewer are forms being sent, which POST does well. */
export const TALK_MIN = 3;

/** How soon a socket must answer when the page wakes up. */
export const WAKE_MS = 5_000;
/** Behind a long-poll that brought no message that is new: a server that gives such ones at once must not be asked in a hot loop. */
export const PAUSE_MS = 100;
/** No time at all. */
export const NEVER_MS = 1e15;
