import type { ErrorCode } from "../protocol/error.ts";
import type { Identity } from "./identity.ts";

/**
 * What nodes tell each other about a request that the asked one has no handler for, by `Log.notify`: best effort, so each of them may be lost. `id` is the asker's.
 *
 *     who      would you answer this?                to all that have handlers
 *     offer    I would                               to the asker
 *     put      do so                                 to the one whose offer came first
 *     answer   this is it, or why there is none      to the asker
 */
export type RequestNotice =
  | { readonly type: "who"; readonly id: number; readonly asker: string; readonly channel: string; readonly name: string }
  | { readonly type: "offer"; readonly id: number; readonly node: string }
  | Put
  | { readonly type: "answer"; readonly id: number; readonly json: string }
  | { readonly type: "answer"; readonly id: number; readonly code: ErrorCode; readonly message: string; readonly retryAfterMs?: number };

export interface Put {
  readonly type: "put";
  readonly id: number;
  readonly asker: string;
  readonly node: string;
  readonly channel: string;
  readonly name: string;
  readonly data: unknown;
  readonly identity: Identity;
}
