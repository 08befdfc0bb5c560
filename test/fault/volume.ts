import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { need } from "../support/need.ts";
import type { Ground } from "./ground.ts";

/**
 * A small file system of a ground's own: ext4 in a file, by way of a loop device. What is in that file is what has reached the block layer, so a
 * copy of it, made while nobody writes, is what a disk holds after a power cut. (It is not more than that: a real disk may lose more, until it is flushed.)
 */
export class Volume {
  readonly path: string;
  readonly #ground: Ground;
  readonly #name: string;
  #image: string;
  #cuts = 0;
  #isFrozen = false;

  constructor(ground: Ground, megabytes = 128, name = "volume") {
    this.#ground = ground;
    this.#name = name;
    this.path = join(ground.ledger.home, name);
    this.#image = join(ground.ledger.home, `${name}-image-0`);
    mkdirSync(this.path);
    execFileSync("truncate", [`--size=${megabytes}M`, this.#image]);
    execFileSync(need("mkfs.ext4"), ["-q", "-m", "0", "-E", "lazy_itable_init=0", this.#image]);
    this.#mount(this.#image);
  }

  /** Keeps what the disk holds now. The one who writes must stand still. */
  copy(): string {
    const copy = join(this.#ground.ledger.home, `${this.#name}-image-${++this.#cuts}`);
    execFileSync("cp", ["--sparse=always", this.#image, copy]);
    return copy;
  }

  /** From now on the volume holds what that copy holds. Nobody may have a file of it open. */
  become(copy: string): void {
    execFileSync("umount", [this.path]);
    rmSync(this.#image);
    this.#image = copy;
    this.#mount(copy);
  }

  /** Takes all that is free, to the last block. */
  fill(): void {
    const balloon = openSync(join(this.path, "balloon"), "w");
    let step = 1_048_576;
    while (step >= 512) {
      try {
        if (writeSync(balloon, Buffer.alloc(step)) < step) step /= 2;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        step /= 2;
      }
    }
    closeSync(balloon);
  }

  free(): void {
    rmSync(join(this.path, "balloon"), { force: true });
  }

  /** Whatever writes to it waits. */
  freeze(): void {
    this.#ground.ledger.note({ type: "frozen", path: this.path });
    execFileSync(need("fsfreeze"), ["--freeze", this.path]);
    this.#isFrozen = true;
  }

  thaw(): void {
    if (this.#isFrozen) execFileSync(need("fsfreeze"), ["--unfreeze", this.path]);
    this.#isFrozen = false;
  }

  remount(how: "ro" | "rw"): void {
    execFileSync("mount", ["-o", `remount,${how}`, this.path]);
  }

  /** As the kernel does after an error of the disk: from now on nothing is written any more. `remount` cannot do it to files that are open. */
  abort(): void {
    execFileSync("mount", ["-o", "remount,abort", this.path]);
  }

  /** Takes it out and puts it in again. Nobody may have a file of it open. */
  renew(): void {
    execFileSync("umount", [this.path]);
    this.#mount(this.#image);
  }

  #mount(image: string): void {
    this.#ground.ledger.note({ type: "mount", path: this.path });
    execFileSync("mount", ["-o", "loop", image, this.path]);
  }
}
