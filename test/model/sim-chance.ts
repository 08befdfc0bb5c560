import type { Random } from "../../src/protocol/clock.ts";
import { seededRandom } from "../support/clock.ts";

/** Chance of one part of a story: each has its own, so that one that draws once more does not change what all others draw. */
export class Chance {
  readonly random: Random;

  constructor(seed: number, part: string) {
    let mixed = Math.imul(seed, 0x9e3779b1);
    for (const character of part) mixed = Math.imul(mixed ^ character.charCodeAt(0), 0x01000193);
    this.random = seededRandom(mixed);
  }

  /** In [0, count). */
  dice(count: number): number {
    return Math.floor(this.random.fraction() * count);
  }

  between(low: number, high: number): number {
    return low + this.random.fraction() * (high - low);
  }

  is(likelihood: number): boolean {
    return this.random.fraction() < likelihood;
  }

  one<Choice>(choices: readonly Choice[]): Choice {
    return choices[this.dice(choices.length)]!;
  }

  /** A choice, each as likely as its weight says. */
  weighted<Choice>(choices: readonly (readonly [weight: number, choice: Choice])[]): Choice {
    let left = this.random.fraction() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, choice] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    return choices.at(-1)![1];
  }
}
