/** How much a server holds, as it says itself. */
export interface Sample {
  readonly heapBytes: number;
  readonly rssBytes: number;
  readonly descriptors: number;
  /** Sockets, servers and timers that libuv keeps. */
  readonly handles: number;
  /** On `process`, where a leak of them shows first. */
  readonly listeners: number;
}

/** What a line with a sample begins with. */
export const SAMPLE = "probe ";
