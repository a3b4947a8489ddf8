import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { finishNan } from './unpack.ts'
import { multiplyHigh } from './wide.ts'
import { setNormalised } from './arithmetic.ts'
import type { Slot } from './scratch.ts'
import * as X from './scratch.ts'
import type { FloatModule, SharedFunction } from './float-module.ts'

/**
 * (state, sign of the product, sign of the addend): R = ±(A · B) ± C, exact but for a sticky bit: the caller rounds it, once. The
 * signs, 0 or 1, do not touch NaNs.
 *
 * Source: Intel SDM vol. 1, "Fused-Multiply-ADD (FMA) Numeric Behavior".
 */
export function multiplyAdd(c: FloatModule): SharedFunction {
  return c.shared('float.multiplyAdd', ['i32', 'i32', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const [a, b, addend, r] = [X.SLOT_A, X.SLOT_B, X.SLOT_C, X.SLOT_R].map((slot) => X.slotAt(c, f, state, slot)) as [
      Slot,
      Slot,
      Slot,
      Slot,
    ]
    const { sign, signC, zeroSign, classC } = emitSpecials(c, f, state, [a, b, addend, r])

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
    X.returnIf(f, classC.eq(X.CLASS_ZERO), () => r.setFinite(sign, exponent.get, high.get, low.get))

    // The larger magnitude stays, the smaller one is brought under it. The lowest bit remembers bits that fall off at the bottom:
    // where the difference cancels more than one bit of the top, nothing has fallen off.
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
    const aligned = X.shiftRightSticky(f, otherHigh.get, otherLow.get, exponent.get.sub(otherExponent.get))
    f.if(sign.eq(signC), () => {
      const { high: sum, low: sumLow, over } = addWide(f, { high: high.get, low: low.get }, aligned)
      f.if(
        over,
        () => {
          const shifted = sum.shl(63).or(sumLow.shrU(1)).or(sumLow.and(1))
          r.setFinite(sign, exponent.get.add(1), sum.shrU(1).or(X.TOP_BIT), shifted)
        },
        () => r.setFinite(sign, exponent.get, sum, sumLow),
      )
      f.return()
    })
    const differenceLow = f.let(low.get.sub(aligned.low))
    const borrow = low.get.ltU(aligned.low).toI64U()
    const difference = f.let(high.get.sub(aligned.high).sub(borrow))
    X.returnIf(f, difference.or(differenceLow).eqz(), () => r.setZero(zeroSign()))
    // Equal exponents and tops, the addend's lower half being zero: the product is the larger one, if only below.
    f.call(setNormalised(c), state, resultSign.get, exponent.get, difference, differenceLow)
  })
}

/**
 * Ends the function for operands that are no finite numbers, or whose product is zero.
 *
 * @returns the signs of product, addend and zeros, and the addend's class
 */
function emitSpecials(
  c: FloatModule,
  f: FunctionBuilder,
  state: I32,
  [a, b, addend, r]: readonly [a: Slot, b: Slot, addend: Slot, r: Slot],
): { readonly sign: I32; readonly signC: I32; readonly zeroSign: () => I32; readonly classC: I32 } {
  const [classA, classB, classC] = [a.class, b.class, addend.class]
  const invalid = (): void => X.returnInvalid(c, f, state, r)
  const either = (kind: number): I32 => classA.eq(kind).or(classB.eq(kind))
  const isNan = (kind: I32): I32 => kind.geU(X.CLASS_QNAN)
  const { addendFirst, invalidProductFirst, survivingNan } = c.floatRules
  if (invalidProductFirst)
    f.if(either(X.CLASS_INFINITY).and(either(X.CLASS_ZERO)).and(classC.eq(X.CLASS_QNAN)), invalid)
  f.if(isNan(classA).or(isNan(classB)).or(isNan(classC)), () => {
    f.if(either(X.CLASS_SNAN).or(classC.eq(X.CLASS_SNAN)), () => X.raiseFlags(c, f, state, X.FE_INVALID))
    const order = addendFirst ? [addend, a, b] : [a, b, addend]
    const classes = addendFirst ? [classC, classA, classB] : [classA, classB, classC]
    copyNan(f, order, classes, survivingNan === 'first' ? [X.CLASS_QNAN] : [X.CLASS_SNAN, X.CLASS_QNAN], r)
    finishNan(c, f, state, r)
    f.return()
  })
  const sign = f.let(a.sign.xor(b.sign).xor(f.param(1, 'i32').get))
  const signC = f.let(addend.sign.xor(f.param(2, 'i32').get))
  const zeroProduct = f.let(either(X.CLASS_ZERO))
  const infinite = f.let(either(X.CLASS_INFINITY))
  f.if(infinite.and(zeroProduct.or(classC.eq(X.CLASS_INFINITY).and(sign.ne(signC)))), invalid)
  // Denormal operands are looked for after that.
  f.if(a.denormal.or(b.denormal).or(addend.denormal), () => X.raiseFlags(c, f, state, X.FE_DENORMAL))
  X.returnIf(f, infinite, () => r.setInfinity(sign))
  X.returnIf(f, classC.eq(X.CLASS_INFINITY), () => r.setInfinity(signC))
  const zeroSign = (): I32 => X.roundingMode(c, f, state).eq(X.ROUND_DOWN)
  f.if(zeroProduct, () => {
    f.if(
      classC.eq(X.CLASS_ZERO),
      () => r.setZero(select(sign.eq(signC), sign, zeroSign())),
      () => {
        r.copy(addend)
        r.sign = signC
      },
    )
    f.return()
  })
  return { sign, signC, zeroSign, classC }
}

/** Copies the NaN that survives to R: the first of the kinds in turn. @param classes - of the slots @param kinds - least class of each */
function copyNan(
  f: FunctionBuilder,
  slots: readonly Slot[],
  classes: readonly I32[],
  kinds: readonly number[],
  r: Slot,
): void {
  const found = f.local('i32')
  f.set(found, I32.of(0))
  for (const least of kinds) {
    for (const [i, slot] of slots.entries()) {
      f.if(found.get.eqz().and(classes[i]!.geU(least)), () => {
        r.copy(slot)
        f.set(found, I32.of(1))
      })
    }
  }
}

interface Wide {
  readonly high: I64
  readonly low: I64
}

/** The sum of two numbers of 128 bits. `over`: it has a bit more. */
function addWide(f: FunctionBuilder, a: Wide, b: Wide): Wide & { readonly over: I32 } {
  const low = f.let(a.low.add(b.low))
  const carry = f.let(low.ltU(a.low).toI64U())
  const partial = f.let(a.high.add(b.high))
  const high = f.let(partial.add(carry))
  return { high, low, over: f.let(partial.ltU(a.high).or(high.ltU(partial))) }
}
