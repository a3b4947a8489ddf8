/**
 * Lines that are kept with gaps for their numbers. Code repeats itself: nine of ten instructions differ from an earlier
 * one in a displacement, an immediate or a target alone, and a line with gaps is filled in a tenth of the time that it
 * takes to write.
 */
import type { CodeInfo } from './code-info.ts'
import type { DecodedInstruction } from './decode.ts'
import { DecoderError, requireOptions, shown } from './errors.ts'
import { type FormatOptions, type Token, LineWriter, type Template } from './line-writer.ts'
import type { Instruction } from './instruction.ts'
import { OperandKind } from './kinds.ts'

/** Places for lines of one style, as powers of two: at first, and at most. A new line then takes the place of another. */
const FIRST_BITS = 8
const LAST_BITS = 16
/** Styles whose lines are kept at a time. */
const MAX_STYLES = 8

/** Bits of `Instruction.evex` that the getters of `Instruction` take apart. */
const EVEX_FIELDS = 0x1ff

/** Everything but numbers that a line depends on, in three words: form, prefixes and sizes are the first. */
export const keyForm = (insn: Instruction): number =>
  insn.code | (insn.prefixes << 13) | ((insn.mode >> 5) << 25) | ((insn.addressSize >> 5) << 27)

/** The registers of a line, and whether it has memory and a displacement. */
export const keyRegisters = (insn: Instruction): number =>
  insn.reg |
  (insn.rm << 5) |
  (insn.opcodeReg << 10) |
  (insn.vvvv << 15) |
  (insn.scale << 20) |
  ((insn.segmentOverride + 1) << 22) |
  (insn.segment << 25) |
  (insn.isMemory << 28) |
  (insn.dispSize === 0 ? 0 : 1 << 29)

/** Returns a key for base, index and EVEX fields. */
export const keyMemory = (insn: Instruction): number =>
  (insn.base + 1) | ((insn.index + 1) << 7) | ((insn.evex & EVEX_FIELDS) << 13) | (insn.operandSize << 22)

/** Lines of these depend on immediate bits, which no key has: a register number, flags. */
export const isIrregular = ({ operands }: CodeInfo): boolean =>
  operands.some(({ kind }) => kind === OperandKind.XMM_IS4 || kind === OperandKind.DFV)

/** A hash of three words, of which the upper bits are used. */
export const hashOf = (form: number, registers: number, memory: number): number =>
  Math.imul(form ^ Math.imul(registers ^ Math.imul(memory, 0x9e3779b1), 0x85ebca6b), 0xc2b2ae35)

const MAX_WIDTH = 1000

/** Throws `ERR_OPTION` for options of the wrong type. */
export function requireFormatOptions(options: FormatOptions): void {
  requireOptions(options)
  const { hex = 'prefix', upperCase = false, spacing = 'normal', mnemonicWidth = 0 } = options
  const isRight =
    (hex === 'prefix' || hex === 'suffix') &&
    typeof upperCase === 'boolean' &&
    (spacing === 'tight' || spacing === 'normal' || spacing === 'loose') &&
    Number.isInteger(mnemonicWidth) &&
    mnemonicWidth >= 0 &&
    mnemonicWidth <= MAX_WIDTH
  if (isRight) return
  const given = Object.entries({ hex, upperCase, spacing, mnemonicWidth }).map(
    ([name, value]) => `${name} ${shown(value)}`,
  )
  throw new DecoderError('ERR_OPTION', `one of these options is invalid: ${given.join(', ')}`)
}

/** Cached lines of one syntax in one style. */
class LineCache {
  readonly #options: FormatOptions
  /** Three words a place; no key is negative, and -1 is where no line is. */
  #keys: Int32Array
  #templates: (Template | undefined)[]
  #bits: number
  #count: number

  constructor(options: FormatOptions) {
    this.#options = options
    this.#keys = new Int32Array(3 << FIRST_BITS).fill(-1)
    this.#templates = Array.from<Template | undefined>({ length: 1 << FIRST_BITS })
    this.#bits = FIRST_BITS
    this.#count = 0
  }

  /** Whether a line in the style of `options` has the same words and blanks. */
  fits({ upperCase, spacing, hex, mnemonicWidth }: FormatOptions): boolean {
    const own = this.#options
    return (
      own.upperCase === upperCase && own.spacing === spacing && own.hex === hex && own.mnemonicWidth === mnemonicWidth
    )
  }

  /** The line of an instruction with gaps; a line that is not known yet is written by `write`. */
  line(out: LineWriter, write: (out: LineWriter) => void): Template {
    const { insn } = out
    const form = keyForm(insn)
    const registers = keyRegisters(insn)
    const memory = keyMemory(insn)
    const place = hashOf(form, registers, memory) >>> (32 - this.#bits)
    if (this.#isAt(place, form, registers, memory)) return this.#templates[place]!
    // The second place holds a line with the same hash.
    if (this.#isAt(place ^ 1, form, registers, memory)) return this.#templates[place ^ 1]!
    const template = new LineWriter(insn, this.#options).template(write)
    if (!isIrregular(out.info)) {
      this.#put(form, registers, memory, template)
      if (++this.#count > this.#templates.length / 2 && this.#bits < LAST_BITS) this.#grow()
    }
    return template
  }

  #isAt(place: number, form: number, registers: number, memory: number): boolean {
    const keys = this.#keys
    const at = 3 * place
    return keys[at] === form && keys[at + 1] === registers && keys[at + 2] === memory
  }

  #put(form: number, registers: number, memory: number, template: Template): void {
    const place = hashOf(form, registers, memory) >>> (32 - this.#bits)
    const keys = this.#keys
    if (this.#templates[place] !== undefined) {
      keys.copyWithin(3 * (place ^ 1), 3 * place, 3 * place + 3)
      this.#templates[place ^ 1] = this.#templates[place]
    }
    keys[3 * place] = form
    keys[3 * place + 1] = registers
    keys[3 * place + 2] = memory
    this.#templates[place] = template
  }

  #grow(): void {
    const keys = this.#keys
    const templates = this.#templates
    this.#bits += 2
    this.#keys = new Int32Array(3 << this.#bits).fill(-1)
    this.#templates = Array.from<Template | undefined>({ length: 1 << this.#bits })
    templates.forEach((template, place) => {
      if (template !== undefined) this.#put(keys[3 * place]!, keys[3 * place + 1]!, keys[3 * place + 2]!, template)
    })
  }
}

/** A way to write instructions. */
export class Syntax {
  readonly #write: (out: LineWriter) => void
  readonly #isPrefixed: boolean
  /** The latest first. */
  readonly #caches: LineCache[]

  /**
   * @param write - writes the line of an instruction
   * @param isPrefixed - whether numbers begin with `0x` whatever the options say
   */
  constructor(write: (out: LineWriter) => void, isPrefixed = false) {
    this.#write = write
    this.#isPrefixed = isPrefixed
    this.#caches = []
  }

  /** The line of an instruction. */
  text(target: DecodedInstruction | Instruction, options: FormatOptions): string {
    const out = new LineWriter(target, this.#optionsOf(options))
    const { texts, fields } = this.#cacheFor(out.options).line(out, this.#write)
    out.text = texts[0]!
    for (let i = 0; i < fields.length; i++) {
      fields[i]!(out)
      out.text += texts[i + 1]!
    }
    return out.text
  }

  /** The pieces of the line. */
  tokens(target: DecodedInstruction | Instruction, options: FormatOptions): readonly Token[] {
    const tokens: Token[] = []
    this.#write(new LineWriter(target, this.#optionsOf(options), tokens))
    return tokens
  }

  #optionsOf(options: FormatOptions): FormatOptions {
    // A cache exists for options that were found right.
    if (options === null || this.#caches[0]?.fits(options) !== true) requireFormatOptions(options)
    if (options.symbols !== undefined && typeof options.symbols !== 'function') {
      throw new DecoderError('ERR_OPTION', `symbols is ${shown(options.symbols)}, expected a function`)
    }
    return this.#isPrefixed && options.hex === 'suffix' ? { ...options, hex: 'prefix' } : options
  }

  #cacheFor(options: FormatOptions): LineCache {
    const latest = this.#caches[0]
    if (latest?.fits(options) === true) return latest
    const at = this.#caches.findIndex((cache) => cache.fits(options))
    const { upperCase, spacing, hex, mnemonicWidth } = options
    const cache =
      at < 0 ? new LineCache({ upperCase, spacing, hex, mnemonicWidth } as FormatOptions) : this.#caches[at]!
    if (at >= 0) this.#caches.splice(at, 1)
    this.#caches.unshift(cache)
    if (this.#caches.length > MAX_STYLES) this.#caches.pop()
    return cache
  }
}
