/** How long a test waits for a fact before it fails: long for a busy machine, and never reached when all is well. What must come soon is held to that where it is asked for. */
export const PATIENCE_MS = 60_000;

/** Waits for a fact that nothing tells of, by looking often. */
export async function until(fact: string, holds: () => boolean | Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Waited ${patienceMs} ms in vain until ${fact}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A promise that must be kept in time. `fact` is asked for when it was not. */
export async function inTime<T>(promised: Promise<T>, fact: () => string, patienceMs = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${patienceMs} ms in vain for ${fact()}.`)), patienceMs);
  });
  try {
    return await Promise.race([promised, late]);
  } finally {
    clearTimeout(timer);
  }
}
