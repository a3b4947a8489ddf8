import { I32, type I32Like, I64, select } from '@retrap/wasm-emitter'
import {
  add,
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_QNAN,
  CLASS_ZERO,
  FE_DENORMAL,
  FE_INVALID,
  FE_PRECISION,
  FE_UNDERFLOW,
  FE_ZERO_DIVIDE,
  lowerFlags,
  propagateNanUnary,
  raiseFlags,
  roundingMode,
  toIntegral,
  unpackInteger,
  DEFAULT_NAN,
  FC_FTZ,
  FC_ROUNDING_SHIFT,
  type Slot,
} from '@retrap/soft-float'
import { F_CONTROL, F_FLAGS, SLOT_R } from '../../semantics/float-scratch.ts'
import type { Semantics, SemanticsTable } from '../../semantics/context.ts'
import {
  bitsOf,
  environment,
  finished,
  packed,
  scalar,
  slot,
  unpackTo,
  type Format,
  type Operation,
  type Row,
} from './float-rows.ts'

/**
 * AVX-512's own operations on numbers.
 *
 * Source: Intel SDM vol. 2C, the pages of each instruction.
 */

/** Class of a signalling NaN in a slot. */
const CLASS_SNAN: number = CLASS_QNAN + 1

/** R: the NaN of an invalid operation. */
function invalid(o: Operation): void {
  raiseFlags(o.c, o.f, o.state, FE_INVALID)
  slot(o, 'R').setDefaultNan(1)
}

/** R: a number's NaN, quiet. */
function quiet(o: Operation, from: Slot): void {
  const r = slot(o, 'R')
  r.copy(from)
  r.significand = r.significand.or(DEFAULT_NAN)
  r.class = CLASS_QNAN
}

/** Rounds A to a multiple of a power of two, by the immediate: R. */
function roundScaled(o: Operation): void {
  const { c, f, state, control } = o
  const [a, r] = [unpackTo(o, 0, o.values[0]!), slot(o, 'R')]
  const scale = control.shrU(4)
  const move = (number: Slot, by: I32): void =>
    f.if(number.class.eq(CLASS_FINITE), () => {
      number.exponent = number.exponent.add(by)
    })
  a.denormal = I32.of(0)
  move(a, scale)
  f.call(toIntegral(c), state, select(control.and(4), roundingMode(c, f, state), control.and(3)))
  move(r, I32.of(0).sub(scale))
}

/** Bit 3 of the immediate keeps an inexact result quiet. */
function hush(o: Operation): void {
  o.f.if(o.control.and(8), () => lowerFlags(o.c, o.f, o.state, FE_PRECISION))
}

function roundScale(o: Operation): I64 {
  roundScaled(o)
  hush(o)
  return finished(o)
}

/** The part that {@link roundScale} takes away. Only the difference can be inexact; it is rounded in the same way. */
function reduce(o: Operation): I64 {
  const { c, f, state, control } = o
  const before = f.let(f.loadExpression('i32.load', state, F_FLAGS).and(FE_PRECISION))
  roundScaled(o)
  lowerFlags(c, f, state, FE_PRECISION)
  raiseFlags(c, f, state, before)
  const [b, r] = [slot(o, 1), slot(o, 'R')]
  const word = environment(o)
  const own = word.and(~(3 << FC_ROUNDING_SHIFT)).or(control.and(3).shl(FC_ROUNDING_SHIFT))
  // An underflow that is not masked is none of this instruction's either. FTZ has no effect then (SDM vol. 1, 10.2.3.3).
  const kept = select(word.and(FE_UNDERFLOW), I32.of(-1), I32.of(~FC_FTZ))
  f.store('i32.store', state, select(control.and(4), word, own).and(kept).or(FE_UNDERFLOW), F_CONTROL)
  f.if(
    r.class.ltU(CLASS_INFINITY),
    () => {
      b.copy(r)
      b.denormal = I32.of(0)
      unpackTo(o, 0, o.values[0]!).denormal = I32.of(0)
      f.call(add(c), state, I32.of(1))
    },
    () => f.if(r.class.eq(CLASS_INFINITY), () => r.setZero(I32.of(0))),
  )
  const result = f.let(finished(o))
  f.store('i32.store', state, word, F_CONTROL)
  hush(o)
  lowerFlags(c, f, state, FE_UNDERFLOW)
  return result
}

/** The exponent as a number. */
function exponent(o: Operation): I64 {
  const { c, f, state } = o
  const [a, r] = [unpackTo(o, 0, o.values[0]!), slot(o, 'R')]
  f.if(propagateNanUnary(c, f, state).eqz(), () => {
    const kind = a.class
    f.if(
      kind.eq(CLASS_FINITE),
      () => f.call(unpackInteger(c), state, state.add(SLOT_R), a.exponent.toI64S()),
      () => r.setInfinity(kind.eq(CLASS_ZERO)),
    )
  })
  return finished(o)
}

/** The significand in an interval, by the immediate: its bits 1:0; 3:2 are for the sign. */
function mantissa(o: Operation): I64 {
  const { c, f, state, control } = o
  const [a, r] = [unpackTo(o, 0, o.values[0]!), slot(o, 'R')]
  const [kind, sign] = [a.class, a.sign]
  const isBad = sign.and(kind.ne(CLASS_ZERO)).and(kind.ltU(CLASS_QNAN)).and(control.shrU(3))
  f.if(
    isBad.and(1),
    () => invalid(o),
    () =>
      f.if(propagateNanUnary(c, f, state).eqz(), () => {
        const isFinite = kind.eq(CLASS_FINITE)
        const interval = control.and(3)
        const isLow = select(
          interval.eq(1),
          a.exponent.and(1),
          select(interval.eq(3), a.significand.shrU(62n).toI32().and(1), interval.shrU(1)),
        )
        const significand = select(isFinite, a.significand, I64.of(-(2n ** 63n)))
        const isSigned = sign.and(control.shrU(2).and(1).eqz())
        r.setFinite(isSigned, select(isFinite, I32.of(0).sub(isLow), I32.of(0)), significand)
      }),
  )
  return finished(o)
}

/** A · 2 ** floor(B). */
function scale(o: Operation): I64 {
  const { c, f, state } = o
  const [a, b, r] = [unpackTo(o, 0, o.values[0]!), unpackTo(o, 1, o.values[1]!), slot(o, 'R')]
  const [kindA, kindB] = [a.class, b.class]
  const either = (when_: I32, then: () => void, otherwise: () => void): void => f.if(when_, then, otherwise)
  const signal = (): void =>
    f.if(kindA.eq(CLASS_SNAN).or(kindB.eq(CLASS_SNAN)), () => raiseFlags(c, f, state, FE_INVALID))
  const infinite = (): void =>
    either(
      b.sign,
      () =>
        either(
          kindA.eq(CLASS_INFINITY),
          () => invalid(o),
          () => r.setZero(a.sign),
        ),
      () =>
        either(
          kindA.eq(CLASS_ZERO),
          () => invalid(o),
          () => r.setInfinity(a.sign),
        ),
    )
  const finite = (): void => {
    r.copy(a)
    f.if(kindA.eq(CLASS_FINITE).and(kindB.eq(CLASS_FINITE)), () => {
      const exponentB = b.exponent
      const significand = b.significand
      const whole = f.let(
        select(exponentB.geS(0), significand.shrU(I32.of(63).sub(exponentB).and(63).toI64U()), I64.of(0)),
      )
      const isInexact = select(exponentB.geS(0), significand.shl(exponentB.and(63).toI64U()).shl(1n).ne(0n), I32.of(1))
      const magnitude = f.let(select(exponentB.gtS(16), I32.of(0x2_0000), whole.toI32()))
      const by = select(b.sign, I32.of(0).sub(magnitude).sub(isInexact), magnitude)
      r.exponent = a.exponent.add(by)
    })
  }
  const isNan = kindA.geU(CLASS_QNAN)
  either(
    isNan,
    () =>
      either(
        kindA.eq(CLASS_QNAN).and(kindB.eq(CLASS_INFINITY)),
        () =>
          either(
            b.sign,
            () => r.setZero(I32.of(0)),
            () => r.setInfinity(I32.of(0)),
          ),
        () => {
          signal()
          quiet(o, a)
        },
      ),
    () =>
      either(
        kindB.geU(CLASS_QNAN),
        () => {
          signal()
          quiet(o, b)
        },
        () => {
          f.if(a.denormal, () => raiseFlags(c, f, state, FE_DENORMAL))
          either(kindB.eq(CLASS_INFINITY), infinite, finite)
        },
      ),
  )
  return finished(o)
}

/** Encodings of numbers that tables name, by a format's bits. */
function constant(format: Format, value: number): bigint {
  if (bitsOf(format) === 32) return BigInt(new Uint32Array(Float32Array.of(value).buffer)[0]!)
  return new BigUint64Array(Float64Array.of(value).buffer)[0]!
}

const FRACTIONS = { 16: 10, 32: 23, 64: 52 } as const

/** VFIXUPIMM: the class of the second source chooses an answer from a table; the immediate says what is an exception. */
function fixUp(o: Operation): I64 {
  const { c, f, state, control, format } = o
  const [old, source, table] = o.values as [I64, I64, I64]
  const bits = bitsOf(format)
  const sign = 1n << BigInt(bits - 1)
  const a = unpackTo(o, 0, source)
  const kind = a.class
  const value = f.let(select(kind.eq(CLASS_ZERO), source.and(sign), source))
  const isNegative = a.sign
  const one = constant(format, 1)
  const isOne = value.eq(one)
  // Numbers of the answers: quiet and signalling NaN, zero, one, infinities, others.
  const ofFinite = select(isOne, I32.of(3), select(isNegative, I32.of(6), I32.of(7)))
  const ofInfinity = select(isNegative, I32.of(4), I32.of(5))
  const token = f.let(
    select(
      kind.eq(CLASS_FINITE),
      ofFinite,
      select(kind.eq(CLASS_INFINITY), ofInfinity, select(kind.eq(CLASS_ZERO), I32.of(2), kind.eq(CLASS_SNAN))),
    ),
  )
  const raises = (shift: number): I32 => control.shrU(shift).and(1)
  const is = (n: number): I32 => token.eq(n)
  const invalidFor = is(2)
    .and(raises(1))
    .or(is(3).and(raises(3)))
  const others = is(1)
    .and(raises(4))
    .or(is(4).and(raises(5)))
    .or(is(6).and(raises(6)))
    .or(is(5).and(raises(7)))
  f.if(invalidFor.or(others), () => raiseFlags(c, f, state, FE_INVALID))
  f.if(
    is(2)
      .and(raises(0))
      .or(is(3).and(raises(2))),
    () => raiseFlags(c, f, state, FE_ZERO_DIVIDE),
  )
  const answer = f.let(table.toI32().shrU(token.shl(2)).and(15))
  const infinity = constant(format, Infinity)
  const nan = infinity | (1n << BigInt(FRACTIONS[bits] - 1))
  const fixed: readonly (I64 | bigint)[] = [
    old,
    value,
    value.or(nan),
    nan | sign,
    infinity | sign,
    infinity,
    I64.of(infinity).or(value.and(sign)),
    sign,
    0n,
    one | sign,
    one,
    constant(format, 0.5),
    constant(format, 90),
    constant(format, Math.PI / 2),
    infinity - 1n,
    (infinity - 1n) | sign,
  ]
  const result = f.local('i64')
  for (const [i, given] of fixed.entries()) f.if(answer.eq(i), () => f.set(result, I64.of(given)))
  return result.get
}

/** VRANGE: the smaller or the larger number, or magnitude; bits 3:2 of the immediate are for the sign. */
function range(o: Operation): I64 {
  const { c, f, state, control, format } = o
  const bits = bitsOf(format)
  const sign = 1n << BigInt(bits - 1)
  const nan = 1n << BigInt(FRACTIONS[bits] - 1)
  const [a, b] = [unpackTo(o, 0, o.values[0]!), unpackTo(o, 1, o.values[1]!)]
  const [kindA, kindB] = [a.class, b.class]
  const flushed = (kind: I32, value: I64): I64 => f.let(select(kind.eq(CLASS_ZERO), value.and(sign), value))
  const [x, y] = [flushed(kindA, o.values[0]!), flushed(kindB, o.values[1]!)]
  const signals = (kind: I32, value: I64): void =>
    f.if(kind.eq(CLASS_SNAN), () => {
      raiseFlags(c, f, state, FE_INVALID)
      f.return(value.or(nan))
    })
  signals(kindA, x)
  signals(kindB, y)
  const areNumbers = kindA.ltU(CLASS_QNAN).and(kindB.ltU(CLASS_QNAN))
  f.if(a.denormal.or(b.denormal).and(areNumbers), () => raiseFlags(c, f, state, FE_DENORMAL))
  const magnitude = (value: I64): I64 => f.let(value.and(sign - 1n))
  const [p, q] = [magnitude(x), magnitude(y)]
  const isNegative = (value: I64): I32 => value.and(sign).ne(0n)
  // As integers that are ordered like the numbers, the negative zero below the other.
  const ordered = (value: I64, size: I64): I64 => f.let(select(isNegative(value), I64.of(-1).sub(size), size))
  const [m, n] = [ordered(x, p), ordered(y, q)]
  const isSmaller = select(control.shrU(1).and(p.ne(q)), p.ltU(q), m.leS(n))
  const isFirst = isSmaller.xor(control.and(1))
  const chosen = f.let(select(kindB.eq(CLASS_QNAN), x, select(kindA.eq(CLASS_QNAN), y, select(isFirst, x, y))))
  const size = chosen.and(sign - 1n)
  const way = f.let(control.shrU(2).and(3))
  return select(way.eq(1), chosen, size.or(select(way.eqz(), x.and(sign), select(way.eq(3), I64.of(sign), I64.of(0)))))
}

/** VFPCLASS: whether a number is of one of the classes in the immediate. */
function classify(o: Operation): I64 {
  const { control } = o
  const a = unpackTo(o, 0, o.values[0]!)
  const [kind, sign] = [a.class, a.sign]
  // Without a denormal-operand exception to report, unpacking says nothing of such numbers.
  const fraction = FRACTIONS[bitsOf(o.format)]
  const isDenormal = o.values[0]!.shrU(BigInt(fraction))
    .and((1n << BigInt(bitsOf(o.format) - fraction - 1)) - 1n)
    .eqz()
  const bit = (condition: I32, i: I32Like): I32 => condition.shl(i)
  const found = bit(kind.eq(CLASS_QNAN), 0)
    .or(bit(kind.eq(CLASS_ZERO), sign.add(1)))
    .or(bit(kind.eq(CLASS_INFINITY), sign.add(3)))
    .or(bit(kind.eq(CLASS_FINITE).and(isDenormal), 5))
    .or(bit(kind.eq(CLASS_FINITE).and(sign), 6))
    .or(bit(kind.eq(CLASS_SNAN), 7))
  return found.and(control).ne(0).toI64U()
}

/** Formats by the ends of names: of vectors, of scalars. */
export const PACKED: Readonly<Record<string, Format>> = { PS: 'single', PD: 'double', PH: 'half', BF16: 'brain' }
export const SCALAR: Readonly<Record<string, Format>> = { SS: 'single', SD: 'double', SH: 'half' }

/** An operation in all formats that it has, of the sources that follow the first operands. */
export function inFormats(
  name: string,
  count: number,
  build: (o: Operation) => I64,
  more: Partial<Row> & { readonly first?: number; readonly formats?: string } = {},
): SemanticsTable {
  const out: Record<string, Semantics> = {}
  const { first = 1, formats = 'PS PD PH BF16 SS SD SH', ...given } = more
  for (const ending of formats.split(' ')) {
    const isScalar = ending in SCALAR
    const format = (isScalar ? SCALAR : PACKED)[ending]!
    const bits = bitsOf(format)
    // A scalar's only source follows that of the upper elements, unless the destination is a mask.
    const from = isScalar && count === 1 && given.to !== 1 ? 2 : first
    const sources = Array.from({ length: count }, (_, i) => [from + i, bits] as const)
    const row: Row = { name: name + ending, format, sources, to: bits, isQuiet: format === 'brain', build, ...given }
    out[name + ending] = isScalar ? scalar(row) : packed(row)
  }
  return out
}

export const wideFloats: SemanticsTable = {
  ...inFormats('VRNDSCALE', 1, roundScale),
  ...inFormats('VREDUCE', 1, reduce),
  ...inFormats('VGETEXP', 1, exponent),
  ...inFormats('VGETMANT', 1, mantissa),
  ...inFormats('VSCALEF', 2, scale),
  ...inFormats('VFPCLASS', 1, classify, { to: 1 }),
  ...inFormats('VRANGE', 2, range, { formats: 'PS PD SS SD' }),
  ...inFormats('VFIXUPIMM', 3, fixUp, { first: 0, formats: 'PS PD SS SD', isMasked: true }),
}
