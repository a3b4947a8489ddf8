import { numeric, V128 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { valueOf, type ArmForm } from '../../state/form.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { eachOf, element, shuffled, vectorBytes, splat, writeEach, xor, zeros } from '../vector/lanes.ts'
import { laneNumber } from '../vector/mixed-sizes.ts'
import { shapeOf } from '../vector/shape.ts'
import { ARITHMETIC } from './arithmetic.ts'
import { elementFunction, type Precision } from './element.ts'
import { everywhere, firstOf, HOST, hostMultiplyAdd, hostVector, isFusedRight, type Elements } from './host.ts'
import { estimateOfFraction } from './estimates.ts'
import { operationOf, signOf } from './scalar.ts'

/** Arithmetic and comparison of vectors, and of scalars that are encoded as vectors are. */

/** The elements that a form writes. */
export function elementsOf(form: ArmForm): Elements {
  const { bits, count } = shapeOf(form, 'd')
  return { bits: bits as Precision, count }
}

/** Computes an operation on vectors, in the host's floating point if that is exact. The operands are locals. */
export function vectorResult(c: ArmContext, elements: Elements, name: string, operands: readonly V128[]): V128 {
  const { bits, count } = elements
  const callee = elementFunction(c.library, name, bits, operationOf(name)!)
  const slow = (): V128 =>
    eachOf(c, elements, (i) => c.f.call(callee, c.state, ...operands.map((each) => element(each, i, bits, false))))
  return bits === 16 || HOST[name] === undefined ? slow() : hostVector(c, bits, count, name, operands, slow)
}

/** The sign bits of all elements. */
export const signs = (bits: Precision): V128 => everywhere(BigInt.asUintN(bits, signOf(bits)), bits)

/** a · b + addend. */
export function vectorMultiplyAdd(c: ArmContext, elements: Elements, a: V128, b: V128, addend: V128): V128 {
  const { f, library, state } = c
  const { bits } = elements
  const callee = elementFunction(library, 'MLA', bits, ARITHMETIC['MLA']!)
  const slow = (): V128 =>
    eachOf(c, elements, (i) => {
      const [x, y, z] = [a, b, addend].map((each) => element(each, i, bits, false))
      return f.call(callee, state, x!, y!, z!)
    })
  if (bits === 16) return slow()
  const result = f.local('v128')
  f.set(result, hostMultiplyAdd(c, bits, a, b, addend))
  const isRight = isFusedRight(c, elements, a, b, addend, result.get)
  f.if(isRight.eqz(), () => f.set(result, slow()))
  return firstOf(result.get, elements)
}

/** Returns the result of an instruction for its operands. */
export function computed(
  c: ArmContext,
  elements: Elements,
  name: string,
  n: V128,
  m: V128 | undefined,
  d: () => V128,
): V128 {
  const { bits } = elements
  if (name === 'MLA' || name === 'MLS') {
    const left = name === 'MLS' ? c.let(xor(n, signs(bits))) : n
    return vectorMultiplyAdd(c, elements, left, m!, d())
  }
  if (name === 'ABD') return numeric('v128.andnot', vectorResult(c, elements, 'SUB', [n, m!]), signs(bits))
  return vectorResult(c, elements, name, m === undefined ? [n] : [n, m])
}

/** An element of the second register, in every lane. */
export function repeatedElement(c: ArmContext, bits: Precision): V128 {
  return c.let(splat(c.readElement(R_M, c.small, (bits / 8) as 2 | 4 | 8), bits))
}

/** Returns the second operand: a register, one of its elements, zero, or undefined. */
function secondOf(c: ArmContext, row: Row, bits: Precision): V128 | undefined {
  if (row.operands.includes('#0.0')) return c.let(zeros())
  if (!row.fields.has('m')) return undefined
  return row.operands.includes('[') ? repeatedElement(c, bits) : c.readVector(R_M)
}

const elementwise: Semantics = {
  selectors: 'xQ',
  small: laneNumber,
  emit(c, form) {
    const elements = elementsOf(form)
    const n = c.readVector(R_N)
    const m = secondOf(c, form.row, elements.bits)
    const result = computed(c, elements, form.row.name.slice(1), n, m, () => c.readVector(R_D))
    c.writeVector(R_D, result)
  },
}

// ---------------------------------------------------------------- neighbours

/**
 * Selects elements from two vectors.
 *
 * @param numberOf - number of the element that the result's element `i` is; from `128 / bits` on, of the second vector
 */
function chosen(c: ArmContext, bits: Precision, n: V128, m: V128, numberOf: (i: number) => number): V128 {
  const bytes = bits / 8
  return c.let(shuffled(n, m, (i) => numberOf(Math.floor(i / bytes)) * bytes + (i % bytes)))
}

/** Elements of even and of odd numbers, of the first `count` of either vector. */
function neighbours(c: ArmContext, bits: Precision, n: V128, m: V128, count: number): [even: V128, odd: V128] {
  const numberOf = (i: number): number => (i < count ? i : i < 2 * count ? i - count + 128 / bits : 0)
  const every = (first: number): V128 => chosen(c, bits, n, m, (i) => (i < count ? numberOf(2 * i + first) : 0))
  return [every(0), every(1)]
}

/** FADDP and the like, of vectors and of a pair. */
const pairwise: Semantics = {
  selectors: 'xQ',
  emit(c, form) {
    const elements = elementsOf(form)
    const { bits, count } = elements
    const name = form.row.name.slice(1, -1)
    const n = c.readVector(R_N)
    const m = form.row.fields.has('m') ? c.readVector(R_M) : n
    c.writeVector(R_D, vectorResult(c, elements, name, neighbours(c, bits, n, m, count === 1 ? 2 : count)))
  },
}

/** FMAXV and the like: neighbours, until one is left. */
const across: Semantics = {
  selectors: 'Q',
  emit(c, form) {
    const { bits, count } = shapeOf(form, 'n')
    const name = form.row.name.slice(1, -1)
    let value = c.readVector(R_N)
    for (let left = count / 2; left >= 1; left /= 2) {
      const pairs = neighbours(c, bits as Precision, value, value, 2 * left)
      value = c.let(vectorResult(c, { bits: bits as Precision, count: left }, name, pairs))
    }
    c.writeVector(R_D, value)
  },
}

// ---------------------------------------------------------------- complex numbers

/** The sign bits of elements of even or of odd numbers. */
function signsOf(bits: Precision, isNegated: (i: number) => boolean): V128 {
  const bytes = bits / 8
  return V128.of(vectorBytes((i) => ((i + 1) % bytes === 0 && isNegated(Math.floor(i / bytes)) ? 0x80 : 0)))
}

/** The elements of each pair, exchanged. */
const swapped = (c: ArmContext, bits: Precision, vector: V128): V128 => chosen(c, bits, vector, vector, (i) => i ^ 1)

/** FCADD: the second operand is turned by 90 or 270 degrees. */
const complexSum: Semantics = {
  selectors: 'zQr',
  emit(c, form) {
    const elements = elementsOf(form)
    const { bits } = elements
    const negated = valueOf(form, 'r') === 0 ? 0 : 1
    const negative = signsOf(bits, (i) => i % 2 === negated)
    const turned = xor(swapped(c, bits, c.readVector(R_M)), negative)
    c.writeVector(R_D, vectorResult(c, elements, 'ADD', [c.readVector(R_N), c.let(turned)]))
  },
}

/** FCMLA: half of a complex product, turned by a multiple of 90 degrees. */
const complexProduct: Semantics = {
  selectors: 'zQr',
  small: laneNumber,
  emit(c, form) {
    const elements = elementsOf(form)
    const { bits } = elements
    const turn = valueOf(form, 'r')
    const ofImaginary = turn % 2
    const n = c.readVector(R_N)
    const left = chosen(c, bits, n, n, (i) => (i & ~1) | ofImaginary)
    const m = form.row.operands.includes('[') ? repeatedPair(c, bits) : c.readVector(R_M)
    const right = ofImaginary === 1 ? swapped(c, bits, m) : m
    // By 90 degrees the real parts are negated, by 180 both, by 270 the imaginary ones.
    const isNegated = (i: number): boolean => turn === 2 || (turn === 1 && i % 2 === 0) || (turn === 3 && i % 2 === 1)
    const signed = turn === 0 ? right : c.let(xor(right, signsOf(bits, isNegated)))
    c.writeVector(R_D, vectorMultiplyAdd(c, elements, left, signed, c.readVector(R_D)))
  },
}

/** The pair of elements that an instruction names, all over a vector. */
function repeatedPair(c: ArmContext, bits: Precision): V128 {
  return c.let(splat(c.readElement(R_M, c.small, (bits / 4) as 4 | 8), 2 * bits))
}

// ---------------------------------------------------------------- products of half precision

/** FMLAL, FMLSL and those of the upper half: products of half precision, added to single precision. */
const long: Semantics = {
  selectors: 'Q',
  small: laneNumber,
  emit(c, form) {
    const elements = elementsOf(form)
    const { attributes, operands } = form.row
    const n = c.readVector(R_N)
    const left = attributes.has('minus') ? c.let(xor(n, signs(16))) : n
    const m = operands.includes('[') ? repeatedElement(c, 16) : c.readVector(R_M)
    const d = c.readVector(R_D)
    const first = attributes.has('upper') ? elements.count : 0
    const callee = elementFunction(c.library, 'MLAL', 32, ARITHMETIC['MLAL']!)
    writeEach(c, elements, (i) => {
      const [a, b] = [left, m].map((each) => element(each, first + i, 16, false))
      return c.f.call(callee, c.state, a!, b!, element(d, i, 32, false))
    })
  },
}

/** URECPE and URSQRTE. */
const fractionEstimate: Semantics = {
  selectors: 'Q',
  emit(c, form) {
    const elements = elementsOf(form)
    const n = c.readVector(R_N)
    const isRoot = form.row.name === 'URSQRTE'
    writeEach(c, elements, (i) => estimateOfFraction(c, element(n, i, 32, false), isRoot))
  },
}

const PAIRWISE = /^F(?:ADD|MAX|MIN|MAXNM|MINNM)P$/
/** Operations with special code. */
const OTHERS: ReadonlySet<string> = new Set(['MLA', 'MLS', 'ABD'])

/** The family's semantics of a row. */
export function vectorFloat(row: Row): Semantics | undefined {
  const { name: whole, operation, feature } = row
  if (operation === 'vector' && (whole === 'URECPE' || whole === 'URSQRTE')) return fractionEstimate
  if (!whole.startsWith('F')) return undefined
  if (operation === 'across') return across
  if (!/^(?:vector|scalar|element)$/.test(operation)) return undefined
  if (PAIRWISE.test(whole)) return pairwise
  if (feature === 'FHM') return long
  if (whole === 'FCADD') return complexSum
  if (whole === 'FCMLA') return complexProduct
  const name = whole.slice(1)
  return OTHERS.has(name) || operationOf(name) !== undefined ? elementwise : undefined
}
