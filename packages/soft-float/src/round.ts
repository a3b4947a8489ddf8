import { I32, I64, select } from '@retrap/wasm-emitter'
import type { FunctionBuilder, Local } from '@retrap/wasm-emitter'
import * as X from './scratch.ts'
import type { FloatModule, SharedFunction } from './float-module.ts'

/**
 * Rounding: from the unpacked result R to an encoding.
 *
 * Source: Intel SDM vol. 1, "Rounding", "Overflow Exception", "Underflow Exception", "Inexact-Result (Precision)
 * Exception". Tininess is detected after rounding, as all x86 processors do it.
 */

/** The number that an unmasked x87 overflow or underflow adds to, or takes from, the exponent of its result. */
const WRAP = 24576

const ONE_HALF = X.TOP_BIT

/** 1 if a magnitude, cut off above `rest` (a fraction of 64 bits), is rounded away from zero. */
export function roundsUp(f: FunctionBuilder, mode: I32, sign: I32, odd: I32, rest: I64): I32 {
  return f.ifElse(
    'i32',
    mode.eq(X.ROUND_NEAREST),
    () => rest.gtU(ONE_HALF).or(rest.eq(ONE_HALF).and(odd)),
    () => {
      const directed = rest.ne(0).and(mode.eq(X.ROUND_UP).and(sign.eqz()).or(mode.eq(X.ROUND_DOWN).and(sign)))
      return directed.or(mode.eq(X.ROUND_TIES_AWAY).and(rest.geU(ONE_HALF)))
    },
  )
}

interface Target {
  readonly minimumExponent: number
  readonly maximumExponent: number
  readonly bias: number
  /** Significant bits, integer bit included. */
  readonly precision: I32
  /** Ends the function with an encoding: biased exponent, and a significand of `precision` bits; exponent 0 and a significand with its top bit set are the smallest normal number. */
  pack(sign: I32, biased: I32, significand: I64): void
  packNan(sign: I32, significand: I64): void
  packInfinity(sign: I32): void
  /** Ends the function where the exponent is too large; absent, by the standard's rules. */
  overflow?(sign: I32): void
  readonly extended: boolean
  /** Whether tiny results become zeros if F_CONTROL says so. */
  readonly flushes: boolean
}

function emitFinish(c: FloatModule, f: FunctionBuilder, state: I32, target: Target): void {
  const r = X.slotAt(c, f, state, X.SLOT_R)
  const { minimumExponent, maximumExponent, bias, extended, flushes } = target
  const { tininess, flushedIsInexact } = c.floatRules
  const precision = target.precision
  const kind = r.class
  const sign = r.sign
  f.if(kind.eq(X.CLASS_ZERO), () => target.pack(sign, I32.of(0), I64.of(0)))
  f.if(kind.eq(X.CLASS_INFINITY), () => target.packInfinity(sign))
  f.if(kind.geU(X.CLASS_QNAN), () => target.packNan(sign, r.significand))

  const exponent = f.local('i32')
  f.set(exponent, r.exponent)
  const [high, low] = [r.significand, r.low]
  const control = f.let(X.controlWord(c, f, state))
  const mode = X.roundingMode(c, f, state)
  const masked = f.let(control.and(X.FE_UNDERFLOW).ne(0))
  const cut = f.let(I32.of(64).sub(precision))
  const shift = f.local('i32')
  const tiny = f.local('i32')
  f.set(shift, cut)
  f.set(tiny, I32.of(0))
  /** With an unlimited exponent range the result may round up to the smallest normal number, and is not tiny then. */
  const lookAfterRounding = (): void => {
    const { high: q, low: rest } = X.shiftRightSticky(f, high, low, cut)
    const ones = I64.of(-1n).shrU(cut.toI64U())
    const isRoundedUp = q.eq(ones).and(roundsUp(f, mode, sign, I32.of(1), rest))
    f.set(tiny, isRoundedUp.eqz())
  }
  f.if(exponent.get.ltS(minimumExponent), () => {
    f.set(tiny, I32.of(1))
    if (tininess === 'after-rounding') f.if(exponent.get.eq(minimumExponent - 1), lookAfterRounding)
    const denormalise = (): void => f.set(shift, shift.get.add(I32.of(minimumExponent).sub(exponent.get)))
    f.if(
      tiny.get.and(masked.eqz()),
      () => {
        X.raiseFlags(c, f, state, X.FE_UNDERFLOW)
        // Round as with an unlimited exponent. An x87 unit delivers the result with an adjusted exponent, other units none.
        f.set(exponent, extended ? exponent.get.add(WRAP) : I32.of(0))
        // FSCALE can go farther down: to zero, however that is rounded.
        if (!extended) return
        f.if(exponent.get.ltS(minimumExponent), () => {
          X.raiseFlags(c, f, state, X.FE_PRECISION)
          target.pack(sign, I32.of(0), I64.of(0))
        })
      },
      denormalise,
    )
    if (flushes) {
      f.if(tiny.get.and(masked).and(control.and(X.FC_FTZ).ne(0)), () => {
        X.raiseFlags(c, f, state, flushedIsInexact ? X.FE_UNDERFLOW | X.FE_PRECISION : X.FE_UNDERFLOW)
        target.pack(sign, I32.of(0), I64.of(0))
      })
    }
  })
  const normal = f.let(shift.get.eq(cut))
  const { high: cutOff, low: rest } = X.shiftRightSticky(f, high, low, shift.get)
  const up = f.let(roundsUp(f, mode, sign, cutOff.toI32().and(1), rest))
  const q = f.local('i64')
  f.set(q, cutOff.add(up.toI64U()))
  f.if(rest.ne(0), () => {
    X.raiseFlags(
      c,
      f,
      state,
      select(tiny.get.and(masked), I32.of(X.FE_UNDERFLOW | X.FE_PRECISION), I32.of(X.FE_PRECISION)),
    )
    f.if(up, () => X.raiseFlags(c, f, state, X.FE_ROUNDED_UP))
  })
  f.if(normal.eqz(), () => target.pack(sign, I32.of(0), q.get))
  // A carry out of the top leaves zeros below.
  const top = f.let(I64.of(1).shl(precision.sub(1).toI64U()))
  f.if(up.and(q.get.and(top.shl(1).sub(1)).eqz()), () => {
    f.set(q, top)
    f.set(exponent, exponent.get.add(1))
  })
  f.if(exponent.get.gtS(maximumExponent), () =>
    emitOverflow(c, f, state, target, { sign, exponent, mode, control, top }),
  )
  target.pack(sign, exponent.get.add(bias), q.get)
}

/** A result that is too large for the format. */
interface Overflow {
  readonly sign: I32
  readonly exponent: Local<'i32'>
  readonly mode: I32
  /** The control word. */
  readonly control: I32
  /** The significand's topmost bit. */
  readonly top: I64
}

function emitOverflow(c: FloatModule, f: FunctionBuilder, state: I32, target: Target, result: Overflow): void {
  const { sign, exponent, mode, control, top } = result
  const { maximumExponent, extended } = target
  if (target.overflow !== undefined) {
    target.overflow(sign)
    return
  }
  // FSCALE can go farther than the exponent can be moved back: to infinity, however that is rounded.
  const beyond = extended
    ? f.let(exponent.get.gtS(maximumExponent + WRAP).and(control.and(X.FE_OVERFLOW).eqz()))
    : I32.of(0)
  f.if(
    control.and(X.FE_OVERFLOW).or(beyond),
    () => {
      X.raiseFlags(c, f, state, X.FE_OVERFLOW | X.FE_PRECISION)
      const infinite = mode
        .eq(X.ROUND_NEAREST)
        .or(mode.eq(X.ROUND_UP).and(sign.eqz()))
        .or(mode.eq(X.ROUND_DOWN).and(sign))
      f.if(infinite.or(beyond), () => {
        X.raiseFlags(c, f, state, X.FE_ROUNDED_UP)
        target.packInfinity(sign)
      })
      X.lowerFlags(c, f, state, X.FE_ROUNDED_UP)
      target.pack(sign, I32.of(2 * maximumExponent), top.shl(1).sub(1))
    },
    () => {
      X.raiseFlags(c, f, state, X.FE_OVERFLOW)
      if (extended) f.set(exponent, exponent.get.sub(WRAP))
      else target.packInfinity(sign)
    },
  )
}

/** (state) → R rounded to half, single or double precision. */
export function finish(c: FloatModule, bits: 16 | 32 | 64): SharedFunction<'i64'> {
  return c.shared(`float.finish${bits}`, ['i32'], 'i64', (f) => {
    const fractionBits = { 16: 10, 32: 23, 64: 52 }[bits]
    const maximumExponent = { 16: 15, 32: 127, 64: 1023 }[bits]
    const signAt = (sign: I32): I64 => sign.toI64U().shl(bits - 1)
    const mask = (1n << BigInt(fractionBits)) - 1n
    const infinity = BigInt(2 * maximumExponent + 1) << BigInt(fractionBits)
    emitFinish(c, f, f.param(0, 'i32').get, {
      minimumExponent: 1 - maximumExponent,
      maximumExponent,
      bias: maximumExponent,
      precision: I32.of(fractionBits + 1),
      extended: false,
      flushes: bits !== 16 || c.floatRules.flushesHalf,
      pack: (sign, biased, significand) => {
        // A denormal that was rounded up to 2^fractionBits carries into the exponent by itself.
        const low = biased.known === 0 ? significand : significand.and(mask)
        f.return(signAt(sign).or(biased.toI64U().shl(fractionBits)).or(low))
      },
      packNan: (sign, significand) =>
        f.return(
          signAt(sign)
            .or(infinity)
            .or(significand.shrU(63 - fractionBits).and(mask)),
        ),
      packInfinity: (sign) => f.return(signAt(sign).or(infinity)),
    })
    f.unreachable()
  })
}

/**
 * (state) → R rounded to Arm's alternative half precision, which has neither infinities nor NaNs: these, and too large
 * numbers, are invalid.
 */
export function finishAlternativeHalf(c: FloatModule): SharedFunction<'i64'> {
  return c.shared('float.finishAlternative', ['i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const signAt = (sign: I32): I64 => sign.toI64U().shl(15)
    const invalid = (sign: I32, magnitude: number): void => {
      X.lowerFlags(c, f, state, X.FE_PRECISION | X.FE_ROUNDED_UP)
      X.raiseFlags(c, f, state, X.FE_INVALID)
      f.return(signAt(sign).or(magnitude))
    }
    emitFinish(c, f, state, {
      minimumExponent: -14,
      maximumExponent: 16,
      bias: 15,
      precision: I32.of(11),
      extended: false,
      flushes: true,
      pack: (sign, biased, significand) => {
        const low = biased.known === 0 ? significand : significand.and(0x3ff)
        f.return(signAt(sign).or(biased.toI64U().shl(10)).or(low))
      },
      packNan: (sign) => invalid(sign, 0),
      packInfinity: (sign) => invalid(sign, 0x7fff),
      overflow: (sign) => invalid(sign, 0x7fff),
    })
    f.unreachable()
  })
}

/**
 * (state, significant bits: 24, 53 or 64) → significand of R rounded to the double-extended format; sign and exponent are
 * in F_WORD. Precision control shortens the significand and leaves the exponent's range.
 */
export function finish80(c: FloatModule): SharedFunction<'i64'> {
  return c.shared('float.finish80', ['i32', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const precision = f.param(1, 'i32').get
    const word = (sign: I32, exponent: I32): void =>
      f.store('i32.store', state, sign.shl(15).or(exponent), c.floatScratch + X.F_WORD)
    emitFinish(c, f, state, {
      minimumExponent: -16382,
      maximumExponent: 16383,
      bias: 16383,
      precision,
      extended: true,
      flushes: false,
      pack: (sign, biased, significand) => {
        const full = f.let(significand.shl(I64.of(64).sub(precision.toI64U())))
        word(sign, biased.known === 0 ? full.shrU(63).toI32() : biased)
        f.return(full)
      },
      packNan: (sign, significand) => {
        word(sign, I32.of(0x7fff))
        f.return(significand)
      },
      packInfinity: (sign) => {
        word(sign, I32.of(0x7fff))
        f.return(I64.of(X.TOP_BIT))
      },
    })
    f.unreachable()
  })
}
