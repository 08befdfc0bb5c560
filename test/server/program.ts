import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";
import { inTime } from "../support/until.ts";

export const BIN = fileURLToPath(new URL("../../bin/throughline.js", import.meta.url));

const running = new Set<Program>();
const directories = new Set<string>();

afterEach(async () => {
  await Promise.all([...running].map((program) => program.kill()));
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  directories.clear();
});

/** A directory of this test's own. */
export function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "throughline-"));
  directories.add(directory);
  return directory;
}

/** A command of the built command line, as a person starts it. Ended with the test. */
export class Program {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<number | null>;
  #watchers = new Set<() => void>();
  out = "";
  err = "";

  constructor(words: readonly string[], directory: string = freshDirectory()) {
    this.#child = spawn(process.execPath, [BIN, ...words], { cwd: directory, env: { ...process.env, THROUGHLINE_TOKEN: "" } });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.out += text;
      for (const look of this.#watchers) look();
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.err += text;
      for (const look of this.#watchers) look();
    });
    this.#child.stdin.on("error", () => {});
    this.#ended = once(this.#child, "close").then(([code]) => {
      running.delete(this);
      for (const look of this.#watchers) look();
      return code as number | null;
    });
    running.add(this);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stdin(): NodeJS.WritableStream {
    return this.#child.stdin;
  }

  /** Lines of standard output that have come so far. */
  get lines(): string[] {
    return this.out.split("\n").slice(0, -1);
  }

  /** The exit code, null after a signal. */
  async exit(): Promise<number | null> {
    return inTime(this.#ended, () => `the end of it${this.#shown()}`);
  }

  /** Resolves once the fact holds. */
  async until(holds: (program: this) => boolean): Promise<void> {
    let look = (): void => {};
    const met = new Promise<void>((resolve) => {
      look = () => holds(this) && resolve();
      this.#watchers.add(look);
      look();
    });
    try {
      await inTime(met, () => `${holds}${this.#shown()}`);
    } finally {
      this.#watchers.delete(look);
    }
  }

  signal(name: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(name);
  }

  /** As `| head` does when it has enough. */
  closeOutput(): void {
    this.#child.stdout.destroy();
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  #shown(): string {
    return `\n--- standard output\n${this.out.slice(-1_000)}\n--- standard error\n${this.err.slice(-1_000)}`;
  }
}

/** Runs a command to its end, with what it gets as input. */
export async function runProgram(words: readonly string[], input = ""): Promise<{ code: number | null; out: string; err: string }> {
  const program = new Program(words);
  program.stdin.end(input);
  const code = await program.exit();
  return { code, out: program.out, err: program.err };
}

/** `throughline dev` on a port and directory of its own, ready. */
export async function startDevProgram(port: number, directory = freshDirectory(), ...words: string[]): Promise<Program> {
  const program = new Program(["dev", "--port", String(port), "--data", join(directory, "data"), ...words], directory);
  await program.until(({ out }) => out.includes("Ctrl-C"));
  return program;
}
