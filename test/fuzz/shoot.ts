import { connect } from "node:net";

export interface Shot {
  /** What came, as Latin-1. */
  readonly received: string;
  /** The server closed the connection. */
  readonly closed: boolean;
  /** It did not come to what was waited for. */
  readonly late: boolean;
}

/** When a connection is done. Without it, when nothing has come for QUIET_MS: the verdict does not hang on how long that is. */
export type Done = (received: string) => boolean;

const QUIET_MS = 30;
const LATE_MS = 10_000;
/** How long a client that has said its end still listens. */
const LEAVE_MS = 500;

/** Bytes to a port, in pieces, and what comes back. `next` is asked at each news for what is to be sent then. */
export function shoot(port: number, pieces: readonly string[], done?: Done, next?: (received: string) => string | null): Promise<Shot> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const parts: string[] = [];
    let received = "";
    let closed = false;
    let late = false;
    const over = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ received, closed, late });
    };
    // Half of it is left by a FIN, behind which the server closes when it has read all there is; half by a reset
    const isAbrupt = pieces.join("").length % 2 === 1;
    const leave = (): void => {
      socket.end();
      timer = setTimeout(over, LEAVE_MS);
    };
    const give = (ms: number, isLate: boolean) =>
      setTimeout(() => {
        late = isLate;
        if (isLate || isAbrupt) over();
        else leave();
      }, ms);
    // Nothing is quiet before it was asked what `next` has to say
    let timer = done === undefined && next === undefined ? give(QUIET_MS, false) : give(LATE_MS, true);
    const write = (index: number): void => {
      if (index >= pieces.length || socket.destroyed || closed) return;
      socket.write(Buffer.from(pieces[index]!, "latin1"));
      setImmediate(() => write(index + 1));
    };
    socket.on("connect", () => {
      write(0);
      timer.refresh();
    });
    socket.on("data", (bytes) => {
      parts.push(bytes.toString("latin1"));
      received += parts.pop();
      if (done === undefined) timer.refresh();
      const more = next?.(received) ?? null;
      if (more !== null) {
        socket.write(Buffer.from(more, "latin1"));
        if (done === undefined) {
          clearTimeout(timer);
          timer = give(QUIET_MS, false);
        }
      }
      if (done?.(received)) over();
    });
    socket.on("error", () => undefined);
    socket.on("end", () => {
      closed = true;
    });
    socket.on("close", () => {
      closed = true;
      over();
    });
  });
}

/** The same bytes, cut at places that `at` says. */
export function cut(text: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((one) => one % (text.length + 1)).sort((a, b) => a - b), text.length];
  return places.slice(1).map((end, index) => text.slice(places[index], end));
}
