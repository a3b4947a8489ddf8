/** A place with a name. */
export interface NamedPlace {
  /** Name. */
  readonly name: string
  /** Linear address of the symbol's first byte. */
  readonly address: bigint
  /** Size in bytes; 0: unknown. */
  readonly size: bigint
  /** Rank among several names for one place: the highest is shown. */
  readonly rank: number
  /** The address is a distance, such as a variable's in the area of each processor of Linux: it names no place. */
  readonly isOffset?: boolean
}

/** Values of Linux's absolute symbols, including per-processor offsets, are below 2 GiB. */
const LEAST_ADDRESS = 1n << 31n
const UPPER_HALF = 1n << 63n

/** The mark of a symbol of Linux whose address is a distance. @param last - the highest address of all its symbols */
export const offsetMark = (address: bigint, last: bigint): { readonly isOffset?: true } =>
  address < LEAST_ADDRESS && last >= UPPER_HALF ? { isOffset: true } : {}

/** Most names of one place. */
const MOST_ALIASES = 16
/** Names that {@link SymbolTable.find} returns. */
const MOST_FOUND = 100

/** Extends places without a size, as in assembly code, to the place after them. */
export function sized<Place extends NamedPlace>(symbols: readonly Place[]): Place[] {
  const sorted = symbols.toSorted((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0))
  return sorted.map((symbol, i) => {
    const next = sorted.slice(i + 1, i + 1 + MOST_ALIASES).find(({ address }) => address > symbol.address)
    return symbol.size > 0n || next === undefined ? symbol : { ...symbol, size: next.address - symbol.address }
  })
}

/**
 * Finds names of addresses, and addresses of names. A place is a distance from the base, the shorter way round 2^64: a number, and exact
 * below 2^53.
 */
export class SymbolTable {
  readonly #base: bigint
  readonly #symbols: readonly NamedPlace[]
  /** Whether every symbol is near enough to the base. */
  readonly #isWhole: boolean
  readonly #sorted: readonly NamedPlace[]
  /** Distances from the base, in the symbols' order. */
  readonly #places: Float64Array
  /** Ends of the places; equal to the start without a size. */
  readonly #ends: Float64Array
  /** Made when the first name is looked up. */
  #byName: ReadonlyMap<string, NamedPlace> | undefined
  #names: readonly string[] | undefined

  /**
   * @param base - origin of distances: symbols 2^53 bytes or more away are left out
   * @param earlier - a table that may have the same symbols, whose sorting is reused
   */
  constructor(symbols: readonly NamedPlace[], base: bigint, earlier?: SymbolTable) {
    this.#base = base
    this.#symbols = symbols
    const shift = earlier === undefined ? 0 : Number(BigInt.asIntN(64, base - earlier.#base))
    if (earlier !== undefined && earlier.#symbols === symbols && earlier.#isWithin(shift)) {
      this.#isWhole = true
      this.#sorted = earlier.#sorted
      this.#places = earlier.#places.map((place) => place - shift)
    } else {
      const best = new Map<number, NamedPlace>()
      let isWhole = true
      for (const symbol of symbols) {
        if (symbol.isOffset === true) continue
        const place = this.placeOf(symbol.address)
        if (Math.abs(place) > Number.MAX_SAFE_INTEGER) {
          isWhole = false
          continue
        }
        const other = best.get(place)
        if (other === undefined || symbol.rank > other.rank) best.set(place, symbol)
      }
      this.#isWhole = isWhole
      this.#places = Float64Array.from(best.keys()).sort()
      this.#sorted = Array.from(this.#places, (place) => best.get(place)!)
    }
    this.#ends = this.#places.map((place, i) => place + Number(this.#sorted[i]!.size))
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

  /** Place of the symbol at `index`; Infinity behind the table. */
  at(index: number): number {
    return this.#places[index] ?? Infinity
  }

  /** The name of the symbol at `index`. */
  name(index: number): string {
    return this.#sorted[index]!.name
  }

  /** Returns the index of the symbol that contains a place; -1 if none does, or its start is 2^53 bytes away. */
  indexOf(place: number): number {
    const index = this.#before(place)
    if (index < 0) return -1
    // A symbol without a size may be a mere label: the next place is not its own.
    const isWithin = this.#places[index] === place || place < this.#ends[index]!
    const isExact = Number.isSafeInteger(place) && Number.isSafeInteger(place - this.#places[index]!)
    return isWithin && isExact ? index : -1
  }

  /** Returns `name` or `name+0x10`; undefined if unknown. */
  nameOf(address: bigint): string | undefined {
    const place = this.placeOf(address)
    const index = this.indexOf(place)
    if (index < 0) return undefined
    const offset = place - this.#places[index]!
    return offset === 0 ? this.name(index) : `${this.name(index)}+0x${offset.toString(16)}`
  }

  /** Returns the address of a name, from the symbol with the highest rank; undefined if unknown. */
  addressOf(name: string): bigint | undefined {
    return this.#named().get(name)?.address
  }

  /**
   * Finds symbols with a prefix, in order of their names.
   *
   * @param most - most results
   */
  find(prefix: string, most: number = MOST_FOUND): NamedPlace[] {
    const named = this.#named()
    this.#names ??= [...named.keys()].sort()
    const names = this.#names
    let low = 0
    let high = names.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (names[middle]! < prefix) low = middle + 1
      else high = middle
    }
    const found: NamedPlace[] = []
    for (let i = low; i < names.length && found.length < most && names[i]!.startsWith(prefix); i++)
      found.push(named.get(names[i]!)!)
    return found
  }

  /** The best place of each name. */
  #named(): ReadonlyMap<string, NamedPlace> {
    if (this.#byName === undefined) {
      const byName = new Map<string, NamedPlace>()
      for (const symbol of this.#symbols) {
        const other = byName.get(symbol.name)
        if (other === undefined || symbol.rank > other.rank) byName.set(symbol.name, symbol)
      }
      this.#byName = byName
    }
    return this.#byName
  }

  /** Whether all places stay exact when the base moves this far. */
  #isWithin(shift: number): boolean {
    const first = this.#places[0] ?? 0
    const last = this.#places.at(-1) ?? 0
    return this.#isWhole && Math.max(Math.abs(first), Math.abs(last)) + Math.abs(shift) <= Number.MAX_SAFE_INTEGER
  }

  /** Returns the index of the last symbol at or before a place; -1: none. */
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
