/** Keeps items for a client until it takes them, in order. */
export class Feeder<Item> {
  readonly #offer: (waiting: readonly Item[]) => number | boolean | undefined
  readonly #taken: (count: number) => void
  #waiting: Item[] = []
  #isOffering = false

  /**
   * @param offer - offers the first of the items to the client. @returns how many it has taken, or whether it took one
   * @param taken - hears how much the client has taken, when it takes no more
   */
  constructor(offer: (waiting: readonly Item[]) => number | boolean | undefined, taken: (count: number) => void) {
    this.#offer = offer
    this.#taken = taken
  }

  /** Returns the items that the client has not taken, in a list that stays as it is. */
  save(): readonly Item[] {
    return [...this.#waiting]
  }

  /** Takes over what `save` returned. */
  restore(waiting: readonly Item[]): void {
    this.#waiting = [...waiting]
  }

  /** How many items wait. */
  get size(): number {
    return this.#waiting.length
  }

  /** Keeps items. */
  add(...items: readonly Item[]): void {
    this.#waiting.push(...items)
  }

  /** Keeps items, and offers them. */
  push(...items: readonly Item[]): void {
    this.add(...items)
    this.ready()
  }

  /** Offers what waits: the client has room. */
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

  /** Removes what the client has taken. @returns whether it is offered more now: it is until it takes nothing */
  protected remove(waiting: Item[], taken: number): boolean {
    return waiting.splice(0, taken).length > 0
  }
}
