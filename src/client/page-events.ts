/** Listens to the page, if there is one: what it says of the network, that it goes, that it is looked at again, until the signal fires. */
export function watchPage(tell: (event: "online" | "offline" | "visible") => void, until: AbortController): void {
  const { document } = globalThis;
  // A controller has the one field, `signal`, that the options need
  const listen = (name: string, act: (event: PageTransitionEvent) => void, target: EventTarget = globalThis): void =>
    target.addEventListener?.(name, act as (event: Event) => void, until);
  listen("online", () => tell("online"));
  listen("offline", () => tell("offline"));
  // Into the back/forward cache perhaps, which takes no page with an open connection
  listen("pagehide", () => tell("offline"));
  listen("pageshow", ({ persisted }) => persisted && tell("online"));
  listen("visibilitychange", () => document.hidden || tell("visible"), document);
}
