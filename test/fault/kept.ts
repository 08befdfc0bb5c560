import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** What a broker keeps, in a directory of its own. */
export class Kept {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** All of it is gone. */
  wipe(): void {
    for (const name of readdirSync(this.#directory)) rmSync(join(this.#directory, name), { recursive: true });
  }

  /** Copies all of it, while nobody writes. */
  remember(): void {
    rmSync(this.#then, { recursive: true, force: true });
    cpSync(this.#directory, this.#then, { recursive: true });
  }

  /** Has nothing but what was copied last. */
  recall(): void {
    this.wipe();
    cpSync(this.#then, this.#directory, { recursive: true });
  }

  get #then(): string {
    return `${this.#directory}-then`;
  }
}
