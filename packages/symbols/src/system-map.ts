import { SymbolsError } from './errors.ts'
import type { LinuxSymbol } from './kallsyms.ts'
import { offsetMark, sized } from './symbol-table.ts'

/** A line of nm(1), such as `ffffffff81000000 T _stext`. */
const LINE = /^([\da-f]{8}|[\da-f]{16}) ([A-Za-z?]) (\S+)(?:\s.*)?$/
const CODE_TYPES = 'tTwW'
const MOST_BYTES = 64 << 20

/**
 * Reads the symbols of a `System.map`, with the addresses that the kernel was linked for.
 *
 * @throws SymbolsError `ERR_DAMAGED` for another kind of file
 */
export function systemMapSymbols(bytes: Uint8Array): LinuxSymbol[] {
  if (bytes.length > MOST_BYTES) {
    throw damagedMap(`${bytes.length} bytes; at most ${MOST_BYTES} are read`)
  }
  const lines = new TextDecoder().decode(bytes).split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (lines.length === 0) throw damagedMap('it is empty')
  const symbols = lines.map((line, i) => {
    const [, address, type, name] = LINE.exec(line) ?? []
    if (address === undefined || type === undefined || name === undefined) {
      throw damagedMap(`line ${i + 1} is not an address, a type and a name`)
    }
    const rank = type === type.toUpperCase() ? 1 : 0
    return { name, address: BigInt(`0x${address}`), size: 0n, rank, isCode: CODE_TYPES.includes(type) }
  })
  const last = symbols.reduce((most, { address }) => (address > most ? address : most), 0n)
  return sized(symbols.map((symbol) => ({ ...symbol, ...offsetMark(symbol.address, last) })))
}

const damagedMap = (what: string): SymbolsError => new SymbolsError('ERR_DAMAGED', 'this System.map is damaged', what)
