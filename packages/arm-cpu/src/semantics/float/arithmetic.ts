import {
  add,
  asFloat,
  bitsOf,
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_QNAN,
  CLASS_ZERO,
  compare,
  divide,
  EQUAL,
  float,
  GREATER,
  isExactAnyway,
  LESS,
  multiply,
  multiplyAdd,
  propagateNan,
  SLOT_A,
  SLOT_B,
  SLOT_C,
  SLOT_R,
  squareRoot,
  UNORDERED,
} from '@retrap/soft-float'
import type { Operation } from '@retrap/soft-float'
import { I32, I64, select } from '@retrap/wasm-emitter'
import { FPCR_RMODE_SHIFT } from '../../state/float-rules.ts'
import { S_FPCR } from '../../state/state-layout.ts'
import type { FloatElement, FloatOperation } from './element.ts'

/**
 * Arithmetic and comparison of elements.
 *
 * Source: Arm ARM (DDI 0487) J1.2 "shared/functions/float", FPAdd, FPMul, FPMulX, FPMax, FPMaxNum, FPMulAdd,
 * FPRecipStepFused, FPCompareEQ and those beside them.
 */

/** Returns the host's result from the function, if it is exact. */
function tryHost({ f, state, bits }: FloatElement, operation: Operation, a: I64, b: I64): void {
  if (bits === 16) return
  const [x, y] = [asFloat(f, bits, a), asFloat(f, bits, b)]
  const result = f.let(operation === 'sqrt' ? float(bits, 'sqrt', x) : float(bits, operation, x, y))
  // Towards minus infinity an exact sum of zero is negative.
  const mode = f.loadExpression('i32.load', state, S_FPCR).shrU(FPCR_RMODE_SHIFT).and(3)
  f.if(isExactAnyway(mode.ne(2), operation, bits, result, x, y), () => f.return(bitsOf(bits, result)))
}

export function unpackBoth(e: FloatElement, a: I64, b: I64): void {
  e.begin()
  e.unpack(SLOT_A, a)
  e.unpack(SLOT_B, b)
}

const sum =
  (subtracts: number) =>
  (e: FloatElement, a: I64, b: I64): I64 => {
    tryHost(e, subtracts === 1 ? 'sub' : 'add', a, b)
    unpackBoth(e, a, b)
    e.call(add(e.library), I32.of(subtracts))
    return e.finish()
  }

function product(e: FloatElement, a: I64, b: I64): I64 {
  tryHost(e, 'mul', a, b)
  unpackBoth(e, a, b)
  e.call(multiply(e.library))
  return e.finish()
}

function quotient(e: FloatElement, a: I64, b: I64): I64 {
  tryHost(e, 'div', a, b)
  unpackBoth(e, a, b)
  e.call(divide(e.library))
  return e.finish()
}

function root(e: FloatElement, a: I64): I64 {
  tryHost(e, 'sqrt', a, a)
  e.begin()
  e.unpack(SLOT_A, a)
  e.call(squareRoot(e.library))
  return e.finish()
}

/** 1 if A and B are zero and infinity, in any order. */
export function isInvalidProduct(e: FloatElement): I32 {
  const [a, b] = [e.slot(SLOT_A).class, e.slot(SLOT_B).class]
  const is = (first: I32, second: I32): I32 => first.eq(CLASS_INFINITY).and(second.eq(CLASS_ZERO))
  return is(a, b).or(is(b, a))
}

/** FMULX: zero times infinity is 2. */
function extendedProduct(e: FloatElement, a: I64, b: I64): I64 {
  const { f } = e
  unpackBoth(e, a, b)
  f.if(isInvalidProduct(e), () => {
    e.end()
    f.return(e.power(1).or(a.xor(b).and(e.signBit)))
  })
  e.call(multiply(e.library))
  return e.finish()
}

/** a · b + c. */
function fused(e: FloatElement, a: I64, b: I64, c: I64): I64 {
  unpackBoth(e, a, b)
  e.unpack(SLOT_C, c)
  e.call(multiplyAdd(e.library), I32.of(0), I32.of(0))
  return e.finish()
}

/** A product of half precision, added to a number of single precision. */
function fusedLong(e: FloatElement, a: I64, b: I64, c: I64): I64 {
  e.begin('both', 16)
  e.unpack(SLOT_A, a, 16)
  e.unpack(SLOT_B, b, 16)
  e.begin('both', 32)
  e.unpack(SLOT_C, c, 32)
  e.call(multiplyAdd(e.library), I32.of(0), I32.of(0))
  return e.finish(32)
}

/** The constant 1.5 · 2^exponent. */
const oneAndAHalf = (e: FloatElement, exponent: number): I64 =>
  e.power(exponent).or(I64.of(1).shl({ 16: 9, 32: 22, 64: 51 }[e.bits]))

/** The constant that a step of Newton's method subtracts a product from: 3 for a root's reciprocal, otherwise 2. */
export const minuendOfStep = (e: FloatElement, isRoot: boolean): I64 => (isRoot ? oneAndAHalf(e, 1) : e.power(1))

/** Rounds the result of a step, in slot R: half of it for a root's reciprocal. */
export function finishStep(e: FloatElement, isRoot: boolean): I64 {
  if (isRoot) {
    const r = e.slot(SLOT_R)
    e.f.if(r.class.eq(CLASS_FINITE), () => {
      r.exponent = r.exponent.sub(1)
    })
  }
  return e.finish()
}

/** FRECPS: 2 − a · b. FRSQRTS: (3 − a · b) / 2. Zero times infinity counts as zero. */
const step =
  (isRoot: boolean) =>
  (e: FloatElement, a: I64, b: I64): I64 => {
    const { f } = e
    unpackBoth(e, a.xor(e.signBit), b)
    f.if(isInvalidProduct(e), () => {
      e.end()
      f.return(isRoot ? oneAndAHalf(e, 0) : e.power(1))
    })
    e.unpack(SLOT_C, minuendOfStep(e, isRoot))
    e.call(multiplyAdd(e.library), I32.of(0), I32.of(0))
    return finishStep(e, isRoot)
  }

/** The greater, or the lesser. Of zeros the positive one is the greater. @param ofNumbers - a number beats a quiet NaN */
const extreme =
  ({ isGreatest, ofNumbers }: { readonly isGreatest: boolean; readonly ofNumbers: boolean }) =>
  (e: FloatElement, a: I64, b: I64): I64 => {
    const { f, library, state } = e
    unpackBoth(e, a, b)
    const [x, y, r] = [e.slot(SLOT_A), e.slot(SLOT_B), e.slot(SLOT_R)]
    if (ofNumbers) {
      const [classX, classY] = [x.class, y.class]
      f.if(classX.eq(CLASS_QNAN).and(classY.ltU(CLASS_QNAN)), () => x.setInfinity(I32.of(isGreatest ? 1 : 0)))
      f.if(classY.eq(CLASS_QNAN).and(classX.ltU(CLASS_QNAN)), () => y.setInfinity(I32.of(isGreatest ? 1 : 0)))
    }
    f.if(f.call(propagateNan(library), state).eqz(), () => {
      const order = f.call(compare(library), state, I32.of(1))
      f.if(
        order.eq(isGreatest ? LESS : GREATER),
        () => r.copy(y),
        () => r.copy(x),
      )
      f.if(order.eq(EQUAL), () => {
        r.sign = isGreatest ? x.sign.and(y.sign) : x.sign.or(y.sign)
      })
    })
    return e.finish()
  }

type Relation = 'EQ' | 'GE' | 'GT'

/** All ones if a relation holds, otherwise zero. */
const relation =
  (kind: Relation, ofMagnitudes: boolean) =>
  (e: FloatElement, a: I64, b: I64): I64 => {
    const { f, library, state } = e
    const magnitude = (value: I64): I64 => (ofMagnitudes ? value.and(~e.signBit) : value)
    unpackBoth(e, magnitude(a), magnitude(b))
    const order = f.call(compare(library), state, I32.of(kind === 'EQ' ? 1 : 0))
    e.end()
    const isEqual = order.eq(EQUAL)
    const isGreater = order.eq(GREATER)
    const holds = kind === 'EQ' ? isEqual : kind === 'GT' ? isGreater : isGreater.or(isEqual)
    return I64.of(0).sub(holds.toI64U())
  }

/** FCMP: N, Z, C and V, in bits 3 to 0. @param signals - quiet NaNs are invalid too */
const order =
  (signals: boolean) =>
  (e: FloatElement, a: I64, b: I64): I64 => {
    const { f, library, state } = e
    unpackBoth(e, a, b)
    const found = f.call(compare(library), state, I32.of(signals ? 0 : 1))
    e.end()
    const ordered = select(found.eq(LESS), I32.of(8), select(found.eq(EQUAL), I32.of(6), I32.of(2)))
    return select(found.eq(UNORDERED), I32.of(3), ordered).toI64U()
  }

const two = (emit: FloatOperation['emit']): FloatOperation => ({ operands: 2, emit })

/** Operations by mnemonic without `F`, of vectors and similar instructions. */
export const ARITHMETIC: Readonly<Record<string, FloatOperation>> = {
  ADD: two(sum(0)),
  SUB: two(sum(1)),
  MUL: two(product),
  DIV: two(quotient),
  SQRT: { operands: 1, emit: root },
  MULX: two(extendedProduct),
  MLA: { operands: 3, emit: fused },
  MLAL: { operands: 3, emit: fusedLong },
  RECPS: two(step(false)),
  RSQRTS: two(step(true)),
  MAX: two(extreme({ isGreatest: true, ofNumbers: false })),
  MIN: two(extreme({ isGreatest: false, ofNumbers: false })),
  MAXNM: two(extreme({ isGreatest: true, ofNumbers: true })),
  MINNM: two(extreme({ isGreatest: false, ofNumbers: true })),
  CMEQ: two(relation('EQ', false)),
  CMGE: two(relation('GE', false)),
  CMGT: two(relation('GT', false)),
  CMLE: two((e, a, b) => relation('GE', false)(e, b, a)),
  CMLT: two((e, a, b) => relation('GT', false)(e, b, a)),
  ACGE: two(relation('GE', true)),
  ACGT: two(relation('GT', true)),
  CMP: two(order(false)),
  CMPE: two(order(true)),
}
