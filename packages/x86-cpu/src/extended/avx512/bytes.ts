import { I32, type I64, select } from '@retrap/wasm-emitter'
import type { Semantics, SemanticsTable } from '../../semantics/context.ts'
import { packed, type Operation, type Row } from './float-rows.ts'

/**
 * Numbers of eight bits: BF8 with five bits of exponent and two of fraction, HF8 with four and three, which has no infinities
 * and one NaN of each sign. They are converted without MXCSR and exceptions, and denormal numbers are numbers.
 *
 * Source: Intel "Advanced Vector Extensions 10.2 Architecture Specification", "FP8 Conversions"; "OCP 8-bit Floating Point
 * Specification (OFP8)".
 */

const INFINITY = 0x7c00

/** A magnitude shifted right by `by`: to the nearest number that is left, the even one of two; or by what a bias carries. */
function rounded(o: Operation, magnitude: I32, by: I32, bias: I64 | undefined): I32 {
  const below = o.f.let(I32.of(1).shl(by))
  const carry =
    bias === undefined ? below.shrU(1).sub(1).add(magnitude.shrU(by).and(1)) : bias.toI32().and(0xff).shl(by).shrU(8)
  return magnitude.add(carry).shrU(by)
}

/** A half as BF8: its upper byte. */
function toBf8(isSaturated: boolean) {
  return (o: Operation): I64 => {
    const [half, bias] = o.values as [I64, I64 | undefined]
    const magnitude = o.f.let(half.toI32().and(0x7fff))
    const value = o.f.let(rounded(o, magnitude, I32.of(8), bias))
    const most = I32.of(isSaturated ? 0x7b : 0x7c)
    const number = select(value.gtU(0x7b), most, value)
    const nan = magnitude.shrU(8).or(2)
    return select(magnitude.gtU(INFINITY), nan, number).or(half.toI32().shrU(8).and(0x80)).toI64U()
  }
}

/** A half as HF8. */
function toHf8(isSaturated: boolean) {
  return (o: Operation): I64 => {
    const [half, bias] = o.values as [I64, I64 | undefined]
    const magnitude = o.f.let(half.toI32().and(0x7fff))
    const exponent = o.f.let(magnitude.shrU(10))
    // Exponents from 9 on are those of normal numbers, which move by 8. Below, the fraction moves on.
    const isNormal = exponent.geU(9)
    const least = select(exponent.eqz(), I32.of(1), exponent)
    const fraction = select(exponent.eqz(), magnitude, magnitude.and(0x3ff).or(0x400))
    const by = o.f.let(select(isNormal, I32.of(7), I32.of(16).sub(least)))
    const value = o.f.let(rounded(o, o.f.let(select(isNormal, magnitude.sub(0x2000), fraction)), by, bias))
    const number = select(value.gtU(0x7e).or(magnitude.eq(INFINITY)), I32.of(isSaturated ? 0x7e : 0x7f), value)
    return select(magnitude.gtU(INFINITY), I32.of(0x7f), number).or(half.toI32().shrU(8).and(0x80)).toI64U()
  }
}

/** HF8 as a half: every one is exact. */
function fromHf8(o: Operation): I64 {
  const given = o.values[0]!.toI32()
  const magnitude = o.f.let(given.and(0x7f))
  const top = o.f.let(I32.of(31).sub(magnitude.clz()))
  const denormal = top
    .add(6)
    .shl(10)
    .or(magnitude.shl(I32.of(10).sub(top)).and(0x3ff))
  const number = select(magnitude.geU(8), magnitude.shl(7).add(0x2000), select(magnitude.eqz(), I32.of(0), denormal))
  return select(magnitude.eq(0x7f), I32.of(0x7e00), number).or(given.and(0x80).shl(8)).toI64U()
}

/** VCVTPH2BF8 and the others: from one vector, from two, and with a bias for each element. */
function fromHalves(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [letters, convert] of [
    ['BF8', toBf8],
    ['HF8', toHf8],
  ] as const)
    for (const isSaturated of [true, false]) {
      const ending = `PH2${letters}${isSaturated ? 'S' : ''}`
      const row = (name: string, sources: Row['sources']): Row => ({
        name,
        format: 'half',
        sources,
        to: 8,
        isQuiet: true,
        build: convert(isSaturated),
      })
      out[`VCVT${ending}`] = packed(row(`VCVT${ending}`, [[1, 16]]))
      out[`VCVT2${ending}`] = packed({ ...row(`VCVT2${ending}`, [[2, 16]]), upper: 1 })
      out[`VCVTBIAS${ending}`] = packed(
        row(`VCVTBIAS${ending}`, [
          [2, 16],
          [1, 16],
        ]),
      )
    }
  return out
}

export const wideBytes: SemanticsTable = {
  ...fromHalves(),
  VCVTHF82PH: packed({
    name: 'VCVTHF82PH',
    format: 'half',
    sources: [[1, 8]],
    to: 16,
    isQuiet: true,
    build: fromHf8,
  }),
}
