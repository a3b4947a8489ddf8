/** Placeholders that all instruction sets write in one way: immediates. */
import { fieldOf, type Form } from './row.ts'

/** A field's value as a signed number. */
export function signedField(form: Form, letter: string, word: number): number {
  const { width } = form.fields.get(letter)!
  const value = fieldOf(form, letter, word)
  return value >= 2 ** (width - 1) ? value - 2 ** width : value
}

/** Immediates: `#i`, `#±i`, `#i*16`, `#j+1`, `#64-s`, `#8<<z`, `#r*180+90`. */
export function immediate(name: string): (form: Form, word: number) => string {
  const match = /^#(?:(\d+)(-|<<))?(±?)([a-z])(?:\*(\d+))?(?:\+(\d+))?$/.exec(name)!
  const [, left, operator, sign, letter = '', factor = 1, more = 0] = match
  if (operator === '-') return (form, word) => `#${Number(left) - fieldOf(form, letter, word)}`
  if (operator === '<<') return (form, word) => `#${Number(left) << fieldOf(form, letter, word)}`
  const value = sign === '' ? fieldOf : signedField
  return (form, word) => `#${value(form, letter, word) * Number(factor) + Number(more)}`
}

/** Floating-point constants of 8 bits: a sign, three bits of exponent, four of fraction, as `VFPExpandImm` says. */
export function floatConstant(bits: number): number {
  const exponent = ((bits >> 4) & 7) ^ 4
  const value = ((16 + (bits & 15)) / 16) * 2 ** (exponent - 3)
  return (bits & 0x80) === 0 ? value : -value
}
