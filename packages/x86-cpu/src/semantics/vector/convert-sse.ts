import { F32, I32, V128, extractLane, numeric, replaceLane, type F64 } from '@retrap/wasm-emitter'
import type { Context, SemanticsTable } from '../context.ts'
import { isPrecisionSettled, F_TEMPORARY } from '../float-scratch.ts'
import {
  bitsOf,
  floatTest,
  isFiniteNormal,
  isOrdinary,
  isPlain,
  isZero,
  plainMask,
  vector,
  type Float,
} from '@retrap/soft-float'
import {
  allLanesSet,
  and,
  callSlow,
  floatResult,
  readScalar,
  scalarResult,
  vectorResult,
} from './sse-float-operands.ts'
import { enterMmx, pendingX87 } from './sse-integer-operands.ts'
import { quickScalar, readFloat, writeFloat } from './sse-float-quick.ts'
import {
  convertSlow,
  fromIntegerSlow,
  integerSlow,
  packedConvertSlow,
  packedFromIntegerSlow,
  packedIntegerSlow,
} from './sse-float-slow.ts'
import type { Bits } from './vector-elements.ts'
import { joinLow } from './sse-integer-operands.ts'

/** SSE conversions. Source: Intel SDM vol. 2, CVT*. */

/** CVTSS2SD, CVTSD2SS. */
function convertScalar(from: Bits): (c: Context) => void {
  return (c) => {
    const x = readFloat(c, c.firstSource + 1, from)
    const slow = (): void => callSlow(c, convertSlow(c, from), bitsOf(from, x.value))
    if (from === 32) {
      // Exact.
      const fine = isFiniteNormal(32, x.value).or(isZero(32, x.value))
      const value = floatResult(c, 64, fine, () => numeric('f64.promote_f32', x.value as unknown as F32), slow)
      writeFloat(c, 64, value)
      c.setNormal(0, 64, true)
      return
    }
    const result = c.let(numeric('f32.demote_f64', x.value as F64))
    quickScalar(
      c,
      32,
      {
        operands: [x],
        compute: result as unknown as Float,
        isExact: () => floatTest(64, 'eq', numeric('f64.promote_f32', result), x.value).and(isPlain(32, result)),
        slow,
      },
      64,
    )
  }
}

/** CVTSI2SS, CVTSI2SD. */
function fromInteger(to: Bits): (c: Context) => void {
  return (c) => {
    const source = c.firstSource + 1
    const a = c.readS(source)
    if (to === 64) {
      const result = c.let(numeric('f64.convert_i64_s', a))
      // Every 32-bit integer is exact; of the others, those of up to 53 bits.
      const exact =
        c.sizeOf(source) === 4
          ? I32.of(1)
          : a
              .add(1n << 53n)
              .leU(1n << 54n)
              .or(c.settled())
      const value = floatResult(
        c,
        64,
        exact,
        () => result,
        () => callSlow(c, fromIntegerSlow(c, 64), a),
      )
      writeFloat(c, 64, value)
      c.setNormal(0, 64, true)
      return
    }
    const result = c.let(numeric('f32.convert_i64_s', a))
    const value = floatResult(
      c,
      32,
      a
        .add(1n << 24n)
        .leU(1n << 25n)
        .or(c.settled()),
      () => result as unknown as Float,
      () => callSlow(c, fromIntegerSlow(c, 32), a),
    )
    writeFloat(c, 32, value)
    c.setNormal(0, 32, true)
  }
}

/** CVTSS2SI, CVTSD2SI and their truncating forms. */
function scalarToInteger(from: Bits, truncate: boolean): (c: Context) => void {
  return (c) => {
    const size = c.sizeOf(0)
    const { value: single } = readFloat(c, 1, from)
    // Single precision is exact in double precision; a NaN fails the range check whatever its payload becomes.
    const x = from === 64 ? (single as F64) : c.let(numeric('f64.promote_f32', single as F32))
    const integral = c.let(numeric(truncate ? 'f64.trunc' : 'f64.nearest', x))
    const limit = size === 8 ? 2 ** 63 : 2 ** 31
    const inRange = floatTest(64, 'lt', integral, numeric('f64.promote_f32', F32.of(limit))).and(
      floatTest(64, 'ge', integral, numeric('f64.promote_f32', F32.of(-limit))),
    )
    const settled = truncate
      ? floatTest(64, 'eq', integral, x).or(isPrecisionSettled(c.f, c.state))
      : // An exact conversion has nothing to round, whatever the mode.
        floatTest(64, 'eq', integral, x).or(c.settled())
    const value = scalarResult(
      c,
      inRange.and(settled),
      () => numeric('i64.trunc_sat_f64_s', integral),
      () => callSlow(c, integerSlow(c, from), bitsOf(from, single), I32.of(8 * size), I32.of(truncate ? 1 : 0)),
    )
    c.write(0, value)
  }
}

/** The halves of the source of a conversion to elements twice as wide, each as a vector. */
function halvesOf(c: Context, sources: readonly V128[]): readonly V128[] {
  const upper = (a: V128): V128 => a.shuffle(a, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
  return sources.flatMap((a) => [a, c.let(upper(a))]).slice(0, c.laneCount(0))
}

/** CVTPS2PD: a memory operand is half as wide as the destination. */
function packedToDouble(c: Context): void {
  const a = c.sizeOf(1) > 16 ? c.readLanes(1) : [c.readV(1)]
  const halves = halvesOf(c, a)
  const values = vectorResult(
    c,
    allLanesSet(
      32,
      halves.map((x) => plainMask(32, numeric('i64x2.splat', extractLane('i64x2.extract_lane', x, 0)))),
    ),
    halves.map((x) => numeric('f64x2.promote_low_f32x4', x)),
    () => callSlow(c, packedConvertSlow(c, 32, 2 * halves.length), ...a),
  )
  c.writeLanes(0, values)
}

/** Low halves of vectors, zeros above a single one. */
function joinHalves(lanes: readonly V128[]): readonly V128[] {
  if (lanes.length === 1) return lanes
  return lanes.flatMap((low, lane) => (lane % 2 === 0 ? [joinLow(low, lanes[lane + 1]!)] : []))
}

function packedToSingle(c: Context): void {
  const a = c.readLanes(1)
  const lanes = a.map((x) => c.let(numeric('f32x4.demote_f64x2_zero', x)))
  let fine = c.settled()
  for (const [lane, x] of a.entries()) {
    for (const i of [0, 1]) {
      const result = extractLane('f32x4.extract_lane', lanes[lane]!, i)
      fine = fine.and(isOrdinary(32, result).or(isZero(64, extractLane('f64x2.extract_lane', x, i))))
    }
  }
  const values = vectorResult(c, fine, joinHalves(lanes), () =>
    callSlow(c, packedConvertSlow(c, 64, 2 * a.length), ...a),
  )
  c.writeLanes(0, values)
}

/** CVTDQ2PD: exact. */
function integersToDouble(c: Context): void {
  c.writeLanes(
    0,
    halvesOf(c, c.sizeOf(1) > 16 ? c.readLanes(1) : [c.readV(1)]).map((x) => numeric('f64x2.convert_low_i32x4_s', x)),
  )
}

function integersToSingle(c: Context): void {
  const a = c.readLanes(1)
  const values = vectorResult(
    c,
    c.settled(),
    a.map((x) => numeric('f32x4.convert_i32x4_s', x)),
    () => callSlow(c, packedFromIntegerSlow(c, 4 * a.length), ...a),
  )
  c.writeLanes(0, values)
}

/** CVTPS2DQ, CVTPD2DQ and their truncating forms. */
function packedToIntegers(from: Bits, truncate: boolean): (c: Context) => void {
  return (c) => c.writeLanes(0, integersOf(c, from, truncate, c.readLanes(1)))
}

function integersOf(c: Context, from: Bits, truncate: boolean, a: readonly V128[]): readonly V128[] {
  const limit = (value: number): V128 =>
    V128.of(
      new Uint8Array(from === 64 ? new Float64Array(2).fill(value).buffer : new Float32Array(4).fill(value).buffer),
    )
  const integral = a.map((x) => c.let(vector(from, truncate ? 'trunc' : 'nearest', x)))
  const inRange = integral.map((x) =>
    and(vector(from, 'lt', x, limit(2 ** 31)), vector(from, 'ge', x, limit(-(2 ** 31)))),
  )
  const exact = allLanesSet(
    from,
    integral.map((x, lane) => vector(from, 'eq', x, a[lane]!)),
  )
  const op = from === 64 ? 'i32x4.trunc_sat_f64x2_s_zero' : 'i32x4.trunc_sat_f32x4_s'
  const lanes = integral.map((x) => numeric(op, x))
  return vectorResult(
    c,
    allLanesSet(from, inRange).and(exact.or(truncate ? isPrecisionSettled(c.f, c.state) : c.settled())),
    from === 64 ? joinHalves(lanes) : lanes,
    () => callSlow(c, packedIntegerSlow(c, from, a.length), I32.of(truncate ? 1 : 0), ...a),
  )
}

/** A pending x87 exception is raised before an instruction that uses MMX registers. */
function requireMmx(c: Context): void {
  c.requireMmx()
  pendingX87(c)
}

/** CVTPI2PS: two elements, the upper half stays. From memory it has nothing to do with the MMX registers. */
function mmxToSingle(c: Context): void {
  const register = c.kindOf(1) === 'mmx'
  if (register) requireMmx(c)
  const a = c.let(numeric('i64x2.splat', c.readU(1)))
  if (register) enterMmx(c)
  callSlow(c, packedFromIntegerSlow(c, 2), a)
  c.f.store('i64.store', c.registerAddress(0), c.f.load('i64.load', c.state, F_TEMPORARY))
}

/** CVTPI2PD: exact. From memory it has nothing to do with the MMX registers. */
function mmxToDouble(c: Context): void {
  const register = c.kindOf(1) === 'mmx'
  if (register) requireMmx(c)
  const result = c.let(numeric('f64x2.convert_low_i32x4_s', numeric('i64x2.splat', c.readU(1))))
  if (register) enterMmx(c)
  c.writeV(0, result)
}

/** CVTPS2PI, CVTPD2PI and their truncating forms. */
function toMmx(from: Bits, truncate: boolean): (c: Context) => void {
  return (c) => {
    requireMmx(c)
    const a = from === 64 ? c.readV(1) : c.let(replaceLane('i64x2.replace_lane', V128.of([]), 0, readScalar(c, 1, 64)))
    // Even if the conversion raises an exception.
    enterMmx(c)
    const [integers] = integersOf(c, from, truncate, [a])
    const value = c.let(extractLane('i64x2.extract_lane', integers as V128, 0))
    const register = c.registerAddress(0)
    c.f.store('i64.store', register, value)
    c.f.store('i32.store16', register, I32.of(0xffff), 8)
  }
}

export const sseConversions: SemanticsTable = {
  CVTSS2SD: { emit: convertScalar(32), numbers: { bits: 64, from: 32, isScalar: true } },
  CVTSD2SS: { emit: convertScalar(64), numbers: { bits: 32, from: 64, isScalar: true } },
  CVTSI2SS: { emit: fromInteger(32), numbers: { bits: 32, isScalar: true } },
  CVTSI2SD: { emit: fromInteger(64), numbers: { bits: 64, isScalar: true } },
  CVTSS2SI: { emit: scalarToInteger(32, false), numbers: { bits: 32, isScalar: true } },
  CVTSD2SI: { emit: scalarToInteger(64, false), numbers: { bits: 64, isScalar: true } },
  CVTTSS2SI: { emit: scalarToInteger(32, true), numbers: { bits: 32, isScalar: true } },
  CVTTSD2SI: { emit: scalarToInteger(64, true), numbers: { bits: 64, isScalar: true } },
  CVTPS2PD: { emit: packedToDouble },
  CVTPD2PS: { emit: packedToSingle },
  CVTDQ2PD: { emit: integersToDouble },
  CVTDQ2PS: { emit: integersToSingle },
  CVTPS2DQ: { emit: packedToIntegers(32, false) },
  CVTTPS2DQ: { emit: packedToIntegers(32, true) },
  CVTPD2DQ: { emit: packedToIntegers(64, false) },
  CVTTPD2DQ: { emit: packedToIntegers(64, true) },
  CVTPI2PS: { emit: mmxToSingle },
  CVTPI2PD: { emit: mmxToDouble },
  CVTPS2PI: { emit: toMmx(32, false) },
  CVTTPS2PI: { emit: toMmx(32, true) },
  CVTPD2PI: { emit: toMmx(64, false) },
  CVTTPD2PI: { emit: toMmx(64, true) },
}
