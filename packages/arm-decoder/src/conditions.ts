/** Conditions of rows: what the fixed bits of an encoding cannot say. */
import { extract, type Form } from './row.ts'

type Condition = (form: Form, word: number) => boolean

const field = (form: Form, letter: string, word: number): number => extract(form.fields.get(letter), word)

/**
 * The value of a logical immediate, as two words, the low one first; undefined where the encoding has none.
 *
 * Source: Arm ARM (DDI 0487), "DecodeBitMasks".
 *
 * @param n, immr, imms - the fields
 * @param wide - of a 64-bit register
 */
export function bitmask(n: number, immr: number, imms: number, wide: boolean): readonly [number, number] | undefined {
  // The highest 1 of N:NOT(imms) gives the size of the element that is repeated.
  const length = 31 - Math.clz32((n << 6) | (~imms & 63))
  if (length < 1 || (!wide && n !== 0)) return undefined
  const size = 1 << length
  const ones = (imms & (size - 1)) + 1
  if (ones === size) return undefined
  const rotation = immr & (size - 1)
  const words: [number, number] = [0, 0]
  for (let bit = 0; bit < 64; bit++) {
    if (((bit + rotation) & (size - 1)) < ones) words[bit >> 5]! |= 1 << (bit & 31)
  }
  return wide ? [words[0] >>> 0, words[1] >>> 0] : [words[0] >>> 0, 0]
}

/** Whether MOVZ or MOVN could make the value of a logical immediate: then that is what MOV stands for. */
function isWideMove(form: Form, word: number): boolean {
  const wide = field(form, 'f', word) === 1
  const value = bitmask(field(form, 'p', word), field(form, 'r', word), field(form, 'j', word), wide)!
  const halves = [value[0] & 0xffff, value[0] >>> 16, value[1] & 0xffff, value[1] >>> 16].slice(0, wide ? 4 : 2)
  const zeros = halves.filter((half) => half === 0).length
  const ones = halves.filter((half) => half === 0xffff).length
  return Math.max(zeros, ones) >= halves.length - 1
}

const NAMED: Readonly<Record<string, Condition>> = {
  bitmask: (form, word) =>
    bitmask(field(form, 'p', word), field(form, 'r', word), field(form, 'j', word), field(form, 'f', word) === 1) !==
    undefined,
  // N repeats the width; 32-bit registers have no bit 32.
  bitfield(form, word) {
    const wide = field(form, 'f', word)
    return (
      field(form, 'p', word) === wide && (wide === 1 || ((field(form, 'r', word) | field(form, 'j', word)) & 32) === 0)
    )
  },
  amount: (form, word) => field(form, 'f', word) === 1 || field(form, 's', word) < 32,
  wide: (form, word) => field(form, 'f', word) === 1 || field(form, 'h', word) < 2,
  fraction: (form, word) => field(form, 'f', word) === 1 || field(form, 's', word) >= 32,
  pstate: (form, word) =>
    pstateName(field(form, 'o', word), field(form, 'w', word), field(form, 'y', word)) !== undefined,
  // Conditions of other names.
  'not-wide': (form, word) => !isWideMove(form, word),
  movz: (form, word) => field(form, 'i', word) !== 0 || field(form, 'h', word) === 0,
  movn(form, word) {
    if (field(form, 'i', word) === 0 && field(form, 'h', word) !== 0) return false
    return field(form, 'f', word) === 1 || field(form, 'i', word) !== 0xffff
  },
  before: (form, word) => field(form, 'j', word) < field(form, 'r', word),
  last: (form, word) => field(form, 'j', word) === field(form, 'f', word),
  adjacent: (form, word) => field(form, 'j', word) + 1 === field(form, 'r', word),
}

/** Fields of PSTATE that MSR sets by an immediate; `undefined` where there is none. */
export function pstateName(op1: number, op2: number, crm: number): string | undefined {
  const name = PSTATE_FIELDS[(op1 << 3) | op2]
  if (name === undefined) return undefined
  // SM, ZA, both; ALLINT, PM: CRm<3:1> tells them apart.
  if (typeof name === 'string') return name
  return name[crm >> 1]
}

const PSTATE_FIELDS: Readonly<Record<number, string | readonly (string | undefined)[]>> = {
  0o03: 'uao',
  0o04: 'pan',
  0o05: 'spsel',
  0o10: ['allint', 'pm'],
  0o31: 'ssbs',
  0o32: 'dit',
  0o33: [undefined, 'svcrsm', 'svcrza', 'svcrsmza'],
  0o34: 'tco',
  0o36: 'daifset',
  0o37: 'daifclr',
}

/** `z!=3`, `zQ=6`, `s<5`: fields one after another, against a number; `n=m`: against another field. */
const COMPARISON = /^([a-zA-Z]+)(!=|<|=)(\w+)$/

function comparison(text: string): Condition | undefined {
  const match = COMPARISON.exec(text)
  if (match === null) return undefined
  const [, letters = '', operator = '', right = ''] = match
  const value = (form: Form, word: number): number => {
    let bits = 0
    for (const letter of letters) {
      const { width } = form.fields.get(letter)!
      bits = (bits << width) | field(form, letter, word)
    }
    return bits
  }
  const number = Number(right)
  if (Number.isNaN(number)) return (form, word) => value(form, word) === field(form, right, word)
  if (operator === '!=') return (form, word) => value(form, word) !== number
  return operator === '<' ? (form, word) => value(form, word) < number : (form, word) => value(form, word) === number
}

const compiled = new WeakMap<Form, readonly Condition[]>()

/** Whether an encoding that has a row's fixed bits also meets its conditions. */
export function allowed(form: Form, word: number): boolean {
  let conditions = compiled.get(form)
  if (conditions === undefined) {
    conditions = [...form.attributes].flatMap((attribute) => NAMED[attribute] ?? comparison(attribute) ?? [])
    compiled.set(form, conditions)
  }
  for (const condition of conditions) if (!condition(form, word)) return false
  return true
}
