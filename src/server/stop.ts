/** A stop that takes longer is cut short. */
const STOP_MS = 5_000;

export function untilSignal(): Promise<void> {
  return new Promise((done) => {
    process.once("SIGINT", () => done());
    process.once("SIGTERM", () => done());
  });
}

/** Within a bound; a second signal is now. Gives the exit code. */
export async function stop(running: { close(): Promise<void> }, tell: (sentence: string) => void): Promise<number> {
  const now = (): never => process.exit(1);
  process.on("SIGINT", now);
  process.on("SIGTERM", now);
  const late = setTimeout(() => {
    tell(`Not everything could be closed within ${STOP_MS / 1_000} s. What was acknowledged is stored.`);
    process.exit(1);
  }, STOP_MS);
  await running.close();
  clearTimeout(late);
  return 0;
}
