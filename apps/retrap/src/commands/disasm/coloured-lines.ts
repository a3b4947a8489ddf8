/** Coloured lines for a terminal. Speed matters little, as people read few lines. */
import {
  DECODED,
  decodeInto,
  type FormatOptions,
  Instruction,
  INVALID,
  reasonTexts,
  REGISTER_RIP,
  type Token,
  tokensAtt,
  tokensIntel,
  tokensNasm,
  type TokenKind,
} from '@retrap/x86-decoder'
import { AddressColumn, hexOf } from './hex.ts'
import type { SymbolTable } from '@retrap/symbols'
import { Labels } from './labels.ts'
import { BYTES_WIDTH, COMMENT_STARTS, CUT_OFF, MNEMONIC_WIDTH, spacingOf, type Syntax } from './plain-lines.ts'
import type { Mode, Section } from '../../machine/programs/program.ts'
import { TextBuffer } from './text-buffer.ts'

const FORMATTERS: Readonly<Record<Syntax, (target: Instruction, options: FormatOptions) => readonly Token[]>> = {
  intel: tokensIntel,
  att: tokensAtt,
  nasm: tokensNasm,
}

export class ColouredLines {
  readonly out: TextBuffer = new TextBuffer()
  readonly #bytes: Uint8Array
  readonly #base: bigint
  readonly #mode: Mode
  readonly #syntax: Syntax
  readonly #insn: Instruction = new Instruction()
  readonly #symbols: SymbolTable
  readonly #labels: Labels
  readonly #addresses: AddressColumn
  readonly #paint: Paint
  /** The address that the formatter asked a symbol for; undefined if it did not for the line at hand. */
  #asked: bigint | undefined
  #hasSymbol = false

  /** @param end - the address behind the last line */
  constructor({ bytes, address }: Section, mode: Mode, syntax: Syntax, end: bigint, symbols: SymbolTable) {
    this.#bytes = bytes
    this.#base = address
    this.#mode = mode
    this.#syntax = syntax
    this.#symbols = symbols
    this.#labels = new Labels(symbols)
    this.#addresses = new AddressColumn(address, end)
    this.#paint = painter(true)
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
    const paint = this.#paint
    const status = decodeInto(bytes, at, bytes.length, this.#mode, insn)
    const next = status === DECODED ? at + insn.length : status === INVALID ? at + 1 : bytes.length
    if (at >= this.#labels.at) this.#labels.write(out, at, next, (text) => paint('label', text))
    out.write(paint('dim', this.#addresses.text(at)))
    out.writeColumns(bytes, at, next, BYTES_WIDTH)
    for (const { kind, text } of this.#tokens(at)) out.write(paint(kind, text))
    if (status !== DECODED) this.#writeComment(status === INVALID ? reasonTexts[insn.reason]! : CUT_OFF)
    else if (this.#asked !== undefined && (this.#hasSymbol || (insn.isMemory !== 0 && insn.base === REGISTER_RIP))) {
      // The line shows a symbol or a displacement from RIP; the comment adds the address that it stands for.
      this.#writeComment(`0x${hexOf(this.#asked)}`)
    }
    out.endLine()
    return next
  }

  #tokens(at: number): readonly Token[] {
    this.#asked = undefined
    return FORMATTERS[this.#syntax](this.#insn, {
      address: this.#base + BigInt(at),
      spacing: spacingOf(this.#syntax),
      mnemonicWidth: MNEMONIC_WIDTH,
      symbols: (address) => {
        const name = this.#symbols.nameOf(address)
        this.#asked = address
        this.#hasSymbol = name !== undefined
        return name
      },
    })
  }

  #writeComment(text: string): void {
    this.out.write(this.#paint('dim', COMMENT_STARTS[this.#syntax] + text))
  }
}

/** SGR parameters (ECMA-48). A kind without an entry has the terminal's own colour. */
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

type Paint = (kind: TokenKind | 'label' | 'dim', text: string) => string

/** Returns a function that colours text, or returns it unchanged. */
export function painter(colour: boolean): Paint {
  if (!colour) return (_, text) => text
  return (kind, text) => {
    const code = COLOURS[kind]
    return code === undefined ? text : `\u001B[${code}m${text}\u001B[0m`
  }
}
