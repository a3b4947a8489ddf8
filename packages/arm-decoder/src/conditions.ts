/** Conditions of rows: what the fixed bits of an encoding cannot say. `row.ts` has the language. */
import { fieldOf, fieldsOf, type Form } from './row.ts'
import { pairInvalidation, pstateName } from './system-names.ts'

/** A condition of an encoding that has a row's fixed bits. */
export type Condition = (form: Form, word: number) => boolean

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

/** The value of an instruction's logical immediate, as {@link bitmask}. */
export const bitmaskOf = (form: Form, word: number): readonly [number, number] | undefined =>
  bitmask(fieldOf(form, 'p', word), fieldOf(form, 'r', word), fieldOf(form, 'j', word), fieldOf(form, 'f', word) === 1)

/** Whether MOVZ or MOVN could make the value of a logical immediate: then that is what MOV stands for. */
function isWideMove(form: Form, word: number): boolean {
  const wide = fieldOf(form, 'f', word) === 1
  const value = bitmaskOf(form, word)!
  const halves = [value[0] & 0xffff, value[0] >>> 16, value[1] & 0xffff, value[1] >>> 16].slice(0, wide ? 4 : 2)
  const zeros = halves.filter((half) => half === 0).length
  const ones = halves.filter((half) => half === 0xffff).length
  return Math.max(zeros, ones) >= halves.length - 1
}

/** Conditions of A64's rows, and of others, by name. */
const NAMED: Readonly<Record<string, Condition>> = {
  bitmask: (form, word) => bitmaskOf(form, word) !== undefined,
  // N repeats the width; 32-bit registers have no bit 32.
  bitfield(form, word) {
    const wide = fieldOf(form, 'f', word)
    return (
      fieldOf(form, 'p', word) === wide &&
      (wide === 1 || ((fieldOf(form, 'r', word) | fieldOf(form, 'j', word)) & 32) === 0)
    )
  },
  amount: (form, word) => fieldOf(form, 'f', word) === 1 || fieldOf(form, 's', word) < 32,
  wide: (form, word) => fieldOf(form, 'f', word) === 1 || fieldOf(form, 'h', word) < 2,
  fraction: (form, word) => fieldOf(form, 'f', word) === 1 || fieldOf(form, 's', word) >= 32,
  pstate: (form, word) =>
    pstateName(fieldOf(form, 'o', word), fieldOf(form, 'w', word), fieldOf(form, 'y', word)) !== undefined,
  // Conditions with names of their own.
  tlbip: (form, word) =>
    pairInvalidation(fieldOf(form, 'o', word), fieldOf(form, 'y', word), fieldOf(form, 'w', word)) !== undefined,
  'not-wide': (form, word) => !isWideMove(form, word),
  movz: (form, word) => fieldOf(form, 'i', word) !== 0 || fieldOf(form, 'h', word) === 0,
  movn(form, word) {
    if (fieldOf(form, 'i', word) === 0 && fieldOf(form, 'h', word) !== 0) return false
    return fieldOf(form, 'f', word) === 1 || fieldOf(form, 'i', word) !== 0xffff
  },
  before: (form, word) => fieldOf(form, 'j', word) < fieldOf(form, 'r', word),
  last: (form, word) => fieldOf(form, 'j', word) === fieldOf(form, 'f', word),
  adjacent: (form, word) => fieldOf(form, 'j', word) + 1 === fieldOf(form, 'r', word),
}

/** `z!=3`, `zQ=6`, `s<5`: concatenated fields against a number; `n=m`: against another field. */
const COMPARISON = /^([a-zA-Z]+)(!=|<=|<|=)(\w+)$/

function comparison(text: string): Condition | undefined {
  const match = COMPARISON.exec(text)
  if (match === null) return undefined
  const [, letters = '', operator = '', right = ''] = match
  const left = (form: Form, word: number): number => fieldsOf(form, letters, word)
  const number = Number(right)
  const other = Number.isNaN(number) ? (form: Form, word: number) => fieldOf(form, right, word) : () => number
  switch (operator) {
    case '!=':
      return (form, word) => left(form, word) !== other(form, word)
    case '<':
      return (form, word) => left(form, word) < other(form, word)
    case '<=':
      return (form, word) => left(form, word) <= other(form, word)
    default:
      return (form, word) => left(form, word) === other(form, word)
  }
}

/** `even:d`: the number of a vector of 128 bits is even; `whole:d`: if field `Q` says that it is one. */
function evenness(text: string): Condition | undefined {
  const match = /^(even|whole):(.)$/.exec(text)
  if (match === null) return undefined
  const letter = match[2]!
  return match[1] === 'even'
    ? (form, word) => (fieldOf(form, letter, word) & 1) === 0
    : (form, word) => (fieldOf(form, 'Q', word) & fieldOf(form, letter, word) & 1) === 0
}

/**
 * Makes the check of an instruction set's rows: whether an encoding that has a row's fixed bits also meets its conditions.
 *
 * @param more - further conditions by name, loaded when the first row is checked
 */
export function conditionsOf(more?: () => Readonly<Record<string, Condition>>): Condition {
  const compiled = new WeakMap<Form, readonly Condition[]>()
  let named: Readonly<Record<string, Condition>> | undefined
  return (form, word) => {
    named ??= { ...NAMED, ...more?.() }
    let conditions = compiled.get(form)
    if (conditions === undefined) {
      const all = named
      conditions = [...form.attributes].flatMap(
        (attribute) => all[attribute] ?? comparison(attribute) ?? evenness(attribute) ?? [],
      )
      compiled.set(form, conditions)
    }
    for (const condition of conditions) if (!condition(form, word)) return false
    return true
  }
}

/** The state of IT blocks: which of the next Thumb instructions are conditional, and on what. */

/** The condition of an unconditional instruction. */
const ALWAYS = 14

/**
 * The condition of a Thumb instruction in a state; 14 = always.
 *
 * @param state - ITSTATE; 0 = in no block
 */
export const conditionOf = (state: number): number => (state === 0 ? ALWAYS : state >>> 4)

/**
 * ITSTATE after an instruction.
 *
 * Source: Arm ARM (DDI 0487), "ITAdvance", "IT".
 *
 * @param state - ITSTATE before the instruction; 0 = in no block
 * @param first - its first halfword
 */
export function advanceIfThen(state: number, first: number): number {
  // IT, but not the hints, which have no mask.
  if (first >>> 8 === 0xbf && (first & 15) !== 0) return first & 0xff
  return (state & 7) === 0 ? 0 : (state & 0xe0) | ((state << 1) & 0x1f)
}
