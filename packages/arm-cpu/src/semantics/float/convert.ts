import {
  bitsOf,
  float,
  floatTest,
  ofBits,
  ordinaryBits,
  ROUND_DOWN,
  ROUND_NEAREST,
  ROUND_TIES_AWAY,
  ROUND_UP,
  ROUND_ZERO,
} from '@retrap/soft-float'
import type { Bits, Float } from '@retrap/soft-float'
import { F32, F64, I32, numeric, type I64 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { fieldOf, type ArmForm } from '../../state/form.ts'
import { flagsOfBits } from '../flags.ts'
import { isWide } from '../operands.ts'
import { R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import {
  changePrecision,
  fromFixed,
  ROUND_BY_FPCR,
  roundToIntegral,
  roundToSize,
  toFixed,
  toModularInteger,
} from './conversions.ts'
import type { Precision } from './element.ts'
import { floatLocal, isInexactAlready, isNearest, isSettled, keepsDenormals } from './host.ts'
import { precisionOf, readScalar, writeScalar } from './scalar.ts'

/** Conversions of scalars: to and from integers and fixed-point numbers, to another precision, to a whole number. */

/** Rounding by the letter of a mnemonic: A, N, M, P, Z; I and X by FPCR. */
export const ROUNDING: Readonly<Record<string, number>> = {
  A: ROUND_TIES_AWAY,
  N: ROUND_NEAREST,
  M: ROUND_DOWN,
  P: ROUND_UP,
  Z: ROUND_ZERO,
  I: ROUND_BY_FPCR,
  X: ROUND_BY_FPCR,
}

/** The host's instruction for a rounding mode; ties away from zero have none. For FPCR's mode: if that is to nearest. */
export const HOST_ROUNDING: Readonly<Record<number, string>> = {
  [ROUND_NEAREST]: 'nearest',
  [ROUND_DOWN]: 'floor',
  [ROUND_UP]: 'ceil',
  [ROUND_ZERO]: 'trunc',
  [ROUND_BY_FPCR]: 'nearest',
}

/** How an instruction rounds: FRINTX, FCVTNS and the like. */
export interface Rounding {
  readonly mode: number
  /** An inexact result is raised. */
  readonly exact: boolean
}

/** The rounding of FRINT and its like. */
export const roundingOf = ({ rounding }: Row): Rounding => ({ mode: ROUNDING[rounding]!, exact: rounding === 'X' })

const constant = (bits: Bits, value: number): Float => (bits === 64 ? F64.of(value) : F32.of(value))

/** A number without its fraction, as an encoding. */
export function rounded(c: ArmContext, bits: Precision, { mode, exact }: Rounding, value: I64): I64 {
  const { f, library, state } = c
  const slow = (): I64 => f.call(roundToIntegral(library, bits), state, value, I32.of(mode), I32.of(exact ? 1 : 0))
  const host = HOST_ROUNDING[mode]
  if (bits === 16 || host === undefined) return slow()
  const x = ofBits(bits, value)
  const result = floatLocal(c, bits)
  f.set(result, float(bits, host, x))
  const modeIsRight = exact ? isSettled(c) : mode === ROUND_BY_FPCR ? isNearest(c) : keepsDenormals(c)
  const isRight = floatTest(bits, 'eq', result.get, result.get).and(modeIsRight)
  return f.ifElse('i64', isRight, () => bitsOf(bits, result.get), slow)
}

const integral: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const bits = precisionOf(form)
    const value = c.let(readScalar(c, R_N, bits))
    writeScalar(c, bits, rounded(c, bits, roundingOf(form.row), value))
  },
}

/** FRINT32Z and the like: the size of the integer, and the rounding. */
export function roundedToSize(c: ArmContext, bits: Precision, { size, rounding }: Row, value: I64): I64 {
  const mode = rounding === 'Z' ? ROUND_ZERO : ROUND_BY_FPCR
  return c.f.call(roundToSize(c.library, bits), c.state, value, I32.of(mode), I32.of(8 * size))
}

const integralOfSize: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const bits = precisionOf(form)
    writeScalar(c, bits, roundedToSize(c, bits, form.row, c.let(readScalar(c, R_N, bits))))
  },
}

/** A kind of integers, or of fixed-point numbers. */
export interface Fixed {
  readonly width: number
  readonly unsigned: boolean
  /** Bits of the fraction: 0 of integers. */
  readonly fraction: I32
}

/** Converts a number to fixed point; the low bits of the result count. */
export function numberToFixed(c: ArmContext, bits: Precision, mode: number, to: Fixed, value: I64): I64 {
  const { f, library, state } = c
  const { width, unsigned, fraction } = to
  const slow = (): I64 =>
    f.call(toFixed(library, bits), state, value, I32.of(mode), I32.of(width), I32.of(unsigned ? 1 : 0), fraction)
  const host = HOST_ROUNDING[mode]
  if (bits === 16 || host === undefined || fraction.known !== 0) return slow()
  const x = ofBits(bits, value)
  const whole = floatLocal(c, bits)
  f.set(whole, float(bits, host, x))
  const [least, most] = unsigned ? [0, 2 ** width] : [-(2 ** (width - 1)), 2 ** (width - 1)]
  const isInside = floatTest(bits, 'ge', whole.get, constant(bits, least)).and(
    floatTest(bits, 'lt', whole.get, constant(bits, most)),
  )
  // An exact result raises no flag; a denormal number is not exact.
  const isExact = floatTest(bits, 'eq', whole.get, x)
  const isRounded = mode === ROUND_BY_FPCR ? isSettled(c) : isInexactAlready(c)
  const isRight = isInside.and(isExact.or(isRounded))
  const convert = `i64.trunc_sat_f${bits}_${unsigned ? 'u' : 's'}` as 'i64.trunc_sat_f64_s'
  return f.ifElse('i64', isRight, () => numeric(convert, whole.get), slow)
}

/** The low bits of the fixed-point number's register, extended. */
const fixedOperand = (value: I64, { width, unsigned }: Fixed): I64 =>
  width === 64 ? value : unsigned ? value.toI32().toI64U() : value.toI32().toI64S()

/** A fixed-point number of 64 bits as a number. */
export function fixedToNumber(c: ArmContext, bits: Precision, from: Fixed, value: I64): I64 {
  const { f, library, state } = c
  const { unsigned, fraction } = from
  const slow = (): I64 => f.call(fromFixed(library, bits), state, value, I32.of(unsigned ? 1 : 0), fraction)
  if (bits === 16 || fraction.known !== 0) return slow()
  const convert = `f${bits}.convert_i64_${unsigned ? 'u' : 's'}` as 'f64.convert_i64_s'
  const host = (): I64 => bitsOf(bits, numeric(convert, value))
  // Integers of as many bits as the fraction has are exact.
  const limit = bits === 64 ? 2n ** 53n : 2n ** 24n
  if (from.width === 32 && bits === 64) return host()
  const isExact = unsigned ? value.leU(limit) : value.add(limit).leU(2n * limit)
  return f.ifElse('i64', isExact.or(isSettled(c)), host, slow)
}

/** The numbers that a conversion is to or from: integers, or fixed-point numbers whose fraction's bits the record has. */
export const fixedOf = (c: ArmContext, { row }: ArmForm, width: number): Fixed => ({
  width,
  unsigned: row.sign === 'U',
  fraction: row.operands.includes('<#') ? c.small : I32.of(0),
})

const toInteger: Semantics = {
  selectors: 'yf',
  small: (row, word) => 64 - fieldOf(row, 's', word),
  emit(c, form) {
    const bits = precisionOf(form)
    const fixed = fixedOf(c, form, isWide(form) ? 64 : 32)
    const value = c.let(readScalar(c, R_N, bits))
    c.setD(numberToFixed(c, bits, ROUNDING[form.row.rounding]!, fixed, value), fixed.width === 64)
  },
}

const fromInteger: Semantics = {
  selectors: 'yf',
  small: (row, word) => 64 - fieldOf(row, 's', word),
  emit(c, form) {
    const bits = precisionOf(form)
    const fixed = fixedOf(c, form, isWide(form) ? 64 : 32)
    writeScalar(c, bits, fixedToNumber(c, bits, fixed, c.let(fixedOperand(c.n(true), fixed))))
  },
}

/** FJCVTZS. */
const modular: Semantics = {
  selectors: '',
  emit(c) {
    const { f } = c
    const value = c.let(readScalar(c, R_N, 64))
    const result = f.call(toModularInteger(c.library), c.state, value)
    c.setD(result, false)
    c.setFlags(flagsOfBits(c.let(result.shrU(32).toI32().shl(2))))
  },
}

/** Converts a number to another precision. */
export function inPrecision(c: ArmContext, from: Precision, to: Precision, value: I64): I64 {
  const { f, library, state } = c
  const slow = (): I64 => f.call(changePrecision(library, from, to), state, value)
  if (from === 16 || to === 16) return slow()
  if (to === 64) {
    const result = f.let(numeric('f64.promote_f32', F32.ofBits(value.toI32())))
    const isRight = floatTest(64, 'eq', result, result).and(keepsDenormals(c))
    return f.ifElse('i64', isRight, () => result.asI64(), slow)
  }
  const x = F64.ofBits(value)
  const result = floatLocal(c, 32)
  f.set(result, numeric('f32.demote_f64', x) as unknown as F64)
  const same = floatTest(64, 'eq', numeric('f64.promote_f32', result.get as unknown as F32), x)
  const isRight = same.and(keepsDenormals(c)).or(ordinaryBits(32, result.get).ne(0).and(isSettled(c)))
  return f.ifElse('i64', isRight, () => bitsOf(32, result.get), slow)
}

const precision: Semantics = {
  selectors: '',
  emit(c, form) {
    const [from, to] = [precisionOf(form, 'n'), precisionOf(form)]
    writeScalar(c, to, inPrecision(c, from, to, c.let(readScalar(c, R_N, from))))
  },
}

/** The family's semantics of a row. */
export function scalarConversions(row: Row): Semantics | undefined {
  const { name, operation, rounding, size } = row
  if (operation === 'convert') {
    if (name === 'FJCVTZS') return modular
    return rounding === '' ? fromInteger : toInteger
  }
  if (operation !== 'float') return undefined
  if (name === 'FCVT') return precision
  if (rounding === '') return undefined
  return size > 0 ? integralOfSize : integral
}
