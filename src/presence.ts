export { type Presence, type PresenceEvents, type PresenceOptions, presence } from "./client/presence.ts";
export type { Member } from "./client/roll.ts";
