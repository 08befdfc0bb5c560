import type { Digest, Sighting, Stretch } from "./replica.ts";

/**
 * What nodes tell each other about a channel's members, by `Log.notify`: best effort, so nothing rests on any of them coming.
 *
 *     changed   some of my members came, were altered or went
 *     digest    so many I have, and this is their sum: every half heartbeat, and I live
 *     ask       what do you have? (`of` one node: all of it; of null: a digest of each)
 *     stretch   all that I have between two keys
 *     out       this one said that it leaves: whoever has it lets it go
 */
export type PresenceNotice =
  | { readonly type: "changed"; readonly node: string; readonly sightings: readonly Sighting[] }
  | ({ readonly type: "digest"; readonly node: string } & Digest)
  | { readonly type: "ask"; readonly node: string; readonly of: string | null }
  | ({ readonly type: "stretch"; readonly node: string } & Stretch)
  | { readonly type: "out"; readonly node: string; readonly key: string; readonly turn: number };
