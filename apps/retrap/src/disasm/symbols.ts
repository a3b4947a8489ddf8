import type { Symbol } from './program.ts'

/** Finds the name of an address. */
export class SymbolTable {
  private readonly sorted: readonly Symbol[]

  constructor(symbols: readonly Symbol[]) {
    const best = new Map<bigint, Symbol>()
    for (const symbol of symbols) {
      const other = best.get(symbol.address)
      if (other === undefined || symbol.rank > other.rank) best.set(symbol.address, symbol)
    }
    this.sorted = [...best.values()].toSorted((a, b) => (a.address < b.address ? -1 : 1))
  }

  /** The name of just this place. */
  at(address: bigint): string | undefined {
    const symbol = this.before(address)
    return symbol?.address === address ? symbol.name : undefined
  }

  /** `name` or `name+0x10`; undefined where nothing with a name is. */
  resolve(address: bigint): string | undefined {
    const symbol = this.before(address)
    if (symbol === undefined) return undefined
    if (symbol.address === address) return symbol.name
    const offset = address - symbol.address
    // What has no size may be a mere label: the next place is not its own.
    return offset < symbol.size ? `${symbol.name}+0x${offset.toString(16)}` : undefined
  }

  /** The last symbol at or before an address. */
  private before(address: bigint): Symbol | undefined {
    let low = 0
    let high = this.sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.sorted[middle] as Symbol).address <= address) low = middle + 1
      else high = middle
    }
    return this.sorted[low - 1]
  }
}
