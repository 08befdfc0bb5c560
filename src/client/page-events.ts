/** Listens to the page, if there is one: what it says of the network, that it goes, that it is looked at again. Returns the end of it. */
export function watchPage(tell: (event: "online" | "offline" | "hide" | "visible") => void): () => void {
  const abort = new AbortController();
  const { document } = globalThis;
  const listen = (target: EventTarget | undefined, name: string, act: (event: PageTransitionEvent) => void): void =>
    target?.addEventListener?.(name, act as (event: Event) => void, { signal: abort.signal });
  listen(globalThis, "online", () => tell("online"));
  listen(globalThis, "offline", () => tell("offline"));
  // Into the back/forward cache perhaps, which takes no page with an open connection
  listen(globalThis, "pagehide", () => tell("hide"));
  listen(globalThis, "pageshow", ({ persisted }) => persisted && tell("online"));
  listen(document, "visibilitychange", () => document.hidden || tell("visible"));
  return () => abort.abort();
}
