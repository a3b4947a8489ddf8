/** Plain lines, which programs read. They are many, so no line allocates an object. */
import {
  bytesAtt,
  type ByteFormatOptions,
  type ByteFormatter,
  bytesIntel,
  bytesNasm,
  DECODED,
  decodeInto,
  Instruction,
  INVALID,
  reasonTexts,
  REGISTER_RIP,
} from '@retrap/x86-decoder'
import { AddressColumn } from './hex.ts'
import { SymbolTable } from '@retrap/symbols'
import { Labels } from './labels.ts'
import type { Mode, Section } from '../../machine/programs/program.ts'
import { TextBuffer } from './text-buffer.ts'

/** The parts that lines with and without colour share. */

export const SYNTAXES = ['intel', 'att', 'nasm'] as const
export type Syntax = (typeof SYNTAXES)[number]

/** The beginning of a comment, behind the line. */
export const COMMENT_STARTS: Readonly<Record<Syntax, string>> = { intel: '  ; ', att: '  # ', nasm: '  ; ' }

/** Columns for seven bytes and a blank, as objdump has them; longer instructions push the text to the right. */
export const BYTES_WIDTH = 22
/** Columns for the mnemonic. */
export const MNEMONIC_WIDTH = 8

/** Spacing: as GNU's tools write it, AT&T syntax has no blanks behind commas. */
export const spacingOf = (syntax: Syntax): 'tight' | 'normal' => (syntax === 'att' ? 'tight' : 'normal')

/** Comment of a line whose bytes end before the instruction does. */
export const CUT_OFF = 'the bytes end too early'

const FORMATTERS: Readonly<Record<Syntax, (options: ByteFormatOptions) => ByteFormatter>> = {
  intel: bytesIntel,
  att: bytesAtt,
  nasm: bytesNasm,
}

const asItIs = (text: string): string => text

/** The lines of section after section. */
export class PlainLines {
  readonly out: TextBuffer = new TextBuffer()
  readonly #mode: Mode
  readonly #formatter: ByteFormatter
  readonly #commentStart: string
  readonly #insn: Instruction = new Instruction()
  #bytes: Uint8Array = new Uint8Array(0)
  /** The section's address. */
  #baseLow = 0
  #baseHigh = 0
  #symbols: SymbolTable
  #labels: Labels
  #addresses: AddressColumn
  /** Whether the formatter has requested a symbol for the present line, at which address, and whether one exists. */
  #hasAsked = false
  #hasSymbol = false
  #askedLow = 0
  #askedHigh = 0

  constructor(mode: Mode, syntax: Syntax) {
    this.#mode = mode
    this.#commentStart = COMMENT_STARTS[syntax]
    this.#formatter = FORMATTERS[syntax]({
      spacing: spacingOf(syntax),
      mnemonicWidth: MNEMONIC_WIDTH,
      symbols: (low, high) => this.#writeSymbol(low, high),
    })
    this.#symbols = new SymbolTable([], 0n)
    this.#labels = new Labels(this.#symbols)
    this.#addresses = new AddressColumn(0n, 0n)
  }

  /**
   * Begins another section.
   *
   * @param end - the address after the section's last line
   */
  enter({ bytes, address }: Section, end: bigint, symbols: SymbolTable): void {
    this.#bytes = bytes
    this.#baseLow = Number(BigInt.asIntN(32, address))
    this.#baseHigh = Number(BigInt.asIntN(32, address >> 32n))
    this.#symbols = symbols
    this.#labels = new Labels(symbols)
    this.#addresses = new AddressColumn(address, end)
  }

  /**
   * Adds the line of an instruction, behind its labels.
   *
   * @param at - the instruction's offset in the section
   * @returns the offset of the next instruction
   */
  write(at: number): number {
    const bytes = this.#bytes
    const insn = this.#insn
    const { out } = this
    const status = decodeInto(bytes, at, bytes.length, this.#mode, insn)
    const next = status === DECODED ? at + insn.length : status === INVALID ? at + 1 : bytes.length
    if (at >= this.#labels.at) this.#labels.write(out, at, next, asItIs)
    this.#addresses.write(out, at)
    out.writeColumns(bytes, at, next, BYTES_WIDTH)
    this.#hasAsked = false
    const low = (this.#baseLow >>> 0) + at
    this.#formatter.write(insn, low | 0, low < 2 ** 32 ? this.#baseHigh : (this.#baseHigh + 1) | 0, out)
    if (status !== DECODED) {
      out.write(this.#commentStart)
      out.write(status === INVALID ? reasonTexts[insn.reason]! : CUT_OFF)
    } else if (this.#hasAsked && (this.#hasSymbol || (insn.isMemory !== 0 && insn.base === REGISTER_RIP))) {
      // The line leaves open an address: that behind a symbol, or behind a displacement from RIP.
      out.write(this.#commentStart)
      out.writeWords(this.#askedLow, this.#askedHigh)
    }
    out.endLine()
    return next
  }

  #writeSymbol(low: number, high: number): boolean {
    this.#hasAsked = true
    this.#askedLow = low
    this.#askedHigh = high
    // The distance from the section, the shorter way round 2^64.
    const difference = (low >>> 0) - (this.#baseLow >>> 0)
    const borrow = difference < 0 ? 1 : 0
    const place = ((high - this.#baseHigh - borrow) | 0) * 2 ** 32 + (difference + borrow * 2 ** 32)
    const symbols = this.#symbols
    const index = symbols.indexOf(place)
    this.#hasSymbol = index >= 0
    if (index < 0) return false
    const { out } = this
    out.write(symbols.name(index))
    const offset = place - symbols.at(index)
    if (offset !== 0) {
      out.write('+0x')
      out.writeNumber(offset)
    }
    return true
  }
}
