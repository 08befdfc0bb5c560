const CAPACITY_MIN = 8;

/** A queue in a circle: push, shift and look at any place in O(1), where `Array.shift` moves the whole array. Grows and shrinks by halves. */
export class Ring<Item> {
  #slots: (Item | undefined)[] = new Array(CAPACITY_MIN);
  #start = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The item at `index`, 0 being the oldest. The caller stays within `length`. */
  at(index: number): Item {
    return this.#slots[(this.#start + index) & (this.#slots.length - 1)] as Item;
  }

  push(item: Item): void {
    if (this.#length === this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#slots[(this.#start + this.#length) & (this.#slots.length - 1)] = item;
    this.#length++;
  }

  shift(): Item {
    const item = this.at(0);
    this.#slots[this.#start] = undefined; // lets go of the item
    this.#start = (this.#start + 1) & (this.#slots.length - 1);
    this.#length--;
    // At a quarter, not at half: a queue that swings about a power of two must not copy each time
    if (this.#slots.length > CAPACITY_MIN && this.#length <= this.#slots.length / 4) this.#resize(this.#slots.length / 2);
    return item;
  }

  #resize(capacity: number): void {
    const slots: (Item | undefined)[] = new Array(capacity);
    for (let index = 0; index < this.#length; index++) slots[index] = this.at(index);
    this.#slots = slots;
    this.#start = 0;
  }
}
