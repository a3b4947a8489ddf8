import type { I32 } from '@retrap/wasm-emitter'
import { I64, select } from '@retrap/wasm-emitter'
import type { Context } from './context.ts'
import { multiplyHigh } from './multiply.ts'
import { setNormalised } from './softfloat-arithmetic.ts'
import {
  CLASS_INFINITY,
  CLASS_QNAN,
  CLASS_SNAN,
  CLASS_ZERO,
  FE_DENORMAL,
  FE_INVALID,
  F_TEMPORARY,
  QUIET_BIT,
  ROUND_DOWN,
  SLOT_A,
  SLOT_B,
  SLOT_R,
  Slot,
  TOP_BIT,
  raiseFlags,
  roundingMode,
  shiftRightSticky,
} from './softfloat-layout.ts'
import type { SharedFunction } from './softfloat-layout.ts'

/** The third operand: the addend. */
export const SLOT_C: number = F_TEMPORARY + 0x40

/**
 * (state, sign of the product, sign of the addend): R = ±(A · B) ± C, exact but for a sticky bit: rounded once, by whoever
 * takes it from there. The signs, 0 or 1, do not touch NaNs.
 *
 * Source: Intel SDM vol. 1, "Fused-Multiply-ADD (FMA) Numeric Behavior".
 */
export function multiplyAdd(c: Context): SharedFunction {
  return c.shared('float.multiplyAdd', ['i32', 'i32', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const [a, b, addend, r] = [SLOT_A, SLOT_B, SLOT_C, SLOT_R].map((slot) => new Slot(f, state, slot)) as [
      Slot,
      Slot,
      Slot,
      Slot,
    ]
    const [classA, classB, classC] = [a.class, b.class, addend.class]
    const invalid = (): void => {
      raiseFlags(f, state, FE_INVALID)
      r.setIndefinite()
      f.return()
    }
    const either = (kind: number): I32 => classA.eq(kind).or(classB.eq(kind))
    const isNan = (kind: I32): I32 => kind.geU(CLASS_QNAN)
    f.if(isNan(classA).or(isNan(classB)).or(isNan(classC)), () => {
      f.if(either(CLASS_SNAN).or(classC.eq(CLASS_SNAN)), () => raiseFlags(f, state, FE_INVALID))
      // The first of them survives, in the order of the operation.
      f.if(
        isNan(classA),
        () => r.copy(a),
        () =>
          f.if(
            isNan(classB),
            () => r.copy(b),
            () => r.copy(addend),
          ),
      )
      r.significand = r.significand.or(QUIET_BIT)
      r.class = CLASS_QNAN
      f.return()
    })
    const sign = f.let(a.sign.xor(b.sign).xor(f.param(1, 'i32').get))
    const signC = f.let(addend.sign.xor(f.param(2, 'i32').get))
    const zeroProduct = f.let(either(CLASS_ZERO))
    const infinite = f.let(either(CLASS_INFINITY))
    f.if(infinite.and(zeroProduct.or(classC.eq(CLASS_INFINITY).and(sign.ne(signC)))), invalid)
    // Denormal operands are looked for after that.
    f.if(a.denormal.or(b.denormal).or(addend.denormal), () => raiseFlags(f, state, FE_DENORMAL))
    f.if(infinite, () => {
      r.setInfinity(sign)
      f.return()
    })
    f.if(classC.eq(CLASS_INFINITY), () => {
      r.setInfinity(signC)
      f.return()
    })
    const zeroSign = (): I32 => roundingMode(f, state).eq(ROUND_DOWN)
    f.if(zeroProduct, () => {
      f.if(
        classC.eq(CLASS_ZERO),
        () => r.setZero(select(sign.eq(signC), sign, zeroSign())),
        () => {
          r.copy(addend)
          r.sign = signC
        },
      )
      f.return()
    })

    // The product, 128 bits with the top one set.
    const [x, y] = [a.significand, b.significand]
    const [high, low] = [f.local('i64'), f.local('i64')]
    const exponent = f.local('i32')
    f.set(high, f.call(multiplyHigh(c), x, y))
    f.set(low, x.mul(y))
    f.set(exponent, a.exponent.add(b.exponent))
    f.if(
      high.get.ltS(0),
      () => f.set(exponent, exponent.get.add(1)),
      () => {
        f.set(high, high.get.shl(1).or(low.get.shrU(63)))
        f.set(low, low.get.shl(1))
      },
    )
    f.if(classC.eq(CLASS_ZERO), () => {
      r.setFinite(sign, exponent.get, high.get, low.get)
      f.return()
    })

    // The larger magnitude stays, the smaller one is brought under it. What falls off at the bottom is remembered in the
    // lowest bit: where the difference cancels more than one bit of the top, nothing has fallen off.
    const [otherHigh, otherLow] = [f.local('i64'), f.local('i64')]
    const [otherExponent, resultSign] = [f.local('i32'), f.local('i32')]
    f.set(otherHigh, addend.significand)
    f.set(otherLow, I64.of(0))
    f.set(otherExponent, addend.exponent)
    f.set(resultSign, sign)
    const less = exponent.get
      .ltS(otherExponent.get)
      .or(exponent.get.eq(otherExponent.get).and(high.get.ltU(otherHigh.get)))
    f.if(less, () => {
      const [h, l, e] = [f.let(high.get), f.let(low.get), f.let(exponent.get)]
      f.set(high, otherHigh.get)
      f.set(low, I64.of(0))
      f.set(exponent, otherExponent.get)
      f.set(otherHigh, h)
      f.set(otherLow, l)
      f.set(otherExponent, e)
      f.set(resultSign, signC)
    })
    const aligned = shiftRightSticky(f, otherHigh.get, otherLow.get, exponent.get.sub(otherExponent.get))
    f.if(sign.eq(signC), () => {
      const sumLow = f.let(low.get.add(aligned.low))
      const carry = f.let(sumLow.ltU(low.get).toI64U())
      const partial = f.let(high.get.add(aligned.high))
      const sum = f.let(partial.add(carry))
      const over = f.let(partial.ltU(high.get).or(sum.ltU(partial)))
      f.if(
        over,
        () => {
          const shifted = sum.shl(63).or(sumLow.shrU(1)).or(sumLow.and(1))
          r.setFinite(sign, exponent.get.add(1), sum.shrU(1).or(TOP_BIT), shifted)
        },
        () => r.setFinite(sign, exponent.get, sum, sumLow),
      )
      f.return()
    })
    const differenceLow = f.let(low.get.sub(aligned.low))
    const borrow = low.get.ltU(aligned.low).toI64U()
    const difference = f.let(high.get.sub(aligned.high).sub(borrow))
    f.if(difference.or(differenceLow).eqz(), () => {
      r.setZero(zeroSign())
      f.return()
    })
    // Equal exponents and tops, the addend's lower half being zero: the product is the larger one, if only below.
    f.call(setNormalised(c), state, resultSign.get, exponent.get, difference, differenceLow)
  })
}
