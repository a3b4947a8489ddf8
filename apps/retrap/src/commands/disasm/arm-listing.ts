/** The lines of `retrap disasm` for Arm code. */
import { advanceIfThen, formatA32, formatA64, formatThumb, isWideThumb } from '@retrap/arm-decoder'
import { AddressColumn, hexOf, hexOfWord } from './hex.ts'
import type { ListingOptions } from './listing.ts'
import { painter } from './coloured-lines.ts'
import type { Architecture, Section } from '../../machine/programs/program.ts'
import { SymbolTable } from '@retrap/symbols'

/** The kind of the bytes at a place. */
type Kind = Exclude<Architecture, 'x86'> | 'data'

/** Characters of a piece of the listing. */
const PIECE = 1 << 16
const MNEMONIC_WIDTH = 8

const digitsOfHalf = (half: number): string => hexOfWord(half).slice(4)

/** Reader of a listing's lines: `read` puts the text of one line into the fields. */
class Line {
  /** Bytes that the line covers; fewer than an instruction has where the section ends first. */
  bytes = 0
  digits = ''
  text = ''
  readonly #view: DataView
  readonly #base: bigint
  readonly #symbols: (address: bigint) => string | undefined
  /** ITSTATE. */
  #ifThen = 0

  constructor({ bytes, address }: Section, symbols: (address: bigint) => string | undefined) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#base = address
    this.#symbols = symbols
  }

  /** Code begins anew: an IT block ends. */
  startBlock(): void {
    this.#ifThen = 0
  }

  /** Reads the line at an offset, of which no more than `limit` bytes are of its kind. */
  read(at: number, limit: number, kind: Kind): void {
    const half = limit >= 2 && kind === 'thumb' ? this.#view.getUint16(at, true) : 0
    this.bytes = kind === 'thumb' && !isWideThumb(half) ? 2 : 4
    if (limit < this.bytes) this.#readBytes(at, kind === 'thumb' && limit === 3 ? 2 : limit)
    else if (kind === 'thumb') this.#readThumb(at, half)
    else this.#readWord(at, kind)
  }

  #readBytes(at: number, count: number): void {
    const list = Array.from({ length: count }, (_, index) => `0x${hexOfWord(this.#view.getUint8(at + index)).slice(6)}`)
    this.bytes = count
    this.digits = ''
    this.text = `.byte ${list.join(', ')}`
  }

  #readWord(at: number, kind: Kind): void {
    const word = this.#view.getUint32(at, true)
    this.digits = hexOfWord(word)
    if (kind === 'data') this.text = `.word 0x${this.digits}`
    else {
      const options = { address: this.#base + BigInt(at), symbols: this.#symbols }
      const text = kind === 'arm64' ? formatA64(word, options) : formatA32(word, options)
      this.text = text ?? `.inst 0x${this.digits}`
    }
  }

  #readThumb(at: number, first: number): void {
    const second = this.bytes === 4 ? this.#view.getUint16(at + 2, true) : 0
    this.digits = this.bytes === 4 ? `${digitsOfHalf(first)} ${digitsOfHalf(second)}` : digitsOfHalf(first)
    const text = formatThumb(first, second, {
      address: this.#base + BigInt(at),
      symbols: this.#symbols,
      ifThen: this.#ifThen,
    })
    this.#ifThen = advanceIfThen(this.#ifThen, first)
    this.text = text ?? `.inst.${this.bytes === 4 ? 'w' : 'n'} 0x${this.digits.replace(' ', '')}`
  }
}

/**
 * The text of one section of Arm code. A label stands before each place with a name. Words that are no instruction are
 * `.inst`; bytes at the end that are no instruction are `.byte`; data, where the file says that it is, is `.word`.
 */
export function* listArmSection(
  section: Section,
  { stop, colour, onProgress }: Pick<ListingOptions, 'stop' | 'colour' | 'onProgress'>,
  architecture: Exclude<Architecture, 'x86'>,
  table: SymbolTable = new SymbolTable(section.symbols, section.address),
): Generator<string, void> {
  const { bytes, address: base, marks = [] } = section
  const paint = painter(colour)
  const last = base + BigInt(bytes.length)
  const end = stop === undefined || stop > last ? last : stop
  const endAt = Number(end - base)
  const addresses = new AddressColumn(base, end)
  let label = table.indexFrom(0)
  let labelAt = table.at(label)
  let named: bigint | undefined
  const line = new Line(section, (address) => {
    const name = table.nameOf(address)
    if (name !== undefined) named = address
    return name
  })
  const width = architecture === 'thumb' ? 9 : 8
  const comment = architecture === 'arm64' ? '//' : '@'
  let kind: Kind = architecture
  let mark = 0
  const placeOf = (index: number): number => Number((marks[index]?.address ?? last) - base)
  let markAt = placeOf(mark)
  let piece = `${paint('dim', `${section.name}:`)}\n`
  for (let at = 0; at < endAt;) {
    for (; markAt <= at && mark < marks.length; markAt = placeOf(mark)) kind = marks[mark++]!.kind
    if (labelAt === at) {
      piece += `\n${paint('label', table.name(label))}:\n`
      line.startBlock()
    }
    piece += paint('dim', addresses.text(at))
    named = undefined
    line.read(at, Math.min(markAt, bytes.length) - at, kind)
    const { text, digits } = line
    const blank = text.indexOf(' ')
    const mnemonic = blank < 0 ? text : text.slice(0, blank).padEnd(MNEMONIC_WIDTH - 1)
    piece += `  ${digits.padEnd(width)}  ${paint('mnemonic', mnemonic)}${blank < 0 ? '' : text.slice(blank)}`
    piece += named === undefined ? '\n' : `${paint('dim', `  ${comment} 0x${hexOf(named)}`)}\n`
    at += line.bytes
    // A symbol within an instruction has no line.
    while (labelAt < at) labelAt = table.at(++label)
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
    onProgress?.(at)
  }
  yield piece
}
