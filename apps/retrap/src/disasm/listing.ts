/** The lines of `retrap disasm`, in pieces: many lines in one text, since each text that is handed on costs time. */
import {
  DECODED,
  decodeInto,
  formatAtt,
  formatIntel,
  formatNasm,
  type FormatOptions,
  Instruction,
  INVALID,
  reasonTexts,
  REGISTER_RIP,
  type Token,
  type TokenKind,
  tokensAtt,
  tokensIntel,
  tokensNasm,
} from '@retrap/x86-decoder'
import { AddressColumn, hexOf } from './hex.ts'
import { type Formatted, KnownLines, MARK } from './known-lines.ts'
import type { Mode, Section } from './program.ts'
import { SymbolTable } from './symbols.ts'
import { TextBuffer } from './text-buffer.ts'

export const SYNTAXES = ['intel', 'att', 'nasm'] as const
export type Syntax = (typeof SYNTAXES)[number]

export interface ListingOptions {
  readonly mode: Mode
  readonly syntax: Syntax
  readonly colour: boolean
  /** First address; the section's unless given. */
  readonly start?: bigint
  /** No instruction starts at this address or after it. */
  readonly stop?: bigint
  /** Called after each piece with the number of bytes of the section that are listed. */
  readonly onProgress?: (bytes: number) => void
}

/** Bytes of a piece of the listing, and what the line that ends it may add. */
const PIECE_BYTES = 1 << 16
const LINE_BYTES = 1 << 10

type Formatter<T> = (target: Instruction, options: FormatOptions) => T

const FORMATTERS: Readonly<Record<Syntax, Formatter<string>>> = {
  intel: formatIntel,
  att: formatAtt,
  nasm: formatNasm,
}
const TOKEN_FORMATTERS: Readonly<Record<Syntax, Formatter<readonly Token[]>>> = {
  intel: tokensIntel,
  att: tokensAtt,
  nasm: tokensNasm,
}
const COMMENT_SIGNS: Readonly<Record<Syntax, string>> = { intel: ';', att: '#', nasm: ';' }

/** SGR parameters (ECMA-48). What is not here has the terminal's own colour. */
const COLOURS: Partial<Readonly<Record<TokenKind | 'label' | 'dim', string>>> = {
  prefix: '35',
  mnemonic: '1',
  register: '36',
  number: '33',
  address: '33',
  symbol: '32',
  label: '1;32',
  dim: '2',
}

/** Columns for seven bytes and a blank, as objdump has them; longer instructions push the text to the right. */
const BYTES_WIDTH = 22

/** Cuts a section to a range of addresses; undefined if none of it is left. */
export function cut(section: Section, start: bigint | undefined, stop: bigint | undefined): Section | undefined {
  const end = section.address + BigInt(section.bytes.length)
  const from = start === undefined || start < section.address ? section.address : start
  if (from >= end || (stop !== undefined && stop <= from)) return undefined
  return { ...section, address: from, bytes: section.bytes.subarray(Number(from - section.address)) }
}

/**
 * The text of one section. A label stands before each place with a name.
 *
 * @param known - lines of the sections before
 */
export function* listSection(
  section: Section,
  options: ListingOptions,
  known: KnownLines = new KnownLines(options.mode),
): Generator<Uint8Array, void> {
  const { mode, syntax, stop } = options
  const { bytes, address: base } = section
  const paint = painter(options.colour)
  const symbols = new SymbolTable(section.symbols, base)
  const style = new LineOptions(base, symbols, syntax === 'att' ? 'tight' : 'normal')
  const format = options.colour ? colouring(syntax, paint) : FORMATTERS[syntax]
  const comment = (text: string): string => paint('dim', `  ${COMMENT_SIGNS[syntax]} ${text}`)
  const last = base + BigInt(bytes.length)
  const end = stop === undefined || stop > last ? last : stop
  const endAt = Number(end - base)
  const addresses = new AddressColumn(base, end)
  const insn = new Instruction()
  // Colour is for a person, who reads less of it.
  const isPlain = !options.colour
  let label = symbols.indexFrom(0)
  let labelAt = symbols.at(label)
  known.enter(base, symbols)
  const commentSign = `  ${COMMENT_SIGNS[syntax]} 0x`
  const formatted = () => style.formatted(insn, format as Formatter<string>)
  const out = new TextBuffer()
  out.reserve(PIECE_BYTES + LINE_BYTES)
  out.write(`${paint('dim', `${section.name}:`)}\n`)
  for (let at = 0; at < endAt;) {
    const status = decodeInto(bytes, at, bytes.length, mode, insn)
    const next = status === DECODED ? at + insn.length : status === INVALID ? at + 1 : bytes.length
    if (at >= labelAt) {
      if (at === labelAt) out.write(`\n${paint('label', symbols.name(label))}:\n`)
      // A symbol within an instruction has no line.
      while (labelAt < next) labelAt = symbols.at(++label)
    }
    if (isPlain) {
      out.write(addresses.page(at))
      out.write(addresses.offset(at))
    } else out.write(paint('dim', addresses.page(at) + addresses.offset(at)))
    if (!isPlain || status !== DECODED || !known.write(out, bytes, at, insn, BYTES_WIDTH, commentSign)) {
      const from = out.length
      out.write('  ')
      out.writeHex(bytes, at, next, BYTES_WIDTH)
      style.begin(at)
      out.write(format(insn, style))
      if (status !== DECODED)
        out.write(comment(status === INVALID ? reasonTexts[insn.reason]! : 'the bytes end too early'))
      else if (style.isWorthComment(insn)) out.write(comment(`0x${hexOf(style.asked)}`))
      out.endLine()
      if (isPlain && status === DECODED) {
        if (style.hasAsked) known.keepGap(insn, at, formatted)
        else if (!style.hasAddress) known.keepPlain(out, from)
      }
    }
    at = next
    if (out.length < PIECE_BYTES) continue
    yield out.take()
    out.reserve(PIECE_BYTES + LINE_BYTES)
    options.onProgress?.(at)
  }
  yield out.take()
}

/**
 * Options of the formatters for one line after another. The address is made when it is asked for, and the resolver keeps
 * what it was asked last.
 */
class LineOptions implements FormatOptions {
  readonly spacing: 'tight' | 'normal'
  readonly mnemonicWidth: number
  readonly symbols: (address: bigint) => string | undefined
  /** The address that the formatter asked a symbol for; only if it did so for the line at hand. */
  asked: bigint
  readonly #base: bigint
  #at: number
  /** The formatter has asked for a symbol. */
  hasAsked: boolean
  /** The formatter has read the address, so that the line may depend on it. */
  hasAddress: boolean
  #hasSymbol: boolean
  /** What the formatter is answered in place of a symbol: the mark, or nothing. */
  #answer: typeof MARK | '' | undefined

  constructor(base: bigint, table: SymbolTable, spacing: 'tight' | 'normal') {
    this.spacing = spacing
    this.mnemonicWidth = 8
    this.asked = 0n
    this.#base = base
    this.#at = 0
    this.hasAsked = false
    this.#hasSymbol = false
    this.#answer = undefined
    this.hasAddress = false
    this.symbols = (address) => {
      this.asked = address
      this.hasAsked = true
      if (this.#answer !== undefined) return this.#answer === MARK ? MARK : undefined
      const name = table.resolve(address)
      this.#hasSymbol = name !== undefined
      return name
    }
  }

  get address(): bigint {
    this.hasAddress = true
    return this.#base + BigInt(this.#at)
  }

  /** Another line, of the instruction at this offset in the section. */
  begin(at: number): void {
    this.#at = at
    this.hasAsked = false
    this.hasAddress = false
  }

  /** The line at hand with a mark for its symbol, and without any. */
  formatted(insn: Instruction, format: Formatter<string>): Formatted {
    const { asked } = this
    this.#answer = MARK
    const marked = format(insn, this)
    this.#answer = ''
    const unnamed = format(insn, this)
    this.#answer = undefined
    return { marked, unnamed, asked }
  }

  /** Whether the line leaves open an address: that behind a symbol, or behind a displacement from RIP. */
  isWorthComment(insn: Instruction): boolean {
    return this.hasAsked && (this.#hasSymbol || (insn.isMemory !== 0 && insn.base === REGISTER_RIP))
  }
}

type Paint = (kind: TokenKind | 'label' | 'dim', text: string) => string

/** Returns a function that colours text, or leaves it as it is. */
export function painter(colour: boolean): Paint {
  if (!colour) return (_, text) => text
  return (kind, text) => {
    const code = COLOURS[kind]
    return code === undefined ? text : `\u001B[${code}m${text}\u001B[0m`
  }
}

const colouring =
  (syntax: Syntax, paint: Paint): Formatter<string> =>
  (target, options) =>
    TOKEN_FORMATTERS[syntax](target, options)
      .map(({ kind, text }) => paint(kind, text))
      .join('')
