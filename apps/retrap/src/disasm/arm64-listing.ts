/** The lines of `retrap disasm` for A64 code. */
import { formatA64 } from '@retrap/arm-decoder'
import { hexOf } from './hex.ts'
import { type ListingOptions, painter } from './listing.ts'
import type { Section } from './program.ts'
import { SymbolTable } from './symbols.ts'

/** Characters of a piece of the listing. */
const PIECE = 1 << 16
const MNEMONIC_WIDTH = 8
/** Words whose lines are kept. */
const MOST_KNOWN = 1 << 16

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
  const end = stop === undefined || stop > last ? bytes.length : Number(stop - base)
  const digits = Math.max(4, (base + BigInt(end)).toString(16).length)
  let label = table.indexFrom(0)
  // Most words lead nowhere and come again: they have the same text at every address.
  const known = new Map<number, string>()
  let leads = false
  let named: bigint | undefined
  const symbols = (address: bigint): string | undefined => {
    leads = true
    const name = table.resolve(address)
    if (name !== undefined) named = address
    return name
  }
  let piece = `${paint('dim', `${section.name}:`)}\n`
  for (let at = 0; at < end;) {
    const next = Math.min(at + 4, bytes.length)
    if (table.at(label) === at) piece += `\n${paint('label', table.name(label))}:\n`
    // A symbol within an instruction has no line.
    while (table.at(label) < next) label++
    const address = base + BigInt(at)
    piece += paint('dim', hexOf(address).padStart(digits, '0'))
    if (next - at < 4) {
      const left = [...bytes.subarray(at, next)].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`)
      piece += `  ${' '.repeat(8)}  ${paint('mnemonic', '.byte'.padEnd(MNEMONIC_WIDTH))}${left.join(', ')}\n`
    } else {
      const word = view.getUint32(at, true)
      let line = known.get(word)
      if (line === undefined) {
        const digitsOfWord = word.toString(16).padStart(8, '0')
        leads = false
        named = undefined
        const text = formatA64(word, { address, symbols }) ?? `.inst 0x${digitsOfWord}`
        const blank = text.indexOf(' ')
        const mnemonic = blank < 0 ? text : text.slice(0, blank).padEnd(MNEMONIC_WIDTH - 1)
        line = `  ${digitsOfWord}  ${paint('mnemonic', mnemonic)}${blank < 0 ? '' : text.slice(blank)}`
        line += named === undefined ? '\n' : `${paint('dim', `  // 0x${hexOf(named)}`)}\n`
        if (!leads && known.size < MOST_KNOWN) known.set(word, line)
      }
      piece += line
    }
    at = next
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
    onProgress?.(at)
  }
  yield piece
}
