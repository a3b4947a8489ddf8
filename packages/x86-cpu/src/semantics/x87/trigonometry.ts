import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { S_FSW } from '../../state/state-layout.ts'
import type { Context, SemanticsTable } from '../context.ts'
import {
  CLASS_INFINITY,
  CLASS_ZERO,
  FE_INVALID,
  FE_ROUNDED_UP,
  FE_STACK,
  finish80,
  propagateNanUnary,
  setNormalised,
  Slot,
  TOP_BIT,
  type SharedFunction,
} from '@retrap/soft-float'
import { F_TEMPORARY, F_WORD, raiseFlags, SLOT_A, SLOT_R } from '../float-scratch.ts'
import { Fixed, ratio, type Fraction } from './fraction.ts'
import { FSW_C1, FSW_C2, begin, commit, isEmpty, loadStack, notePointers, push, storeStack } from './stack.ts'

/**
 * Sine, cosine and tangent, to 128 bits before rounding.
 *
 * Arguments of FSIN, FCOS, FSINCOS and FPTAN are reduced by a π of 66 bits, as Intel's and AMD's processors do it: near
 * multiples of π results differ from the mathematical ones, and agree with the hardware's.
 *
 * Source: Intel SDM vol. 1, "Approximation of Pi", "Transcendental Instruction Accuracy"; vol. 2, FSIN, FCOS, FSINCOS,
 * FPTAN.
 */

/** π/2 of 66 bits, the top bit at bit 127: what arguments are reduced by. */
const HALF_PI: Fraction = { high: I64.of(0xc90f_daa2_2168_c234n), low: I64.of(0xc000_0000_0000_0000n) }
/** π/4, the top bit at bit 127, cut off to 64 bits. */
const QUARTER_PI_HIGH = 0xc90f_daa2_2168_c234n
/** Arguments from 2^63 on are left alone, with C2 set. */
const LARGEST_EXPONENT = 62
/** x²/3 is less than half a unit in the last of 64 bits. */
const SMALL_EXPONENT = -40

function factorial(n: number): bigint {
  let product = 1n
  for (let i = 2; i <= n; i++) product *= BigInt(i)
  return product
}

/** 1/first!, 1/(first+2)!, … */
function reciprocalFactorials(first: number): bigint[] {
  return Array.from({ length: 14 }, (_, i) => ratio(1n, factorial(first + 2 * i)))
}

// The result of the reduction.
const T_HIGH = F_TEMPORARY
const T_LOW = F_TEMPORARY + 8
const T_EXPONENT = F_TEMPORARY + 16
const T_QUADRANT = F_TEMPORARY + 20
const T_SIGN = F_TEMPORARY + 24
/** A second unpacked number of 128 bits: sine while the cosine is computed. */
const T_SINE_HIGH = F_TEMPORARY + 32
const T_SINE_LOW = F_TEMPORARY + 40
const T_SINE_EXPONENT = F_TEMPORARY + 48

/**
 * (state): A = quadrant · π/2 ± r with 0 < r ≤ π/4. r is left normalised in T_HIGH and T_LOW, r = fraction · 2^T_EXPONENT; its
 * sign in T_SIGN.
 */
function reduce(c: Context): SharedFunction {
  return c.shared('float.reduceAngle', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const a = new Slot(f, state, SLOT_A)
    const [exponent, significand] = [a.exponent, a.significand]
    const high = f.local('i64')
    const low = f.local('i64')
    const quadrant = f.local('i32')
    const sign = f.local('i32')
    f.set(high, significand)
    f.set(low, I64.of(0))
    f.set(quadrant, I32.of(0))
    f.set(sign, I32.of(0))
    const keep = (value: Fraction, twoTo: I32): void => {
      f.store('i64.store', state, value.high, T_HIGH)
      f.store('i64.store', state, value.low, T_LOW)
      f.store('i32.store', state, twoTo, T_EXPONENT)
      f.store('i32.store', state, quadrant.get, T_QUADRANT)
      f.store('i32.store', state, sign.get, T_SIGN)
    }
    f.if(exponent.ltS(-1).or(exponent.eq(-1).and(significand.leU(QUARTER_PI_HIGH))), () => {
      keep({ high: high.get, low: low.get }, exponent.add(1))
      f.return()
    })
    // From here on in units of 2^-127: π/2 is HALF_PI.
    f.if(
      exponent.eq(-1),
      () => {
        f.set(low, high.get.shl(63))
        f.set(high, high.get.shrU(1))
      },
      () => {
        const over = f.local('i64')
        const count = f.local('i32')
        f.set(over, I64.of(0))
        f.set(count, exponent)
        f.block((done) => {
          f.loop((again) => {
            const greater = high.get.gtU(HALF_PI.high).or(high.get.eq(HALF_PI.high).and(low.get.geU(HALF_PI.low)))
            const fits = f.let(over.get.ne(0).or(greater))
            f.set(quadrant, quadrant.get.shl(1).or(fits))
            f.if(fits, () => {
              const less = f.let(low.get.ltU(HALF_PI.low).toI64U())
              f.set(high, high.get.sub(HALF_PI.high).sub(less))
              f.set(low, low.get.sub(HALF_PI.low))
            })
            f.brIf(count.get.eqz(), done)
            f.set(over, high.get.shrU(63))
            f.set(high, high.get.shl(1).or(low.get.shrU(63)))
            f.set(low, low.get.shl(1))
            f.set(count, count.get.sub(1))
            f.br(again)
          })
        })
      },
    )
    f.if(high.get.gtU(QUARTER_PI_HIGH >> 1n), () => {
      const rest = fixed.subtract(HALF_PI, { high: high.get, low: low.get })
      f.set(high, rest.high)
      f.set(low, rest.low)
      f.set(quadrant, quadrant.get.add(1))
      f.set(sign, I32.of(1))
    })
    const { fraction, shift } = fixed.normalise({ high: high.get, low: low.get })
    keep(fraction, I32.of(1).sub(shift))
  })
}

/** r² of the reduced argument. */
function square(
  f: FunctionBuilder,
  state: I32,
  fixed: Fixed,
): { readonly r: Fraction; readonly exponent: I32; readonly square: Fraction } {
  const r = { high: f.load('i64.load', state, T_HIGH), low: f.load('i64.load', state, T_LOW) }
  const exponent = f.load('i32.load', state, T_EXPONENT)
  return { r, exponent, square: fixed.shiftRight(fixed.multiply(r, r), I32.of(0).sub(exponent).shl(1)) }
}

/** (state): sin r into T_SINE_*, normalised. */
function sineSeries(c: Context): SharedFunction {
  return c.shared('float.sineSeries', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const { r, exponent, square: u } = square(f, state, fixed)
    // sin r = r (1 − r² (1/3! − r² (1/5! − …)))
    const factor = fixed.complement(fixed.multiply(u, fixed.polynomial(u, reciprocalFactorials(3), true)))
    const { fraction, shift } = fixed.normalise(fixed.multiply(r, factor))
    f.store('i64.store', state, fraction.high, T_SINE_HIGH)
    f.store('i64.store', state, fraction.low, T_SINE_LOW)
    f.store('i32.store', state, exponent.sub(shift), T_SINE_EXPONENT)
  })
}

/** (state) → cos r, upper half; lower half in the slot of R. At least √½: normalised. */
function cosineSeries(c: Context): SharedFunction<'i64'> {
  return c.shared('float.cosineSeries', ['i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const { square: u } = square(f, state, fixed)
    const cosine = fixed.complement(fixed.multiply(u, fixed.polynomial(u, reciprocalFactorials(2), true)))
    new Slot(f, state, SLOT_R).low = cosine.low
    f.return(cosine.high)
  })
}

/** (state, 1 for the cosine): R = sine or cosine of the argument that has been reduced; `sign` is A's. */
function sineOrCosine(c: Context): SharedFunction {
  return c.shared('float.sineOrCosine', ['i32', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const cosine = f.param(1, 'i32').get
    const r = new Slot(f, state, SLOT_R)
    const signA = f.let(new Slot(f, state, SLOT_A).sign)
    const quadrant = f.let(f.loadExpression('i32.load', state, T_QUADRANT).add(cosine))
    // The cosine is the sine a quadrant further on, of the argument's magnitude.
    const half = quadrant.shrU(1).and(1)
    const sign = f.let(half.xor(select(cosine, I32.of(0), signA)))
    f.if(
      quadrant.and(1),
      () => {
        const high = f.call(cosineSeries(c), state)
        r.setFinite(sign, I32.of(-1), high, r.low.or(1))
      },
      () => {
        f.call(sineSeries(c), state)
        const reflected = f.loadExpression('i32.load', state, T_SIGN)
        const exponent = f.loadExpression('i32.load', state, T_SINE_EXPONENT).sub(1)
        const low = f.loadExpression('i64.load', state, T_SINE_LOW).or(1)
        r.setFinite(sign.xor(reflected), exponent, f.loadExpression('i64.load', state, T_SINE_HIGH), low)
      },
    )
  })
}

/** (state): R = tangent. */
function tangent(c: Context): SharedFunction {
  return c.shared('float.tangent', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const fixed = new Fixed(c, f, state)
    const r = new Slot(f, state, SLOT_R)
    const sign = f.let(new Slot(f, state, SLOT_A).sign.xor(f.loadExpression('i32.load', state, T_SIGN)))
    const odd = f.let(f.loadExpression('i32.load', state, T_QUADRANT).and(1))
    // So small that the tangent is the argument, and a little more.
    f.if(new Slot(f, state, SLOT_A).exponent.ltS(SMALL_EXPONENT), () => {
      r.copy(new Slot(f, state, SLOT_A))
      r.low = I64.of(1)
      f.return()
    })
    f.call(sineSeries(c), state)
    const high = f.call(cosineSeries(c), state)
    const cosine = { high, low: r.low }
    const sine = { high: f.load('i64.load', state, T_SINE_HIGH), low: f.load('i64.load', state, T_SINE_LOW) }
    const exponent = f.load('i32.load', state, T_SINE_EXPONENT)
    // Half the dividend is less than any divisor whose top bit is set.
    const dividend = fixed.shiftRight(fixed.choose(odd, cosine, sine), I32.of(1))
    const quotient = fixed.divide(dividend, fixed.choose(odd, sine, cosine))
    // The quotient stands for half the tangent, its point before bit 127.
    const twoTo = select(odd, I32.of(0).sub(exponent), exponent)
    f.call(setNormalised(c), state, sign.xor(odd), twoTo, quotient.high, quotient.low.or(1))
  })
}

type Trigonometric = 'sine' | 'cosine' | 'tangent' | 'both'

/** The results of an argument that is zero. */
function ofZero(f: FunctionBuilder, state: I32, cosine: boolean): void {
  const r = new Slot(f, state, SLOT_R)
  if (cosine) r.setFinite(I32.of(0), I32.of(0), I64.of(TOP_BIT))
  else r.setZero(new Slot(f, state, SLOT_A).sign)
}

/**
 * (state) → what becomes of C2. `both` is FSINCOS: sine to ST(0), then the cosine is pushed; `tangent` is FPTAN, which pushes
 * 1.
 */
function trigonometric(c: Context, what: Trigonometric): SharedFunction<'i32'> {
  return c.shared(`x87.${what}`, ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const pushes = what === 'both' || what === 'tangent'
    const r = new Slot(f, state, SLOT_R)
    const a = new Slot(f, state, SLOT_A)
    f.call(begin(c), state)
    const fault = f.local('i32')
    f.set(fault, select(isEmpty(f, state, 0), I32.of(FE_INVALID | FE_STACK), I32.of(0)))
    if (pushes) {
      const overflow = fault.get.eqz().and(isEmpty(f, state, 7).eqz())
      f.if(overflow, () => f.set(fault, I32.of(FE_INVALID | FE_STACK | FE_ROUNDED_UP)))
    }
    const pack = (): { readonly significand: I64; readonly word: I32 } => {
      const significand = f.call(finish80(c), state, I32.of(64))
      return { significand, word: f.load('i32.load', state, F_WORD) }
    }
    const first = { significand: f.local('i64'), word: f.local('i32') }
    const second = { significand: f.local('i64'), word: f.local('i32') }
    const keep = (into: typeof first): void => {
      const { significand, word } = pack()
      f.set(into.significand, significand)
      f.set(into.word, word)
    }
    const one = (): void => {
      f.set(second.significand, I64.of(TOP_BIT))
      f.set(second.word, I32.of(0x3fff))
    }
    const nan = (): void => {
      keep(first)
      f.set(second.significand, first.significand.get)
      f.set(second.word, first.word.get)
    }
    f.block((ready) => {
      f.if(fault.get, () => {
        raiseFlags(f, state, fault.get)
        r.setDefaultNan(1)
        nan()
        f.br(ready)
      })
      f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
      f.if(propagateNanUnary(c, f, state), () => {
        nan()
        f.br(ready)
      })
      const kind = a.class
      f.if(kind.eq(CLASS_INFINITY), () => {
        raiseFlags(f, state, FE_INVALID)
        r.setDefaultNan(1)
        nan()
        f.br(ready)
      })
      f.if(kind.eq(CLASS_ZERO), () => {
        ofZero(f, state, what === 'cosine')
        keep(first)
        one()
        f.br(ready)
      })
      f.if(a.exponent.gtS(LARGEST_EXPONENT), () => f.return(FSW_C2))
      f.call(reduce(c), state)
      if (what === 'tangent') {
        f.call(tangent(c), state)
        keep(first)
        one()
      } else {
        f.call(sineOrCosine(c), state, I32.of(what === 'cosine' ? 1 : 0))
        keep(first)
        if (what === 'both') {
          f.call(sineOrCosine(c), state, I32.of(1))
          keep(second)
        }
      }
    })
    f.if(f.call(commit(c), state), () => {
      f.call(storeStack(c), state, I32.of(0), first.significand.get, first.word.get)
      if (pushes) f.call(push(c), state, second.significand.get, second.word.get)
    })
    f.return(0)
  })
}

function emitTrigonometric(what: Trigonometric): (c: Context) => void {
  return (c) => {
    notePointers(c)
    const f = c.f
    const incomplete = f.call(trigonometric(c, what), c.state)
    const status = f.load('i32.load', c.state, S_FSW)
    f.if(
      incomplete,
      () => f.store('i32.store', c.state, status.and(~FSW_C1).or(FSW_C2), S_FSW),
      () => f.store('i32.store', c.state, status.and(~FSW_C2), S_FSW),
    )
  }
}

export const x87Trigonometry: SemanticsTable = {
  FSIN: { emit: emitTrigonometric('sine') },
  FCOS: { emit: emitTrigonometric('cosine') },
  FSINCOS: { emit: emitTrigonometric('both') },
  FPTAN: { emit: emitTrigonometric('tangent') },
}
