const MODULUS = 2 ** 48;

/**
 * A set as its count and the sum of its members' tags. Whoever holds the same members has the same sum, however they came to him: so it serves as a
 * position that any node can go on from, and two nodes compare their sets by it. Equal sums of different sets are as likely as a guess of 48 bits, where
 * nobody is at pains to make them: the tags are no cryptography.
 */
export class TagSum {
  count = 0;
  sum = 0;

  add(tag: number): void {
    this.count++;
    this.sum = (this.sum + tag) % MODULUS;
  }

  remove(tag: number): void {
    this.count--;
    this.sum = (this.sum - tag + MODULUS) % MODULUS;
  }

  get position(): string {
    return `${this.count}.${this.sum.toString(36)}`;
  }
}
