import type { Symbol } from './program.ts'

/**
 * Finds the name of an address. A place is a distance from the base, the shorter way round 2^64: a number, and exact
 * below 2^53.
 */
export class SymbolTable {
  readonly #base: bigint
  readonly #sorted: readonly Symbol[]
  /** Their places, in the same order. */
  readonly #places: Float64Array
  /** The places behind them; their own where they have no size. */
  readonly #ends: Float64Array

  /** @param base - symbols that are 2^53 bytes away from it or more are left out */
  constructor(symbols: readonly Symbol[], base: bigint) {
    this.#base = base
    const best = new Map<number, Symbol>()
    for (const symbol of symbols) {
      const place = this.placeOf(symbol.address)
      if (Math.abs(place) > Number.MAX_SAFE_INTEGER) continue
      const other = best.get(place)
      if (other === undefined || symbol.rank > other.rank) best.set(place, symbol)
    }
    const places = Float64Array.from(best.keys()).sort()
    this.#places = places
    this.#sorted = Array.from(places, (place) => best.get(place)!)
    this.#ends = places.map((place, i) => place + Number(this.#sorted[i]!.size))
  }

  /** The place of an address; rounded from 2^53 on. */
  placeOf(address: bigint): number {
    return Number(BigInt.asIntN(64, address - this.#base))
  }

  /** Index of the first symbol at a place or after it, in the order of addresses. */
  indexFrom(place: number): number {
    const before = this.#before(place)
    return this.#places[before] === place ? before : before + 1
  }

  /** Place of the symbol at `index`; Infinity behind the last one. */
  at(index: number): number {
    return this.#places[index] ?? Infinity
  }

  /** The name of the symbol at `index`. */
  name(index: number): string {
    return this.#sorted[index]!.name
  }

  /** Index of the symbol that has a place within it; -1 where nothing with a name is. */
  indexOf(place: number): number {
    const index = this.#before(place)
    // What has no size may be a mere label: the next place is not its own.
    return index >= 0 && (this.#places[index] === place || place < this.#ends[index]!) ? index : -1
  }

  /** `name` or `name+0x10`; undefined where nothing with a name is. */
  resolve(address: bigint): string | undefined {
    const place = this.placeOf(address)
    const index = this.indexOf(place)
    if (index < 0) return undefined
    const offset = place - this.#places[index]!
    return offset === 0 ? this.name(index) : `${this.name(index)}+0x${offset.toString(16)}`
  }

  /** Index of the last symbol at or before a place; -1 if there is none. */
  #before(place: number): number {
    const places = this.#places
    let low = 0
    let high = places.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (places[middle]! <= place) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
