import { AssemblerError } from './errors.ts'
import { assembleInstruction } from './instruction.ts'
import type { InstructionPrefixes } from './instruction.ts'
import { codeOfForm, formOfCode, mnemonicOfMethod } from './forms.ts'
import { fitsEither, pushValue } from './fixups.ts'
import type { Encoding, Fixup } from './fixups.ts'
import { asExpression, Label, LabelExpression } from './labels.ts'
import { layOut } from './layout.ts'
import type { Binding, Fragment, Layout, SectionPlan } from './layout.ts'
import type { Mnemonics } from './mnemonics.ts'
import { asValue, formatOperand } from './operands.ts'
import type { Operand, Value } from './operands.ts'
import { LaidOutProgram } from './program.ts'
import type { Program, Relocation } from './program.ts'

/** The width of code: 16 for real mode and 16-bit segments, 32 for protected mode, 64 for long mode. */
export type CodeBits = 16 | 32 | 64

const NO_PREFIXES: InstructionPrefixes = { lock: false, repeat: 0, operandSize: 0, addressSize: 0 }

/** How an `Assembler` starts. */
export interface AssemblerOptions {
  /** Mode of the first instructions; 64 if not given. */
  readonly bits?: CodeBits
  /** Address of the first section, `text`; 0 if not given. */
  readonly address?: number | bigint
}

/** Where a section goes. */
export interface SectionOptions {
  /** What its labels are counted from; by default it follows the section before. */
  readonly address?: number | bigint
  /**
   * Where `Program.flatten()` puts it, if that is not its address (code that runs elsewhere than it is stored).
   * `'none'`: nowhere; it only gives names to memory that the program uses.
   */
  readonly load?: number | bigint | 'none'
  /** Alignment in bytes of a section that follows another; 16 if not given. */
  readonly align?: number
}

/**
 * A builder of x86 programs: one method a mnemonic, and methods for labels, data and sections. Every method that adds
 * something returns the builder.
 *
 * Of the forms that take the operands it encodes the shortest. A longer one is got by saying so in an operand
 * (`imm32(1)`, `near(label)`, `{ dispBits: 32 }`) or by naming the form with `form()`.
 *
 * What it encodes comes from the table of `@retrap/x86-decoder`, so it knows exactly what the decoder knows.
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the static block at its end makes it true
export class Assembler {
  #bits: CodeBits
  readonly #sections: SectionPlan[] = []
  #current: SectionPlan
  readonly #bindings = new Map<Label, Binding>()
  readonly #names = new Set<string>()
  #anonymous = 0
  #prefixes: InstructionPrefixes = NO_PREFIXES

  constructor(options: AssemblerOptions = {}) {
    this.#bits = options.bits ?? 64
    this.#current = {
      name: 'text',
      address: BigInt(options.address ?? 0),
      load: undefined,
      align: 16,
      fragments: [],
    }
    this.#sections.push(this.#current)
  }

  /** The mode that instructions are encoded for at this point. */
  get mode(): CodeBits {
    return this.#bits
  }

  /** Encodes what follows for another mode. It emits nothing: the switch itself is the program's business. */
  bits(bits: CodeBits): this {
    this.#bits = bits
    return this
  }

  /**
   * Continues in a section, which is made if there is none of that name.
   *
   * @throws AssemblerError `ERR_LAYOUT` if it exists and the options ask for something else than before
   */
  section(name: string, options: SectionOptions = {}): this {
    const address = options.address === undefined ? undefined : BigInt(options.address)
    const load = typeof options.load === 'number' ? BigInt(options.load) : options.load
    const existing = this.#sections.find((section) => section.name === name)
    if (existing === undefined) {
      const made: SectionPlan = { name, address, load, align: options.align ?? 16, fragments: [] }
      this.#sections.push(made)
      this.#current = made
      return this
    }
    if (
      (address !== undefined && existing.address !== address) ||
      (load !== undefined && existing.load !== load) ||
      (options.align !== undefined && existing.align !== options.align)
    ) {
      throw new AssemblerError('ERR_LAYOUT', `section ${name} was placed elsewhere when it was made`)
    }
    this.#current = existing
    return this
  }

  /**
   * A label to be bound later, for forward references.
   *
   * @param name - for listings and `Program.symbols`; unique. Left out, one is made up.
   */
  label(name?: string): Label {
    let chosen = name ?? ''
    while (chosen === '' || (name === undefined && this.#names.has(chosen))) chosen = `L${++this.#anonymous}`
    if (this.#names.has(chosen)) {
      throw new AssemblerError('ERR_LABEL', `there is a label ${chosen} already`)
    }
    this.#names.add(chosen)
    return new Label(chosen)
  }

  /** Puts a label in front of what comes next. Throws `ERR_LABEL` if it has a place already. */
  bind(label: Label): this {
    if (this.#bindings.has(label)) {
      throw new AssemblerError('ERR_LABEL', `label ${label.name} is bound twice`)
    }
    this.#bindings.set(label, {
      section: this.#current,
      fragment: this.#current.fragments.length,
    })
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
    this.#prefixes = { ...this.#prefixes, operandSize: bits }
    return this
  }

  /** The next instruction has this address size, where it has no memory operand to tell: LOOP, MOVSB, XLATB. */
  addressSize(bits: CodeBits): this {
    this.#prefixes = { ...this.#prefixes, addressSize: bits }
    return this
  }

  /**
   * An instruction by its mnemonic as a string: what the mnemonic methods call.
   *
   * @throws AssemblerError `ERR_NO_FORM`, `ERR_AMBIGUOUS_SIZE`, `ERR_OPERAND`, `ERR_RANGE` or `ERR_PREFIX`
   */
  instruction(mnemonic: string, ...operands: readonly Operand[]): this {
    return this.#encode({ mnemonic: mnemonic.toUpperCase(), code: undefined }, operands)
  }

  /**
   * An instruction in one form: the way to get exactly that encoding.
   *
   * @param form - a `code` of `@retrap/x86-decoder`, or its name there: `'ADD r/m32, imm32'`
   * @throws AssemblerError as `instruction()`
   */
  form(form: number | string, ...operands: readonly Operand[]): this {
    const code = typeof form === 'number' ? form : (codeOfForm(form) ?? -1)
    if (formOfCode(code) === undefined) throw new AssemblerError('ERR_NO_FORM', `there is no form ${form}`)
    return this.#encode({ mnemonic: undefined, code }, operands)
  }

  #encode(
    which: { readonly mnemonic: string | undefined; readonly code: number | undefined },
    operands: readonly Operand[],
  ): this {
    const prefixes = this.#prefixes
    this.#prefixes = NO_PREFIXES
    const result = assembleInstruction({ ...which, operands, prefixes, bits: this.#bits })
    const lead = `${prefixes.lock ? 'lock ' : ''}${prefixes.repeat === 0xf3 ? 'rep ' : prefixes.repeat === 0xf2 ? 'repne ' : ''}`
    const text = `${lead}${result.mnemonic.toLowerCase()} ${operands.map(formatOperand).join(', ')}`.trimEnd()
    return this.#add(
      result.longer === undefined
        ? { kind: 'fixed', text, ...result.encoding }
        : { kind: 'choice', text, short: result.encoding, long: result.longer },
    )
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

  /** Text in UTF-8 without a terminator. */
  ascii(text: string): this {
    return this.#data('ascii', 1, [text])
  }

  /** Text in UTF-8 with a zero byte after it. */
  asciz(text: string): this {
    return this.#data('asciz', 1, [text, 0], [text])
  }

  /** `count` bytes of one value; 0 if not given. */
  fill(count: number, value = 0): this {
    if (!Number.isInteger(count) || count < 0) {
      throw new AssemblerError('ERR_RANGE', `cannot fill ${count} bytes`)
    }
    return this.#add({ kind: 'fill', text: `fill ${count}, ${value}`, count, fill: value })
  }

  /** Bytes of one value (0 if not given) up to a multiple of `boundary`. */
  align(boundary: number, value = 0): this {
    return this.#align(boundary, value)
  }

  /** No-operations up to a multiple of `boundary`. */
  alignCode(boundary: number): this {
    return this.#align(boundary, { bits: this.#bits })
  }

  #align(boundary: number, fill: number | { readonly bits: CodeBits }): this {
    if (!Number.isInteger(boundary) || boundary < 1) {
      throw new AssemblerError('ERR_RANGE', `cannot align to ${boundary} bytes`)
    }
    return this.#add({ kind: 'align', text: `align ${boundary}`, boundary, fill })
  }

  /**
   * Bytes of one value (0 if not given) up to an address of this section.
   *
   * The layout throws `ERR_LAYOUT` if the section is past it already.
   */
  org(address: number | bigint, value = 0): this {
    const text = `org 0x${address.toString(16)}`
    return this.#add({ kind: 'org', text, address: BigInt(address), fill: value })
  }

  /**
   * Chooses branch lengths, places the sections and fills in the labels. The builder may go on afterwards.
   *
   * @throws AssemblerError `ERR_LABEL`, `ERR_RANGE` or `ERR_LAYOUT`
   */
  assemble(): Program {
    const layout = layOut(this.#sections, this.#bindings)
    const symbols = new Map<string, bigint>()
    for (const label of this.#bindings.keys()) symbols.set(label.name, layout.addressOf(label))
    return new LaidOutProgram(layout, symbols, relocationsOf(layout))
  }

  #add(fragment: Fragment): this {
    this.#current.fragments.push(fragment)
    return this
  }

  #data(
    name: string,
    size: 1 | 2 | 4 | 8,
    items: readonly (Value | string | Uint8Array)[],
    shown: readonly (Value | string | Uint8Array)[] = items,
  ): this {
    const encoding: Encoding = { bytes: [], fixups: [] }
    for (const item of items) pushItem(encoding, item, size)
    const text = `${name} ${shown.map(formatItem).join(', ')}`
    return this.#add({ kind: 'fixed', text, ...encoding })
  }

  static {
    // One method a mnemonic of the table; their types are in the generated mnemonics.ts.
    for (const [method, mnemonic] of mnemonicOfMethod) {
      Object.defineProperty(Assembler.prototype, method, {
        configurable: true,
        value(this: Assembler, ...operands: readonly Operand[]): Assembler {
          return this.#encode({ mnemonic, code: undefined }, operands)
        },
      })
    }
  }
}

/** The mnemonic methods, from the decoder's table. */
export interface Assembler extends Mnemonics {}

function pushItem(encoding: Encoding, item: Value | string | Uint8Array, size: 1 | 2 | 4 | 8): void {
  if (typeof item === 'string') {
    encoding.bytes.push(...new TextEncoder().encode(item))
  } else if (item instanceof Uint8Array) {
    for (const value of item) encoding.bytes.push(value)
  } else if (item instanceof Label || item instanceof LabelExpression) {
    encoding.fixups.push(absoluteFixup(encoding.bytes.length, size, asExpression(item)))
    pushValue(encoding.bytes, 0n, size)
  } else {
    const value = asValue(item) as bigint
    if (!fitsEither(value, size * 8)) {
      throw new AssemblerError('ERR_RANGE', `${item} does not fit in ${size * 8} bits`)
    }
    pushValue(encoding.bytes, value, size)
  }
}

function absoluteFixup(offset: number, size: 1 | 2 | 4 | 8, value: LabelExpression): Fixup {
  return { kind: 'absolute', offset, size, value, origin: 0, addressBits: 64 }
}

function formatItem(item: Value | string | Uint8Array): string {
  if (typeof item === 'string') return JSON.stringify(item)
  if (item instanceof Uint8Array) return `(${item.length} bytes)`
  return formatOperand(item)
}

function relocationsOf(layout: Layout): Relocation[] {
  const out: Relocation[] = []
  for (const section of layout.sections) {
    for (const { offset, fixups } of section.lines) {
      for (const { kind, value, size, offset: field } of fixups) {
        if (kind === 'relative' || typeof value === 'bigint' || !value.isAddress) continue
        out.push({ section: section.plan.name, offset: offset + field, size })
      }
    }
  }
  return out
}
