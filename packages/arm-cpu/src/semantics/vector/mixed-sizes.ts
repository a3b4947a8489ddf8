import { I64, select, type V128 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { sizeOfBits, fieldOf, type ArmForm } from '../../state/form.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { elementOperation, polynomialProduct, type Operands } from './elementwise.ts'
import { computed, element, Saturation, vectorOf, withElement, writeEach } from './lanes.ts'
import { isUpper, shapeOf } from './shape.ts'

/** Operations whose operands and results have different sizes: long, wide, narrow, by one element, and dot products. */

type Operation = (operands: Operands, c: ArmContext) => I64

/** Twice a product, which fits unless both factors are the smallest number. */
function doubled({ a, b, bits, saturation }: Operands): I64 {
  const product = a.mul(b)
  if (bits < 64) return saturation.clamp(product.shl(1), bits, true)
  return saturation.replaceIf(product.eq(1n << 62n), I64.of((1n << 63n) - 1n), product.shl(1))
}

function doubledSum(operands: Operands, negative: boolean): I64 {
  const { d, bits, saturation } = operands
  const product = doubled(operands)
  if (bits === 64) return negative ? saturation.subtract64(d, product, true) : saturation.add64(d, product, true)
  return saturation.clamp(negative ? d.sub(product) : d.add(product), bits, true)
}

const distance = (a: I64, b: I64): I64 => select(a.ltS(b), b.sub(a), a.sub(b))

/** Operations that extend their operands, by mnemonic without sign letter and `L`. */
const LONG: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['ADDL', ({ a, b }) => a.add(b)],
  ['ADDW', ({ a, b }) => a.add(b)],
  ['SUBL', ({ a, b }) => a.sub(b)],
  ['SUBW', ({ a, b }) => a.sub(b)],
  ['ABDL', ({ a, b }) => distance(a, b)],
  ['ABAL', ({ a, b, d }) => d.add(distance(a, b))],
  ['MULL', ({ a, b }) => a.mul(b)],
  ['MLAL', ({ a, b, d }) => d.add(a.mul(b))],
  ['MLSL', ({ a, b, d }) => d.sub(a.mul(b))],
  ['QDMULL', doubled],
  ['QDMLAL', (operands) => doubledSum(operands, false)],
  ['QDMLSL', (operands) => doubledSum(operands, true)],
])

/** Reads one element: from the upper half of the register if `upper` is set. */
const readNarrow = (vector: V128, i: number, count: number, upper: boolean, bits: number, isSigned: boolean): I64 =>
  element(vector, upper ? i + count : i, bits, isSigned)

const long: Semantics = {
  selectors: 'zQ',
  small: (row, word) => laneNumber(row, word),
  emit(c, form) {
    const name = form.row.name
    const isSigned = name.startsWith('S')
    const operation = LONG.get(name.slice(1))!
    const saturation = new Saturation(c)
    const shape = shapeOf(form, 'd')
    const { bits, count } = shape
    const narrow = bits / 2
    const upper = isUpper(form)
    const [n, d] = [c.readVector(R_N), c.readVector(R_D)]
    const fixed = oneElement(c, form, narrow, isSigned)
    const m = fixed === undefined ? c.readVector(R_M) : n
    const compute = (i: number): I64 => {
      const a = name.endsWith('W') ? element(n, i, bits, isSigned) : readNarrow(n, i, count, upper, narrow, isSigned)
      const b = fixed ?? readNarrow(m, i, count, upper, narrow, isSigned)
      const operands = { a: c.let(a), b: c.let(b), d: c.let(element(d, i, bits, true)), bits, saturation }
      return operation(operands, c)
    }
    writeEach(c, shape, compute, name.startsWith('SQ') ? saturation : undefined)
  },
}

/** The number of the lane that an instruction names, in `h` and `l`. */
export const laneNumber = (row: Row, word: number): number => {
  const low = row.fields.get('l')
  return (fieldOf(row, 'h', word) << (low?.width ?? 0)) | fieldOf(row, 'l', word)
}

/** Returns the element that the instruction names; undefined without one. */
function oneElement(c: ArmContext, form: ArmForm, bits: number, isSigned: boolean): I64 | undefined {
  if (!form.row.operands.includes('[hl]')) return undefined
  const value = c.readElement(R_M, c.small, sizeOfBits(bits))
  return c.let(isSigned ? value.shl(64 - bits).shrS(64 - bits) : value)
}

/** MUL, MLA, MLS, SQDMULH and similar with one element: operands and results of equal size. */
const byElement: Semantics = {
  selectors: 'Q',
  small: laneNumber,
  emit(c, form) {
    const name = form.row.name
    const operation = elementOperation(name)!
    const saturation = new Saturation(c)
    const shape = shapeOf(form, 'd')
    const { bits } = shape
    const [n, d] = [c.readVector(R_N), c.readVector(R_D)]
    const b = oneElement(c, form, bits, true)!
    const compute = (i: number): I64 => {
      const [a, before] = [element(n, i, bits, true), element(d, i, bits, true)]
      return operation.apply({ a: c.let(a), b, d: c.let(before), bits, saturation }, c)
    }
    writeEach(c, shape, compute, name.startsWith('SQ') ? saturation : undefined)
  },
}

/**
 * Writes an element of half the size for each one of the first operand: to a register's lower half, or to the upper one and
 * keeps the other.
 *
 * @param saturation - ends after the last element
 */
export function writeNarrow(c: ArmContext, form: ArmForm, compute: (i: number) => I64, saturation?: Saturation): void {
  const shape = shapeOf(form, 'n')
  const bits = shape.bits / 2
  const results = computed(c, shape.count, compute, saturation)
  if (!isUpper(form)) {
    c.writeVector(R_D, vectorOf(c, bits, results))
    return
  }
  const { f } = c
  const vector = f.local('v128')
  f.set(vector, c.readVector(R_D))
  for (const [i, value] of results.entries()) f.set(vector, withElement(vector.get, i + results.length, bits, value))
  c.writeVector(R_D, vector.get)
}

/** ADDHN, SUBHN and the rounded ones: the upper halves of sums. */
const highNarrow: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const name = form.row.name
    const { bits } = shapeOf(form, 'n')
    const half = bits / 2
    const rounds = name.startsWith('R') ? 1n << BigInt(half - 1) : 0n
    const [n, m] = [c.readVector(R_N), c.readVector(R_M)]
    writeNarrow(c, form, (i) => {
      const [a, b] = [element(n, i, bits, false), element(m, i, bits, false)]
      return (name.includes('ADD') ? a.add(b) : a.sub(b)).add(rounds).shrU(half)
    })
  },
}

/** XTN, SQXTN, UQXTN and SQXTUN, also of scalars. */
const narrow: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const { bits } = shapeOf(form, 'n')
    const saturation = new Saturation(c)
    const n = c.readVector(R_N)
    const name = form.row.name
    const compute = (i: number): I64 => {
      const value = c.let(element(n, i, bits, name !== 'UQXTN'))
      return name === 'XTN' ? value : narrowedTo(value, bits / 2, name !== 'UQXTN', name === 'SQXTN', saturation)
    }
    writeNarrow(c, form, compute, name === 'XTN' ? undefined : saturation)
  },
}

/** A value cut to the range of half its bits. */
export function narrowedTo(
  value: I64,
  bits: number,
  fromSigned: boolean,
  toSigned: boolean,
  saturation: Saturation,
): I64 {
  if (fromSigned) return saturation.clamp(value, bits, toSigned)
  const greatest = (1n << BigInt(bits)) - 1n
  return saturation.replaceIf(value.gtU(greatest), I64.of(greatest), value)
}

/** SHLL: to the upper halves of elements of twice the size. */
const shiftLong: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const shape = shapeOf(form, 'd')
    const half = shape.bits / 2
    const n = c.readVector(R_N)
    const upper = isUpper(form)
    writeEach(c, shape, (i) => readNarrow(n, i, shape.count, upper, half, false).shl(half))
  },
}

/** SADDLP, UADALP: sums of neighbours, in twice the size. */
const pairsLong: Semantics = {
  selectors: 'zQ',
  emit(c, form) {
    const { name, sign } = form.row
    const isSigned = sign === 'S'
    const shape = shapeOf(form, 'd')
    const { bits } = shape
    const [n, d] = [c.readVector(R_N), c.readVector(R_D)]
    writeEach(c, shape, (i) => {
      const [a, b] = [0, 1].map((k) => element(n, 2 * i + k, bits / 2, isSigned))
      const sum = a!.add(b!)
      return name === `${sign}ADALP` ? element(d, i, bits, false).add(sum) : sum
    })
  },
}

/** SDOT and UDOT: each element of 32 bits gets the products of four bytes, or of four bytes of one element. */
const dot: Semantics = {
  selectors: 'Q',
  small: laneNumber,
  emit(c, form) {
    const isSigned = form.row.sign === 'S'
    const [n, m, d] = [c.readVector(R_N), c.readVector(R_M), c.readVector(R_D)]
    const one = form.row.operands.includes('[hl]') ? c.readElement(R_M, c.small, 4) : undefined
    const byte = (i: number): I64 => {
      if (one === undefined) return element(m, i, 8, isSigned)
      const value = one.shrU(8 * (i & 3))
      return isSigned ? value.extend8S() : value.and(0xff)
    }
    writeEach(c, shapeOf(form, 'd'), (i) => {
      let sum = element(d, i, 32, false)
      for (let k = 4 * i; k < 4 * i + 4; k++) sum = sum.add(element(n, k, 8, isSigned).mul(byte(k)))
      return sum
    })
  },
}

const polynomial: Semantics = {
  selectors: 'Q',
  emit(c, form) {
    const { f } = c
    const [n, m] = [c.readVector(R_N), c.readVector(R_M)]
    const upper = isUpper(form)
    const shape = shapeOf(form, 'd')
    if (shape.bits === 16) {
      const at = (vector: V128, i: number): I64 => c.let(readNarrow(vector, i, shape.count, upper, 8, false))
      writeEach(c, shape, (i) => polynomialProduct(at(n, i), at(m, i)))
      return
    }
    const [a, b] = [n, m].map((vector) => c.let(element(vector, upper ? 1 : 0, 64, false)))
    const [low, high, bit] = [f.local('i64'), f.local('i64'), f.local('i64')]
    f.set(low, I64.of(0))
    f.set(high, I64.of(0))
    f.set(bit, I64.of(0))
    f.loop((again) => {
      const chosen = c.let(I64.of(0).sub(b!.shrU(bit.get).and(1)))
      f.set(low, low.get.xor(a!.shl(bit.get).and(chosen)))
      // Shifted by 64 − bit, in two steps since no shift is by 64.
      f.set(high, high.get.xor(a!.shrU(1).shrU(I64.of(63).sub(bit.get)).and(chosen)))
      f.set(bit, bit.get.add(1))
      f.brIf(bit.get.ltU(64), again)
    })
    c.writeVector(R_D, vectorOf(c, 64, [low.get, high.get]))
  },
}

/** The family's semantics of a row. */
export function mixedSizes(row: Row): Semantics | undefined {
  const { name, sign } = row
  if (row.operation !== 'vector' && row.operation !== 'scalar' && row.operation !== 'element') return undefined
  if (name === 'PMULL') return polynomial
  if (name === 'SDOT' || name === 'UDOT') return dot
  if (/^R?(?:ADD|SUB)HN$/.test(name)) return highNarrow
  if (/^(?:XTN|[SU]QXTN|SQXTUN)$/.test(name)) return narrow
  if (name === 'SHLL') return shiftLong
  if (/^[SU]AD[DA]LP$/.test(name)) return pairsLong
  if (sign !== '' && LONG.has(name.slice(1))) return long
  return row.operands.includes('[hl]') && elementOperation(name) !== undefined ? byElement : undefined
}
