import type { Symbol } from './program.ts'

/** Finds the name of an address. */
export class SymbolTable {
  readonly #sorted: readonly Symbol[]
  /** The addresses as doubles, which have the same order; where two of them are alike the exact ones decide. */
  readonly #keys: Float64Array

  constructor(symbols: readonly Symbol[]) {
    const best = new Map<bigint, Symbol>()
    for (const symbol of symbols) {
      const other = best.get(symbol.address)
      if (other === undefined || symbol.rank > other.rank) best.set(symbol.address, symbol)
    }
    this.#sorted = [...best.values()].toSorted((a, b) => (a.address < b.address ? -1 : 1))
    this.#keys = Float64Array.from(this.#sorted, ({ address }) => Number(address))
  }

  /** Index of the first symbol at an address or after it, in the order of addresses. */
  indexFrom(address: bigint): number {
    const before = this.#before(address)
    return this.#sorted[before]?.address === address ? before : before + 1
  }

  /** Bytes from an address to the symbol at `index`; Infinity behind the last one. */
  distance(index: number, from: bigint): number {
    const symbol = this.#sorted[index]
    return symbol === undefined ? Infinity : Number(symbol.address - from)
  }

  /** The name of the symbol at `index`. */
  name(index: number): string {
    return this.#sorted[index]!.name
  }

  /** `name` or `name+0x10`; undefined where nothing with a name is. */
  resolve(address: bigint): string | undefined {
    const symbol = this.#sorted[this.#before(address)]
    if (symbol === undefined) return undefined
    if (symbol.address === address) return symbol.name
    const offset = address - symbol.address
    // What has no size may be a mere label: the next place is not its own.
    return offset < symbol.size ? `${symbol.name}+0x${offset.toString(16)}` : undefined
  }

  /** Index of the last symbol at or before an address; -1 if there is none. */
  #before(address: bigint): number {
    const key = Number(address)
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#keys[middle]! <= key) low = middle + 1
      else high = middle
    }
    let index = low - 1
    while (index >= 0 && this.#sorted[index]!.address > address) index--
    return index
  }
}
