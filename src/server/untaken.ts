import type { ChildProcess } from "node:child_process";

/** What node:cluster says to a worker that it hands a connection, and what that answers. */
interface Word {
  readonly act?: string;
  readonly seq?: number;
  readonly ack?: number;
}

/**
 * When a worker of node:cluster dies that was handed a connection and had not taken it, the connection is forgotten: it stays open, in a process that will never read it, and its client
 * waits for ever. This closes it, that the client comes again. It listens to what node:cluster says, since nothing else knows of it (Node 20 to 24).
 */
export function closeUntaken(worker: ChildProcess): void {
  const untaken = new Map<number | undefined, { close(): void }>();
  // Not there where the process could not be started
  const send = worker.send as ChildProcess["send"] | undefined;
  if (send === undefined) return;
  worker.send = (word: Word, handle?: unknown, ...rest: unknown[]): boolean => {
    if (word.act === "newconn") untaken.set(word.seq, handle as { close(): void });
    return Reflect.apply(send, worker, [word, handle, ...rest]);
  };
  worker.on("internalMessage", ({ ack }: Word) => untaken.delete(ack));
  worker.once("exit", () => {
    for (const handle of untaken.values()) handle.close();
  });
}
