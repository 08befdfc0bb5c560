/** Listens to the page, if there is one: what it says of the network, that it goes, that it is looked at again, until the signal fires. */
export function watchPage(tell: (event: "online" | "offline" | "visible") => void, until: AbortController): void {
  const { document } = globalThis;
  // A controller has the one field, `signal`, that the options need
  const listen = (target: EventTarget | undefined, name: string, act: (event: PageTransitionEvent) => void): void =>
    target?.addEventListener?.(name, act as (event: Event) => void, until);
  listen(globalThis, "online", () => tell("online"));
  listen(globalThis, "offline", () => tell("offline"));
  // Into the back/forward cache perhaps, which takes no page with an open connection
  listen(globalThis, "pagehide", () => tell("offline"));
  listen(globalThis, "pageshow", ({ persisted }) => persisted && tell("online"));
  listen(document, "visibilitychange", () => document.hidden || tell("visible"));
}
