import { describeArgument } from '@retrap/basics'
import { type AssemblerOptions, type CodeBits, ProgramPlan, type SectionOptions } from './program-plan.ts'
import { AssemblerError, requireOneOf, requireOptions, requireText, requireWhole } from './checks.ts'
import { asByte, type DataItem, dataOf, floats, formatItem } from './data.ts'
import { codeOfForm, formOfCode, mnemonicOfMethod } from './forms.ts'
import { assembleInstruction } from './instruction.ts'
import { asWhole, type Label } from './labels.ts'
import { addFixed, type Fragment } from './layout.ts'
import type { Mnemonics } from './generated/mnemonics.ts'
import { formatOperand, type Operand, requireOperand } from './operands.ts'
import { codePadding } from './padding.ts'
import {
  ENCODING_KINDS,
  type EncodingKind,
  type HintPrefix,
  type InstructionPrefixes,
  NO_PREFIXES,
  requireLegacyPrefix,
} from './prefixes.ts'
import type { Program } from './program.ts'
import type { Value } from './values.ts'

/**
 * A builder of x86 programs: one method a mnemonic, and methods for labels, data and sections. Every method that adds
 * something returns the builder.
 *
 * Of the forms that take the operands it encodes the shortest. A longer one is got by saying so in an operand
 * (`imm32(1)`, `near(label)`, `{ dispBits: 32 }`) or by naming the form with `form()`.
 *
 * All encodings come from the table of `@retrap/x86-decoder`, so the assembler knows exactly the decoder's instructions.
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the static block at its end makes it true
export class Assembler {
  #bits: CodeBits
  readonly #plan: ProgramPlan
  #prefixes: InstructionPrefixes = NO_PREFIXES

  /** Throws `ERR_OPERAND` on options that are invalid. */
  constructor(options: AssemblerOptions = {}) {
    requireOptions(options, 'the options of an assembler')
    this.#bits = requireBits(options.bits ?? 64)
    this.#plan = new ProgramPlan(options.address ?? 0)
  }

  /** The mode that instructions are encoded for at this point. */
  get mode(): CodeBits {
    return this.#bits
  }

  /** Encodes further code for another mode. Nothing is emitted: the program itself has to switch modes. */
  bits(bits: CodeBits): this {
    this.#bits = requireBits(bits)
    return this
  }

  /**
   * Continues in a section, which is made if there is none of that name.
   *
   * @throws AssemblerError `ERR_LAYOUT` if it exists and the options ask for something else than before
   */
  section(name: string, options: SectionOptions = {}): this {
    this.#plan.section(name, options)
    return this
  }

  /**
   * A label to be bound later, for forward references.
   *
   * @param name - for listings and `Program.symbols`; unique. Left out, one is made up.
   */
  label(name?: string): Label {
    return this.#plan.label(name)
  }

  /** Puts a label in front of the next instruction or data. Throws `ERR_LABEL` if it has a place already. */
  bind(label: Label): this {
    this.#plan.bind(label)
    return this
  }

  /** A new label for this very place. */
  here(name?: string): Label {
    const label = this.label(name)
    this.bind(label)
    return label
  }

  /** The next instruction gets a LOCK prefix. */
  lock(): this {
    this.#prefixes = { ...this.#prefixes, lock: true }
    return this
  }

  /** The next string instruction repeats (F3): REP for MOVS, STOS, LODS, INS, OUTS, and REPE for CMPS and SCAS. */
  rep(): this {
    this.#prefixes = { ...this.#prefixes, repeat: 0xf3 }
    return this
  }

  /** The next CMPS or SCAS repeats while equal (F3). */
  repe(): this {
    return this.rep()
  }

  /** The next CMPS or SCAS repeats while not equal (F2). */
  repne(): this {
    this.#prefixes = { ...this.#prefixes, repeat: 0xf2 }
    return this
  }

  /**
   * The next instruction has this operand size, where its operands do not tell: `asm.operandSize(64).retf()`.
   *
   * It fails with `ERR_NO_FORM` if the instruction has no such form.
   */
  operandSize(bits: CodeBits): this {
    this.#prefixes = { ...this.#prefixes, operandSize: requireBits(bits) }
    return this
  }

  /** The next instruction has this address size, where it has no memory operand to tell: LOOP, MOVSB, XLATB. */
  addressSize(bits: CodeBits): this {
    this.#prefixes = { ...this.#prefixes, addressSize: requireBits(bits) }
    return this
  }

  /**
   * The next instruction is encoded in this way, where there are several: `asm.encoding('vex3').vaddps(…)`.
   *
   * It fails with `ERR_NO_FORM` if the instruction has no such encoding.
   */
  encoding(kind: EncodingKind): this {
    requireOneOf(kind, 'an encoding', ENCODING_KINDS)
    this.#prefixes = { ...this.#prefixes, encoding: kind }
    return this
  }

  /** The next instruction writes no flags, which APX can have of most arithmetic: `asm.nf().add(rax, rbx)`. */
  nf(): this {
    this.#prefixes = { ...this.#prefixes, noFlags: true }
    return this
  }

  /** The next near branch keeps the bounds registers of MPX (F2). */
  bnd(): this {
    return this.#hint('bnd')
  }

  /** The next indirect near branch may go to a place without ENDBR (3E). */
  notrack(): this {
    return this.#hint('notrack')
  }

  /** The next locked instruction, or XCHG with memory, begins a lock elision (F2). */
  xacquire(): this {
    return this.#hint('xacquire')
  }

  /** The next locked instruction, XCHG with memory or store by MOV ends a lock elision (F3). */
  xrelease(): this {
    return this.#hint('xrelease')
  }

  /** The next conditional branch is likely to go (3E), or, with `false`, likely not to (2E). */
  likely(taken = true): this {
    return this.#hint(taken ? 'taken' : 'notTaken')
  }

  /**
   * The next instruction has these legacy prefixes in front of all others, whether they mean anything to it or not:
   * `asm.prefix(0xf3).ret()`. Their effect on the instruction's meaning is the caller's business.
   *
   * @throws AssemblerError `ERR_PREFIX` on a byte that is no legacy prefix
   */
  prefix(...bytes: readonly number[]): this {
    bytes.forEach(requireLegacyPrefix)
    this.#prefixes = { ...this.#prefixes, raw: [...this.#prefixes.raw, ...bytes] }
    return this
  }

  #hint(hint: HintPrefix): this {
    this.#prefixes = { ...this.#prefixes, hints: [...this.#prefixes.hints, hint] }
    return this
  }

  /**
   * Adds an instruction by its mnemonic as a string: the mnemonic methods call this.
   *
   * @throws AssemblerError `ERR_NO_FORM`, `ERR_AMBIGUOUS_SIZE`, `ERR_OPERAND`, `ERR_RANGE` or `ERR_PREFIX`
   */
  instruction(mnemonic: string, ...operands: readonly Operand[]): this {
    requireText(mnemonic, 'a mnemonic')
    return this.#encode(mnemonic.toUpperCase(), undefined, operands)
  }

  /**
   * An instruction in one form: the way to get exactly that encoding.
   *
   * @param form - a `code` of `@retrap/x86-decoder`, or its name in that package: `'ADD r/m32, imm32'`. If VEX and EVEX
   * forms share a name, `encoding()` selects one; default VEX.
   * @throws AssemblerError as `instruction()`
   */
  form(form: number | string, ...operands: readonly Operand[]): this {
    if (typeof form !== 'number') requireText(form, 'the name of a form')
    const code = typeof form === 'number' ? form : (codeOfForm(form, this.#prefixes.encoding) ?? -1)
    if (!Number.isInteger(code) || formOfCode(code) === undefined)
      throw new AssemblerError('ERR_NO_FORM', `there is no form ${form}`)
    return this.#encode(undefined, code, operands)
  }

  #encode(mnemonic: string | undefined, code: number | undefined, operands: readonly Operand[]): this {
    const prefixes = this.#prefixes
    this.#prefixes = NO_PREFIXES
    operands.forEach(requireOperand)
    const result = assembleInstruction({ mnemonic, code, operands, prefixes, bits: this.#bits })
    const [only, more] = result.encodings
    const text = instructionText(result.mnemonic, operands, prefixes)
    if (only === undefined || more !== undefined)
      return this.#add({ kind: 'choice', text, encodings: result.encodings })
    addFixed(this.#plan.current, text, only)
    return this
  }

  /** Bytes: numbers, strings (UTF-8, no terminator), byte arrays, and labels' bit fields. */
  db(...items: readonly (Value | string | Uint8Array)[]): this {
    return this.#data('db', 1, items)
  }

  /** 16-bit words, least significant byte first. */
  dw(...items: readonly Value[]): this {
    return this.#data('dw', 2, items)
  }

  /** 32-bit words, least significant byte first. */
  dd(...items: readonly Value[]): this {
    return this.#data('dd', 4, items)
  }

  /** 64-bit words, least significant byte first. */
  dq(...items: readonly Value[]): this {
    return this.#data('dq', 8, items)
  }

  /** Single-precision floating-point numbers of IEEE 754, 4 bytes each. */
  float32(...values: readonly number[]): this {
    return this.#data('float32', 1, [floats(values, 4)], values)
  }

  /** Double-precision floating-point numbers of IEEE 754, 8 bytes each. */
  float64(...values: readonly number[]): this {
    return this.#data('float64', 1, [floats(values, 8)], values)
  }

  /** Text in UTF-8 without a terminator. */
  ascii(text: string): this {
    requireText(text, 'what ascii() takes')
    return this.#data('ascii', 1, [text])
  }

  /** Text in UTF-8 with a zero byte after it. */
  asciz(text: string): this {
    requireText(text, 'what asciz() takes')
    return this.#data('asciz', 1, [text, 0], [text])
  }

  /** Text in UTF-16 without a terminator, least significant byte first, as UEFI has it. */
  utf16(text: string): this {
    requireText(text, 'what utf16() takes')
    const units = Array.from({ length: text.length }, (_, index) => text.charCodeAt(index))
    return this.#data('utf16', 2, units, [text])
  }

  /** `count` bytes of one value; 0 if not given. It costs no memory before the program is assembled. */
  fill(count: number, value = 0): this {
    requireWhole(count, 'the number of bytes to fill', 0)
    return this.#add({ kind: 'fill', text: `fill ${count}, ${value}`, count, fill: asByte(value) })
  }

  /** Bytes of one value (0 if not given) up to a multiple of `boundary`. */
  align(boundary: number, value = 0): this {
    return this.#align(boundary, asByte(value))
  }

  /**
   * The longest no-operations of this mode up to a multiple of `boundary`.
   *
   * @param most - most bytes of padding; if more are needed, none are added
   */
  alignCode(boundary: number, most?: number): this {
    return this.#align(boundary, { bits: this.#bits }, most)
  }

  #align(boundary: number, fill: number | { readonly bits: CodeBits }, most = boundary): this {
    requireWhole(boundary, 'the multiple to align to', 1)
    requireWhole(most, 'the most bytes that alignment may take', 0)
    return this.#add({ kind: 'align', text: `align ${boundary}`, boundary, fill, most })
  }

  /** No-operations of `length` bytes in all, of as few instructions as they can be. */
  nops(length: number): this {
    requireWhole(length, 'the length of no-operations', 0, MOST_NOPS)
    addFixed(this.#plan.current, `nops ${length}`, { bytes: codePadding(length, this.#bits), fixups: [] })
    return this
  }

  /**
   * Bytes of one value (0 if not given) up to an address of this section.
   *
   * The layout throws `ERR_LAYOUT` if the section is past it already.
   */
  org(address: number | bigint, value = 0): this {
    const whole = asWhole(address)
    return this.#add({ kind: 'org', text: `org 0x${whole.toString(16)}`, address: whole, fill: asByte(value) })
  }

  /**
   * Chooses branch lengths, places the sections and fills in the labels. The builder may go on afterwards.
   *
   * @throws AssemblerError `ERR_LABEL`, `ERR_RANGE` or `ERR_LAYOUT`; `ERR_PREFIX` where a prefix, size or encoding
   * waits for an instruction
   */
  assemble(): Program {
    if (this.#prefixes !== NO_PREFIXES) {
      throw new AssemblerError(
        'ERR_PREFIX',
        'a prefix, size or encoding was asked for, and no instruction came after it',
      )
    }
    return this.#plan.layOut()
  }

  #add(fragment: Fragment): this {
    this.#plan.current.fragments.push(fragment)
    return this
  }

  #data(name: string, size: 1 | 2 | 4 | 8, items: readonly DataItem[], shown: readonly DataItem[] = items): this {
    const encoding = dataOf(items, size)
    const text = { toString: () => `${name} ${shown.map(formatItem).join(', ')}` }
    addFixed(this.#plan.current, text, encoding)
    return this
  }

  static {
    // One method for each mnemonic; `build/generate.ts` generates their types.
    for (const [method, mnemonic] of mnemonicOfMethod) {
      Object.defineProperty(Assembler.prototype, method, {
        configurable: true,
        value(this: Assembler, ...operands: readonly Operand[]): Assembler {
          return this.#encode(mnemonic, undefined, operands)
        },
      })
    }
  }
}

/** The mnemonic methods, from the decoder's table. */
export interface Assembler extends Mnemonics {}

/** No-operations are executable code; use `fill` for larger areas. */
const MOST_NOPS = 1 << 24

function requireBits(bits: CodeBits): CodeBits {
  if (bits === 16 || bits === 32 || bits === 64) return bits
  throw new AssemblerError('ERR_OPERAND', `there is code of 16, 32 and 64 bits, not of ${describeArgument(bits)}`)
}

/** An instruction's text in listings, which is made when it is asked for. */
const instructionText = (
  mnemonic: string,
  operands: readonly Operand[],
  prefixes: InstructionPrefixes,
): { toString(): string } => ({
  toString: () => `${leadOf(prefixes)}${mnemonic.toLowerCase()} ${operands.map(formatOperand).join(', ')}`.trimEnd(),
})

/** Formats prefixes for listings. */
function leadOf(prefixes: InstructionPrefixes): string {
  if (prefixes === NO_PREFIXES) return ''
  const words = [
    ...prefixes.raw.map((value) => `{0x${value.toString(16)}}`),
    ...(prefixes.encoding === undefined ? [] : [`{${prefixes.encoding}}`]),
    ...(prefixes.noFlags ? ['{nf}'] : []),
    ...prefixes.hints.map((hint) => (hint === 'notTaken' ? 'not taken' : hint)),
    ...(prefixes.lock ? ['lock'] : []),
    ...(prefixes.repeat === 0 ? [] : [prefixes.repeat === 0xf3 ? 'rep' : 'repne']),
  ]
  return words.map((word) => `${word} `).join('')
}
