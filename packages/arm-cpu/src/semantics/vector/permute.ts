import { I32, numeric, type V128 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { sizeOfBits, fieldOf, valueOf, type ArmForm } from '../../state/form.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import { familyOf, type Family, type Semantics } from '../semantics.ts'
import { extendedFrom, lowHalf, splat, writeFirst, zeros } from './lanes.ts'
import { shapeOf } from './shape.ts'

/** Instructions that copy and rearrange elements. */

const write = (c: ArmContext, form: ArmForm, vector: V128): void => writeFirst(c, shapeOf(form, 'd'), vector)

/** The bytes of elements, whose numbers count on through the second register. */
const bytesOf = (elements: readonly number[], bytes: number, registerBytes: number): number[] =>
  elements.flatMap((number) => {
    const at = number * bytes
    // The second register's bytes begin at 16, also where registers have 8.
    const from = at < registerBytes ? at : at - registerBytes + 16
    return Array.from({ length: bytes }, (_, i) => from + i)
  })

/** Which elements of two registers of `count` elements the result has. */
const ORDERS: Readonly<Record<string, (i: number, count: number) => number>> = {
  ZIP1: (i, count) => (i >> 1) + (i & 1) * count,
  ZIP2: (i, count) => (i >> 1) + (i & 1) * count + count / 2,
  UZP1: (i) => 2 * i,
  UZP2: (i) => 2 * i + 1,
  TRN1: (i, count) => (i & ~1) + (i & 1) * count,
  TRN2: (i, count) => (i | 1) + (i & 1) * count,
}

/** Permutes elements of two vectors: ZIP1 and similar. */
export function permuted(name: string, n: V128, m: V128, bits: number, count: number, start = 0): V128 {
  const order = ORDERS[name] ?? ((i: number): number => i + start)
  const elements = Array.from({ length: count }, (_, i) => order(i, count))
  return n.shuffle(m, bytesOf(elements, bits / 8, (bits / 8) * count))
}

const permute: Semantics = {
  selectors: 'zQi',
  emit(c, form) {
    const { bits, count } = shapeOf(form, 'd')
    const { mnemonic } = form.row
    write(c, form, permuted(mnemonic, c.readVector(R_N), c.readVector(R_M), bits, count, valueOf(form, 'i')))
  },
}

/** Bits of the groups. */
const GROUPS: Readonly<Record<string, number>> = { REV16: 16, REV32: 32, REV64: 64 }

/** REV16, REV32 and REV64: elements in the opposite order within groups. */
const reverse: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const { bits } = shapeOf(form, 'd')
    const group = GROUPS[form.row.name]! / bits
    const elements = Array.from({ length: 128 / bits }, (_, i) => i - (i % group) + (group - 1 - (i % group)))
    const n = c.readVector(R_N)
    write(c, form, n.shuffle(n, bytesOf(elements, bits / 8, 16)))
  },
}

/** The lanes that a copy names, four bits each: `i`, then `j`. */
const lanesOf = (row: Row, word: number): number => fieldOf(row, 'i', word) | (fieldOf(row, 'j', word) << 4)

/** Bits of the element that an operand names as `Vn.b[i]`. */
const namedBits = (row: Row, letter: string): number =>
  ({ b: 8, h: 16, s: 32, d: 64 })[new RegExp(`<V${letter}\\.(.)\\[`).exec(row.operands)![1]!]!

const duplicate: Semantics = {
  selectors: 'Q',
  small: lanesOf,
  emit(c, form) {
    const { bits, scalar } = shapeOf(form, 'd')
    const value = form.row.operands.includes('[') ? c.readElement(R_N, c.small, sizeOfBits(bits)) : c.n(true)
    if (scalar) c.writeVector(R_D, c.zeroExtended(value))
    else write(c, form, splat(value, bits))
  },
}

const insert: Semantics = {
  selectors: '',
  small: lanesOf,
  emit(c, { row }) {
    const size = sizeOfBits(namedBits(row, 'd'))
    const value = row.operands.includes('<Vn') ? c.readElement(R_N, c.small.shrU(4), size) : c.n(true)
    c.writeElement(R_D, c.lane, size, value)
  },
}

const moveOut: Semantics = {
  selectors: 'f',
  small: lanesOf,
  emit(c, form) {
    const { row } = form
    const bits = namedBits(row, 'n')
    const wide = row.fields.has('f') ? valueOf(form, 'f') === 1 : row.operands.startsWith('<X')
    c.setD(extendedFrom(c.readElement(R_N, c.small, sizeOfBits(bits)), bits, row.sign === 'S'), wide)
  },
}

/**
 * Bytes of registers that follow one another, by the numbers in the last operand: TBL, and TBX.
 *
 * @param bytes - of the table: a multiple of 8
 * @param keeps - whether an index outside the table keeps the destination's byte instead of clearing it
 */
export function lookedUp(c: ArmContext, bytes: number, keeps: boolean): V128 {
  const { f } = c
  const numbers = c.readVector(R_M)
  const result = f.local('v128')
  f.set(result, zeros())
  for (let start = 0; start < bytes; start += 16) {
    const part = c.readVectorAfter(R_N, start / 16)
    // Numbers beyond 15 select nothing.
    const own = numeric('i8x16.sub', numbers, numeric('i8x16.splat', I32.of(start)))
    const found = numeric('i8x16.swizzle', bytes - start < 16 ? lowHalf(part) : part, own)
    f.set(result, numeric('v128.or', result.get, found))
  }
  if (keeps) {
    const inside = numeric('i8x16.lt_u', numbers, numeric('i8x16.splat', I32.of(bytes)))
    f.set(result, numeric('v128.bitselect', result.get, c.readVector(R_D), inside))
  }
  return result.get
}

/** TBL and TBX: bytes of up to four registers. */
const table: Semantics = {
  selectors: 'Q',
  // Compiled code knows which registers are read, where a function is called, by the fields of its record alone.
  folds: true,
  emit(c, form) {
    const registers = Number(/<list(\d)>/.exec(form.row.operands)![1])
    write(c, form, lookedUp(c, 16 * registers, form.row.mnemonic === 'TBX'))
  },
}

/** The family's semantics of a row. */
export const permutation: Family<Semantics> = familyOf<Semantics>({
  permute,
  table,
  copy: ({ mnemonic }) => (mnemonic === 'DUP' ? duplicate : mnemonic === 'INS' ? insert : moveOut),
  vector: ({ name }) => (name in GROUPS ? reverse : undefined),
})
