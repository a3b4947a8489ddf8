/** The lines of `retrap disasm`, in pieces of many lines, because each piece costs time. */
import { ColouredLines, painter } from './coloured-lines.ts'
import { type Syntax, PlainLines } from './plain-lines.ts'
import type { Mode, Section } from '../../machine/programs/program.ts'
import { SymbolTable } from '@retrap/symbols'

export interface ListingOptions {
  readonly mode: Mode
  readonly syntax: Syntax
  readonly colour: boolean
  /** First address; the section's unless given. */
  readonly start?: bigint
  /** Address before which the last instruction starts. */
  readonly stop?: bigint
  /** Called after each piece with the number of bytes of the section that are listed. */
  readonly onProgress?: (bytes: number) => void
}

/** Bytes of a piece of the listing, with room for its last line. */
const PIECE_BYTES = 1 << 16
const LINE_BYTES = 1 << 10

/** Cuts a section to a range of addresses; undefined if nothing is left. */
export function cut(section: Section, start: bigint | undefined, stop: bigint | undefined): Section | undefined {
  const end = section.address + BigInt(section.bytes.length)
  const from = start === undefined || start < section.address ? section.address : start
  if (from >= end || (stop !== undefined && stop <= from)) return undefined
  return { ...section, address: from, bytes: section.bytes.subarray(Number(from - section.address)) }
}

/**
 * The text of one section. A label stands before each place with a name.
 *
 * @param plain - the writer of the previous sections
 * @param symbols - the section's symbols, by their offset from its address
 */
export function* listSection(
  section: Section,
  options: ListingOptions,
  plain: PlainLines = new PlainLines(options.mode, options.syntax),
  symbols: SymbolTable = new SymbolTable(section.symbols, section.address),
): Generator<Uint8Array, void> {
  const { bytes, address: base } = section
  const { mode, syntax, colour } = options
  const last = base + BigInt(bytes.length)
  const end = options.stop === undefined || options.stop > last ? last : options.stop
  const endAt = Number(end - base)
  plain.enter(section, end, symbols)
  const lines = colour ? new ColouredLines(section, mode, syntax, end, symbols) : plain
  const { out } = lines
  out.start(PIECE_BYTES + LINE_BYTES)
  out.write(`${painter(colour)('dim', `${section.name}:`)}\n`)
  for (let at = 0; at < endAt;) {
    at = lines.write(at)
    if (out.length < PIECE_BYTES) continue
    yield out.take()
    out.start(PIECE_BYTES + LINE_BYTES)
    options.onProgress?.(at)
  }
  yield out.take()
}
