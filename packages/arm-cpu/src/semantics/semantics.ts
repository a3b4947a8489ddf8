import { findA64, type Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from './context.ts'
import type { ArmForm, Target } from '../state/form.ts'

/** The semantics of a family of instructions. */
export interface Semantics {
  /** Letters of the fields that the code depends on; letters that a row does not have are ignored. */
  readonly selectors: string
  /** Field `n` is a base register, which may be the stack pointer. */
  readonly usesStack?: boolean
  /** The instruction is a branch with a fixed target: one form for each {@link Target}. */
  readonly branches?: boolean
  /** The value for `R_IMMEDIATE`; of branches the target, relative to the instruction. */
  readonly immediate?: (row: Row, word: number) => bigint
  /** The value for `R_SMALL`. */
  readonly small?: (row: Row, word: number) => number
  /** Whether control never falls through to the next instruction. */
  readonly ends?: boolean
  /** Which instructions of the row generated code executes; absent: all. The others are TypeScript's. */
  readonly suits?: (row: Row, word: number) => boolean
  /** The instruction may lead to another exception level: units call the interpreter's function. */
  readonly far?: boolean
  /** Whether the code becomes small once its record is known: units then inline it regardless of its size. */
  readonly folds?: boolean
  /** The instruction is never compiled. */
  readonly interpreted?: boolean
  /** Generates the code of a form. */
  readonly emit: (c: ArmContext, form: ArmForm) => void
}

/** Finds the semantics of the rows of a family; undefined for rows of others. `S`: of A64, or of A32. */
export type Family<S> = (row: Row) => S | undefined

/** A family by the operation of its rows: the semantics of all rows of an operation, or a choice between them. */
export function familyOf<S extends object>(byOperation: Readonly<Record<string, S | Family<S>>>): Family<S> {
  const operations = new Map(Object.entries(byOperation))
  return (row) => {
    const found = operations.get(row.operation)
    return typeof found === 'function' ? found(row) : found
  }
}

/** A form with its semantics. */
export interface FormSource {
  /** Place among the forms of its row, which the values of the selectors give. */
  readonly index: number
  readonly form: ArmForm
  readonly semantics: Semantics
}

const TARGETS: readonly Target[] = ['forward', 'back', 'far']

/** The letters of a row's fields that its code depends on. */
export function selectorsOf(row: Row, { selectors }: Semantics): string[] {
  return [...selectors].filter((letter) => row.fields.has(letter))
}

/** Bits for the fields that are no selectors: some encodings are not allocated where two of these are equal, or zero. */
const FILLINGS: readonly number[] = [
  0, 0x0001_0860, 0x0002_1483, 0xffff_ffff, 0x5555_5555, 0xaaaa_aaaa, 0x1357_9bdf, 0x8421_0840, 0x0003_02c0,
]

/** The bits of a row's instructions that have some field values, and the mask of these bits. */
export function bitsWith(
  row: Row,
  values: Iterable<readonly [letter: string, value: number]>,
): [mask: number, bits: number] {
  let mask = row.mask
  let bits = row.value
  for (const [letter, value] of values) {
    let rest = value
    for (const piece of row.fields.get(letter)?.pieces.toReversed() ?? []) {
      const [shift, width] = [piece & 255, piece >> 8]
      const ones = 2 ** width - 1
      mask |= ones << shift
      bits |= (rest & ones) << shift
      rest >>>= width
    }
  }
  return [mask, bits]
}

/** Whether any instruction of a row has these field values. */
function isAllocated(row: Row, values: ReadonlyMap<string, number>): boolean {
  const [mask, bits] = bitsWith(row, values)
  return FILLINGS.some((filling) => findA64(((filling & ~mask) | bits) >>> 0)?.index === row.index)
}

/**
 * All forms of one row: for each value of the selectors' fields, which count up with the last letter's fastest, one, or one
 * for each target or each kind of base.
 */
export function formsOf(row: Row, semantics: Semantics): FormSource[] {
  const letters = selectorsOf(row, semantics)
  const width = letters.reduce((sum, letter) => sum + row.fields.get(letter)!.width, 0)
  const forms: FormSource[] = []
  const variants: readonly Pick<ArmForm, 'target' | 'onStack'>[] =
    semantics.branches === true
      ? TARGETS.map((target) => ({ target, onStack: false }))
      : [false, ...(semantics.usesStack === true ? [true] : [])].map((onStack) => ({ target: undefined, onStack }))
  for (let index = 0; index < 1 << width; index++) {
    const values = new Map<string, number>()
    let rest = index
    for (const letter of letters.toReversed()) {
      const bits = row.fields.get(letter)!.width
      values.set(letter, rest & ((1 << bits) - 1))
      rest >>>= bits
    }
    if (!isAllocated(row, values)) continue
    for (const [i, variant] of variants.entries()) {
      const key = `${row.mnemonic}.${row.index}.${index}.${i}`
      forms.push({ index: index * variants.length + i, form: { row, values, ...variant, key }, semantics })
    }
  }
  return forms
}
