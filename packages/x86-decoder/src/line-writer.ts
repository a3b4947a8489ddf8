/** The parts of a line: words, punctuation, and fields, which hold a number of the instruction. */
import type { CodeInfo } from './code-info.ts'
import { codeInfo } from './codes.ts'
import { operandsOf, type DecodedInstruction, type Operand } from './decode.ts'
import { DecoderError, requireAddress, shown } from './errors.ts'
import { Instruction } from './instruction.ts'

/** How to print an instruction, and the pieces that a printed one consists of. */

/** How to print. */
export interface FormatOptions {
  /** Offset of the first byte in its code segment; taken from a `DecodedInstruction` unless given. */
  readonly address?: bigint
  /** Name of an address, as `symbol` or `symbol+0x10`, or undefined if it has none. */
  readonly symbols?: (address: bigint) => string | undefined
  /** `prefix`: 0x1f, the default; `suffix`: 1fh. AT&T syntax knows the prefix alone. */
  readonly hex?: 'prefix' | 'suffix'
  /** Mnemonics, registers, keywords and hexadecimal digits in capitals; symbols stay as they are. */
  readonly upperCase?: boolean
  /**
   * `normal`, the default: a blank after each comma (`mov rax, rbx`); `tight`: none, as objdump prints (`mov rax,rbx`);
   * `loose`: blanks also around the + and - of an address.
   */
  readonly spacing?: 'tight' | 'normal' | 'loose'
  /** Characters up to the first operand, filled with blanks; 0 unless given. */
  readonly mnemonicWidth?: number
}

/**
 * Names the kind of a piece of a printed instruction.
 *
 * `prefix`: LOCK, REP and their like; `keyword`: a word of the syntax such as `ptr` or `far`; `number`: an immediate,
 * displacement or scale; `address`: a branch's target or an absolute operand; `symbol`: the resolver's text for an
 * address; `punctuation`: brackets, commas, signs, sigils; `space`: blanks.
 */
export type TokenKind =
  | 'prefix'
  | 'mnemonic'
  | 'keyword'
  | 'register'
  | 'number'
  | 'address'
  | 'symbol'
  | 'punctuation'
  | 'space'

/** A piece of a printed instruction. The texts of all pieces, in order, are the line. */
export interface Token {
  /** The kind, by which a tool colours or links the piece. */
  readonly kind: TokenKind
  /** The characters; never empty. */
  readonly text: string
}

/** Joins tokens to the line that they make. */
export function joinTokens(tokens: readonly Token[]): string {
  let text = ''
  for (const token of tokens) text += token.text
  return text
}

/**
 * Writes a part of a line that holds a displacement, an immediate or an address, or the symbol that stands for it.
 *
 * All other parts of a line follow from the instruction's form, prefixes and registers, so that a line can be kept with
 * gaps for its fields (`line-cache.ts`). Only a field may look at the instruction's numbers or at the resolver of symbols.
 */
export type Field = (out: LineWriter) => void

/** A line with gaps: the texts around the fields, one more than there are fields. */
export interface Template {
  readonly texts: readonly string[]
  readonly fields: readonly Field[]
}

/** A template under construction. */
interface OpenTemplate {
  readonly texts: string[]
  readonly fields: Field[]
}

/** Writes one line for an instruction. */
export class LineWriter {
  readonly insn: Instruction
  readonly info: CodeInfo
  readonly options: FormatOptions
  /** The line so far; for a template the text since its last field. */
  text: string
  readonly #target: DecodedInstruction | Instruction
  /** The pieces of the line, for a caller that wants them. */
  readonly #tokens: Token[] | undefined
  #operands: readonly Operand[] | undefined
  #template: OpenTemplate | undefined

  /**
   * @param tokens - filled with the pieces of the line
   * @param operands - operands to show instead of the instruction's own
   */
  constructor(
    target: DecodedInstruction | Instruction,
    options: FormatOptions,
    tokens?: Token[],
    operands?: readonly Operand[],
  ) {
    const insn = target instanceof Instruction ? target : target?.instruction
    if (insn === undefined) throw new DecoderError('ERR_TARGET', `${shown(target)} is no decoded instruction`)
    this.insn = insn
    this.info = codeInfo(this.insn.code)
    this.options = options
    this.text = ''
    this.#target = target
    this.#tokens = tokens
    this.#operands = operands
    this.#template = undefined
  }

  /** Offset of the instruction's first byte in its code segment. */
  get address(): bigint {
    const { address } = this.options
    if (address === undefined) return this.#target instanceof Instruction ? 0n : this.#target.address
    requireAddress(address)
    return address
  }

  /** The operands as objects. */
  get operands(): readonly Operand[] {
    this.#operands ??= this.#readOperands()
    return this.#operands
  }

  #readOperands(): readonly Operand[] {
    if (this.insn.code === 0) return []
    // A decoded instruction already has its operands, unless the address differs.
    if (this.#target instanceof Instruction || this.options.address !== undefined)
      return operandsOf(this.insn, this.address)
    return this.#target.operands
  }

  /** Runs `write` on this writer and returns the line with gaps for its fields. */
  template(write: (out: LineWriter) => void): Template {
    const template: OpenTemplate = { texts: [], fields: [] }
    this.#template = template
    write(this)
    template.texts.push(this.text)
    return template
  }

  /** Writes a field, or leaves the gap for it. */
  field(write: Field): void {
    const template = this.#template
    if (template === undefined) {
      write(this)
      return
    }
    template.texts.push(this.text)
    template.fields.push(write)
    this.text = ''
  }

  /** Adds a token; `text` is in lower case and changes to capitals if the options ask for them. */
  word(kind: TokenKind, text: string): void {
    this.add(kind, this.options.upperCase === true ? text.toUpperCase() : text)
  }

  /** Adds a token unchanged. */
  add(kind: TokenKind, text: string): void {
    this.text += text
    if (this.#tokens !== undefined) this.#tokens.push({ kind, text })
  }

  punctuation(text: string): void {
    this.add('punctuation', text)
  }

  /** A word and a blank, before the mnemonic or before an operand. */
  wordAndBlank(kind: TokenKind, text: string): void {
    this.word(kind, text)
    this.add('space', ' ')
  }

  /** Blanks after the mnemonic, up to the column of the operands. No field stands before it. */
  operandGap(): void {
    const width = (this.options.mnemonicWidth ?? 0) - this.text.length
    this.add('space', width > 1 ? ' '.repeat(width) : ' ')
  }

  comma(): void {
    this.punctuation(',')
    if (this.options.spacing !== 'tight') this.add('space', ' ')
  }

  /** A `+` or `-` within an address. */
  sign(text: '+' | '-'): void {
    const blank = this.options.spacing === 'loose'
    if (blank) this.add('space', ' ')
    this.punctuation(text)
    if (blank) this.add('space', ' ')
  }

  /** A hexadecimal number from two words, unsigned. */
  words(lo: number, hi: number, kind: 'number' | 'address' = 'number'): void {
    this.add(kind, this.#styled(hi === 0 ? prefixedHex(lo >>> 0) : prefixedHexWords(lo, hi)))
  }

  /** A hexadecimal number from 0 to 2^53 - 1. */
  number(value: number, kind: 'number' | 'address' = 'number'): void {
    this.add(kind, this.#styled(prefixedHex(value)))
  }

  /** A signed number of two words, with its sign: `-0x8`. */
  signedWords(lo: number, hi: number): void {
    if (hi < 0) this.punctuation('-')
    this.#magnitude(lo, hi)
  }

  /** A signed number of two words after a base or index: `+0x10`, `-0x8`. */
  displacement(lo: number, hi: number): void {
    this.sign(hi < 0 ? '-' : '+')
    this.#magnitude(lo, hi)
  }

  #magnitude(lo: number, hi: number): void {
    if (hi >= 0) this.words(lo, hi)
    else this.words(-lo | 0, lo === 0 ? -hi | 0 : ~hi)
  }

  /** The number in the case and with the mark that the options ask for. */
  #styled(text: string): string {
    const { hex, upperCase } = this.options
    if (upperCase !== true && hex !== 'suffix') return text
    const digits = upperCase === true ? text.slice(2).toUpperCase() : text.slice(2)
    if (hex !== 'suffix') return `0x${digits}`
    // A number starts with a digit, or it would be a name.
    return `${/^\d/.test(digits) ? '' : '0'}${digits}${upperCase === true ? 'H' : 'h'}`
  }
}

/** Hexadecimal digits of numbers. `toString(16)` costs more than all else that a printed instruction needs. */

const TWELVE_BITS = 0xfff
const TWENTY_FOUR_BITS = 0x1000000

/** By number below 4096, once it was asked for: `0x1f`, and the three digits `01f`. */
const short: string[] = /*#__PURE__*/ new Array<string>(TWELVE_BITS + 1)
const padded: string[] = /*#__PURE__*/ new Array<string>(TWELVE_BITS + 1)

const threeDigits = (value: number): string => (padded[value] ??= value.toString(16).padStart(3, '0'))

const sixDigits = (value: number): string => threeDigits(value >>> 12) + threeDigits(value & TWELVE_BITS)

/**
 * A number as `0x1f`.
 *
 * @param value - an integer from 0 to 2^53 - 1
 */
function prefixedHex(value: number): string {
  if (value <= TWELVE_BITS) return (short[value] ??= `0x${value.toString(16)}`)
  if (value < TWENTY_FOUR_BITS) return prefixedHex(value >>> 12) + threeDigits(value & TWELVE_BITS)
  return prefixedHex(Math.floor(value / TWENTY_FOUR_BITS)) + sixDigits(value % TWENTY_FOUR_BITS)
}

/** The unsigned 64-bit number of two words, as `0x1f`. */
function prefixedHexWords(lo: number, hi: number): string {
  const high = hi >>> 0
  if (high < 1 << 21) return prefixedHex(high * 2 ** 32 + (lo >>> 0))
  return prefixedHex(high >>> 16) + sixDigits(((high & 0xffff) << 8) | (lo >>> 24)) + sixDigits(lo & 0xffffff)
}
