import { extract, type Form as Row } from '@retrap/arm-decoder'

/** The target of a branch: forward or back within its page, or outside. */
export type Target = 'forward' | 'back' | 'far'

/** One way of executing instructions: a row of the decoder's table, and the values of the fields that its code depends on. */
export interface ArmForm {
  readonly row: Row
  /** Values of `Semantics.selectors`, by letter. */
  readonly values: ReadonlyMap<string, number>
  /** The base register is the stack pointer. */
  readonly onStack: boolean
  /** Of branches. */
  readonly target: Target | undefined
  /** Unique among all forms. */
  readonly key: string
}

/** Returns the value of a form's selector field; 0 if the row lacks the field. */
export function valueOf(form: ArmForm, letter: string): number {
  return form.values.get(letter) ?? 0
}

/** A field's value in an instruction. */
export function fieldOf(row: Row, letter: string, word: number): number {
  return extract(row.fields.get(letter), word)
}

/** A field's value as a signed number. */
export function signedField(row: Row, letter: string, word: number): number {
  const field = row.fields.get(letter)
  if (field === undefined) return 0
  const unused = 32 - field.width
  return (extract(field, word) << unused) >> unused
}

/** Instructions of WebAssembly that access elements of 1 to 8 bytes. */

/** Loads of elements without a sign. */
export const LOADS = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' } as const
/** Loads of elements with a sign. */
export const SIGNED_LOADS = { 1: 'i64.load8_s', 2: 'i64.load16_s', 4: 'i64.load32_s', 8: 'i64.load' } as const
/** Stores of elements. */
export const STORES = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' } as const

/** Loads that other processors see as single, ordered accesses. */
export const ATOMIC_LOADS = {
  1: 'i64.atomic.load8_u',
  2: 'i64.atomic.load16_u',
  4: 'i64.atomic.load32_u',
  8: 'i64.atomic.load',
} as const

/** Stores that other processors see as single, ordered accesses. */
export const ATOMIC_STORES = {
  1: 'i64.atomic.store8',
  2: 'i64.atomic.store16',
  4: 'i64.atomic.store32',
  8: 'i64.atomic.store',
} as const

/** Bytes of an element that a general-purpose register holds. */
export type ElementSize = keyof typeof LOADS

/** The size of an element of 8, 16, 32 or 64 bits. */
export const sizeOfBits = (bits: number): ElementSize => (bits / 8) as ElementSize

/** The bits of an element. */
export const maskOf = (size: ElementSize): bigint => (1n << BigInt(8 * size)) - 1n
