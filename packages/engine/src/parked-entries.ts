/** Most address spaces with kept entries besides the current one. */
const MOST_SPACES = 8

/** Most empty stores kept for reuse. */
const MOST_SPARE = 2

/** Words of an entry in {@link ParkedSpace.words}. */
export const PARKED_WORDS = 5

/** TLB entries of an address space that is not current. */
export interface ParkedSpace {
  /** Number. */
  space: number
  /** Groups of five: address of the entry, then its four words. */
  words: Uint32Array
  /** Words in use. */
  length: number
  /** Execute tables were flushed since: the execute entries are slow when they are restored. */
  staleExecute: boolean
}

function newSpace(): ParkedSpace {
  return { space: 0, words: new Uint32Array(0), length: 0, staleExecute: false }
}

/** The TLB entries of the address spaces that are not the current one; eight spaces are kept. */
export class ParkedEntries {
  /** Address spaces that are not current, least recently used first. For so few, a list is faster than a `Map`. */
  readonly #parked: ParkedSpace[] = []
  /** Stores whose entries are in the TLB again: a change of address space allocates nothing. */
  readonly #spare: ParkedSpace[] = []

  /**
   * Parks the entries of an address space.
   *
   * @param entries - most entries to park
   * @returns an empty store for the entries
   */
  park(space: number, entries: number): ParkedSpace {
    const parked = this.take(space) ?? this.#spare.pop() ?? newSpace()
    const most = entries * PARKED_WORDS
    if (parked.words.length < most) parked.words = new Uint32Array(2 * most)
    parked.space = space
    parked.length = 0
    parked.staleExecute = false
    this.#parked.push(parked)
    return parked
  }

  /** Removes and returns an address space; undefined if it is not parked. */
  take(space: number): ParkedSpace | undefined {
    const all = this.#parked
    let i = all.length - 1
    while (i >= 0 && all[i]!.space !== space) i--
    if (i < 0) return undefined
    const found = all[i]
    for (; i + 1 < all.length; i++) all[i] = all[i + 1]!
    all.pop()
    return found
  }

  /** Drops the entries of an address space. */
  drop(space: number): void {
    const parked = this.take(space)
    if (parked !== undefined) this.recycle(parked)
  }

  /** Returns a store from {@link take}, when its entries are no longer needed. */
  recycle(parked: ParkedSpace): void {
    if (this.#spare.length < MOST_SPARE) this.#spare.push(parked)
  }

  /** Evicts the least recently used address space if there are too many. */
  limit(): void {
    if (this.#parked.length > MOST_SPACES) this.recycle(this.#parked.shift()!)
  }

  /** The address spaces that are put aside. */
  get spaces(): Iterable<ParkedSpace> {
    return this.#parked
  }

  /** Drops the entries of all address spaces. */
  clear(): void {
    this.#parked.length = 0
  }

  /** The execute entries of all spaces are slow when they are restored. */
  flushExecute(): void {
    for (const parked of this.#parked) parked.staleExecute = true
  }
}
