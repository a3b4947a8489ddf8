/** The lines of `retrap disasm` for A64 code. */
import { formatA64 } from '@retrap/arm-decoder'
import { AddressColumn, hexOf, hexOfWord } from './hex.ts'
import { type ListingOptions, painter } from './listing.ts'
import type { Section } from './program.ts'
import { SymbolTable } from './symbols.ts'

/** Characters of a piece of the listing. */
const PIECE = 1 << 16
const MNEMONIC_WIDTH = 8

/**
 * The text of one section of A64 code. A label stands before each place with a name. Words that are no instruction are
 * `.inst`; bytes at the end that are no word are `.byte`.
 */
export function* listA64Section(
  section: Section,
  { stop, colour, onProgress }: Pick<ListingOptions, 'stop' | 'colour' | 'onProgress'>,
): Generator<string, void> {
  const { bytes, address: base } = section
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const paint = painter(colour)
  const table = new SymbolTable(section.symbols, base)
  const last = base + BigInt(bytes.length)
  const end = stop === undefined || stop > last ? last : stop
  const endAt = Number(end - base)
  const addresses = new AddressColumn(base, end)
  let label = table.indexFrom(0)
  let labelAt = table.at(label)
  let named: bigint | undefined
  const symbols = (address: bigint): string | undefined => {
    const name = table.resolve(address)
    if (name !== undefined) named = address
    return name
  }
  let piece = `${paint('dim', `${section.name}:`)}\n`
  for (let at = 0; at < endAt;) {
    const next = Math.min(at + 4, bytes.length)
    if (labelAt === at) piece += `\n${paint('label', table.name(label))}:\n`
    // A symbol within an instruction has no line.
    while (labelAt < next) labelAt = table.at(++label)
    piece += paint('dim', addresses.page(at) + addresses.offset(at))
    if (next - at < 4) {
      const left = [...bytes.subarray(at, next)].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`)
      piece += `  ${' '.repeat(8)}  ${paint('mnemonic', '.byte'.padEnd(MNEMONIC_WIDTH))}${left.join(', ')}\n`
    } else {
      const word = view.getUint32(at, true)
      const digits = hexOfWord(word)
      named = undefined
      const text = formatA64(word, { address: base + BigInt(at), symbols }) ?? `.inst 0x${digits}`
      const blank = text.indexOf(' ')
      const mnemonic = blank < 0 ? text : text.slice(0, blank).padEnd(MNEMONIC_WIDTH - 1)
      piece += `  ${digits}  ${paint('mnemonic', mnemonic)}${blank < 0 ? '' : text.slice(blank)}`
      piece += named === undefined ? '\n' : `${paint('dim', `  // 0x${hexOf(named)}`)}\n`
    }
    at = next
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
    onProgress?.(at)
  }
  yield piece
}
