import { vector, type Bits } from '@retrap/soft-float'
import { F64, I32, numeric, type V128, type I64 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../../state/form.ts'
import { R_D, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { element, eachOf, writeEach } from '../vector/lanes.ts'
import { writeNarrow } from '../vector/mixed-sizes.ts'
import { isUpper, shapeOf } from '../vector/shape.ts'
import { fromFixed, ROUND_BY_FPCR, roundToIntegral, toFixed, toOdd } from './conversions.ts'
import { fixedOf, fixedToNumber, HOST_ROUNDING, inPrecision, ROUNDING, roundedToSize, roundingOf } from './convert.ts'
import type { Precision } from './element.ts'
import { areAllSet, firstOf, isInexactAlready, isNearest, isSettled, keepsDenormals } from './host.ts'
import type { Elements } from './host.ts'
import { elementsOf } from './vector.ts'

/** Conversions of vectors, and of scalars with the encodings of vectors. */

const and = (a: V128, b: V128): V128 => numeric('v128.and', a, b)

/** A vector of a number of the host. */
function constant(bits: Bits, value: number): V128 {
  return bits === 64
    ? numeric('f64x2.splat', F64.of(value))
    : numeric('i32x4.splat', I32.of(new Int32Array(Float32Array.of(value).buffer)[0]!))
}

/** FRINTN and the like. */
const integral: Semantics = {
  selectors: 'xQ',
  emit(c, form) {
    const { f, library, state } = c
    const elements = elementsOf(form)
    const { bits, count } = elements
    const { mode, exact } = roundingOf(form.row)
    const n = c.readVector(R_N)
    const slow = (): V128 =>
      eachOf(c, elements, (i) => {
        const operand = element(n, i, bits, false)
        return f.call(roundToIntegral(library, bits), state, operand, I32.of(mode), I32.of(exact ? 1 : 0))
      })
    const host = HOST_ROUNDING[mode]
    if (bits === 16 || host === undefined) {
      c.writeVector(R_D, slow())
      return
    }
    const result = f.local('v128')
    f.set(result, vector(bits, host, n))
    const numbers = areAllSet(vector(bits, 'eq', n, n), count, bits)
    const modeIsRight = exact ? isSettled(c) : mode === ROUND_BY_FPCR ? isNearest(c) : keepsDenormals(c)
    f.if(numbers.and(modeIsRight).eqz(), () => f.set(result, slow()))
    c.writeVector(R_D, firstOf(result.get, elements))
  },
}

/** FRINT32Z and the like. */
const integralOfSize: Semantics = {
  selectors: 'xQ',
  emit(c, form) {
    const elements = elementsOf(form)
    const n = c.readVector(R_N)
    writeEach(c, elements, (i) => roundedToSize(c, elements.bits, form.row, element(n, i, elements.bits, false)))
  },
}

/** Bits of the fraction: the shift that the encoding would be. */
const fractionBits = (row: Row, word: number): number => {
  const [, width] = /<#(\d+)-i>/.exec(row.operands) ?? []
  return width === undefined ? 0 : Number(width) - fieldOf(row, 'i', word)
}

/** The host's conversion to integers, of single or double precision. */
function hostToFixed(c: ArmContext, elements: Elements, unsigned: boolean, whole: V128): V128 {
  if (elements.bits === 32) return numeric(unsigned ? 'i32x4.trunc_sat_f32x4_u' : 'i32x4.trunc_sat_f32x4_s', whole)
  const convert = unsigned ? 'i64.trunc_sat_f64_u' : 'i64.trunc_sat_f64_s'
  return eachOf(c, elements, (i) => numeric(convert, F64.ofBits(element(whole, i, 64, false))))
}

/** FCVTZS and the like. */
const toIntegers: Semantics = {
  selectors: 'xQ',
  small: fractionBits,
  emit(c, form) {
    const { f, library, state } = c
    const elements = elementsOf(form)
    const { bits, count } = elements
    const mode = ROUNDING[form.row.rounding]!
    const { width, unsigned, fraction } = fixedOf(c, form, bits)
    const n = c.readVector(R_N)
    const slow = (): V128 =>
      eachOf(c, elements, (i) => {
        const operand = element(n, i, bits, false)
        const isUnsignedValue = I32.of(unsigned ? 1 : 0)
        return f.call(toFixed(library, bits), state, operand, I32.of(mode), I32.of(width), isUnsignedValue, fraction)
      })
    const host = HOST_ROUNDING[mode]
    if (bits === 16 || host === undefined || fraction.known !== 0) {
      c.writeVector(R_D, slow())
      return
    }
    const whole = c.let(vector(bits, host, n))
    const [least, most] = unsigned ? [0, 2 ** width] : [-(2 ** (width - 1)), 2 ** (width - 1)]
    const inside = and(
      vector(bits, 'ge', whole, constant(bits, least)),
      vector(bits, 'lt', whole, constant(bits, most)),
    )
    // An exact result raises no flag; a denormal number is not exact.
    const same = areAllSet(vector(bits, 'eq', whole, n), count, bits)
    const isRight = areAllSet(inside, count, bits).and(same.or(isInexactAlready(c)))
    const result = f.local('v128')
    f.if(
      isRight,
      () => f.set(result, firstOf(hostToFixed(c, elements, unsigned, whole), elements)),
      () => f.set(result, slow()),
    )
    c.writeVector(R_D, result.get)
  },
}

/** SCVTF and UCVTF. */
const fromIntegers: Semantics = {
  selectors: 'xQ',
  small: fractionBits,
  emit(c, form) {
    const { f, library, state } = c
    const elements = elementsOf(form)
    const { bits } = elements
    const fixed = fixedOf(c, form, bits)
    const { unsigned, fraction } = fixed
    const n = c.readVector(R_N)
    const operand = (i: number): I64 => element(n, i, bits, !unsigned)
    if (bits === 64) {
      writeEach(c, elements, (i) => fixedToNumber(c, bits, fixed, c.let(operand(i))))
      return
    }
    const slow = (): V128 =>
      eachOf(c, elements, (i) =>
        f.call(fromFixed(library, bits), state, operand(i), I32.of(unsigned ? 1 : 0), fraction),
      )
    if (bits === 16 || fraction.known !== 0) {
      c.writeVector(R_D, slow())
      return
    }
    const result = f.local('v128')
    const convert = unsigned ? 'f32x4.convert_i32x4_u' : 'f32x4.convert_i32x4_s'
    f.if(
      isSettled(c),
      () => f.set(result, firstOf(numeric(convert, n), elements)),
      () => f.set(result, slow()),
    )
    c.writeVector(R_D, result.get)
  },
}

/** FCVTL, to elements of twice the size. */
const widened: Semantics = {
  selectors: 'Q',
  emit(c, form) {
    const elements = elementsOf(form)
    const { bits, count } = elements
    const from = (bits / 2) as Precision
    const first = isUpper(form) ? count : 0
    const n = c.readVector(R_N)
    writeEach(c, elements, (i) => inPrecision(c, from, bits, c.let(element(n, first + i, from, false))))
  },
}

/** FCVTN and FCVTXN, to elements of half the size. */
const narrowed: Semantics = {
  selectors: 'Q',
  emit(c, form) {
    const { f, library, state } = c
    const { bits } = shapeOf(form, 'n')
    const [from, to] = [bits as Precision, (bits / 2) as Precision]
    const isOdd = form.row.name === 'FCVTXN'
    const n = c.readVector(R_N)
    writeNarrow(c, form, (i) => {
      const value = element(n, i, from, false)
      return isOdd ? f.call(toOdd(library), state, value) : inPrecision(c, from, to, c.let(value))
    })
  },
}

/** The family's semantics of a row. */
export function vectorConversions(row: Row): Semantics | undefined {
  const { name, operation, rounding, sign, size } = row
  if (operation !== 'vector' && operation !== 'scalar') return undefined
  if (rounding !== '') return sign !== '' ? toIntegers : size > 0 ? integralOfSize : integral
  if (name === 'SCVTF' || name === 'UCVTF') return fromIntegers
  if (name === 'FCVTL') return widened
  return name === 'FCVTN' || name === 'FCVTXN' ? narrowed : undefined
}
