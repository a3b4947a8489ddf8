/** Keeps items, in order, until a client takes them. */
export class Feeder<Item> {
  readonly #offer: (waiting: readonly Item[]) => number | boolean | undefined
  readonly #taken: (count: number) => void
  #waiting: Item[] = []
  #isOffering = false

  /**
   * @param offer - offers the first items to the client. @returns how many items the client took, or whether it took one
   * @param taken - called with the number of items taken, when the client takes no more
   */
  constructor(offer: (waiting: readonly Item[]) => number | boolean | undefined, taken: (count: number) => void) {
    this.#offer = offer
    this.#taken = taken
  }

  /** Returns the items that the client has not taken, in a list that stays as it is. */
  save(): readonly Item[] {
    return [...this.#waiting]
  }

  /** Restores the items that `save` returned. */
  restore(waiting: readonly Item[]): void {
    this.#waiting = [...waiting]
  }

  /** Number of waiting items. */
  get size(): number {
    return this.#waiting.length
  }

  /** Keeps items. */
  add(...items: readonly Item[]): void {
    this.#waiting.push(...items)
  }

  /** Appends items and offers them to the client. */
  push(...items: readonly Item[]): void {
    this.add(...items)
    this.ready()
  }

  /** Offers waiting items, because the client has room. */
  ready(): void {
    // A client that moves things on at once says within the offer that it has room again.
    if (this.#isOffering) return
    this.#isOffering = true
    let count = 0
    let goesOn = true
    while (goesOn && this.#waiting.length > 0) {
      const taken = Number(this.#offer(this.#waiting) ?? 0)
      goesOn = this.remove(this.#waiting, taken)
      count += taken
    }
    this.#isOffering = false
    if (count > 0) this.#taken(count)
  }

  /** Removes the items that the client has taken. @returns whether to offer more: true until the client takes nothing */
  protected remove(waiting: Item[], taken: number): boolean {
    return waiting.splice(0, taken).length > 0
  }
}
