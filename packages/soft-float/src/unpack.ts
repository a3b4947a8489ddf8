import { I32, I64, select } from '@retrap/wasm-emitter'
import type { FunctionBuilder } from '@retrap/wasm-emitter'
import * as F from './scratch.ts'
import { controlWord, Slot, slotAt, raiseFlags } from './scratch.ts'
import type { FloatModule, SharedFunction } from './float-module.ts'

/**
 * From encodings to unpacked numbers, and the rules for NaN operands.
 *
 * Source: Intel SDM vol. 1, "Real Numbers and Floating-Point Formats", "Rules for Handling NaNs", "Unsupported Double
 * Extended-Precision Floating-Point Encodings and Pseudo-Denormals".
 */

/** (state, slot address, bits): a half-, single- or double-precision number. A denormal one of half precision is not reported. */
export function unpack(c: FloatModule, bits: 16 | 32 | 64): SharedFunction {
  const fractionBits = { 16: 10, 32: 23, 64: 52 }[bits]
  const maximum = { 16: 0x1f, 32: 0xff, 64: 0x7ff }[bits]
  const bias = maximum >> 1
  const left = 63 - fractionBits
  return c.shared(`float.unpack${bits}`, ['i32', 'i32', 'i64'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const slot = new Slot(f, f.param(1, 'i32').get, 0)
    const value = f.param(2, 'i64').get
    const exponent = f.let(value.shrU(fractionBits).toI32().and(maximum))
    const fraction = f.let(value.and((1n << BigInt(fractionBits)) - 1n))
    slot.sign = value.shrU(bits - 1).toI32()
    slot.denormal = I32.of(0)
    slot.low = I64.of(0)
    slot.significand = fraction.shl(left).or(F.TOP_BIT)
    slot.exponent = exponent.sub(bias)
    slot.class = F.CLASS_FINITE
    f.if(exponent.eq(maximum), () => {
      const quiet = fraction.shrU(fractionBits - 1).ne(0)
      slot.class = select(
        fraction.eqz(),
        I32.of(F.CLASS_INFINITY),
        select(quiet, I32.of(F.CLASS_QNAN), I32.of(F.CLASS_SNAN)),
      )
    })
    f.if(exponent.eqz(), () => {
      const { denormalOperand, flushesHalf } = c.floatRules
      const daz = bits === 16 && !flushesHalf ? I32.of(0) : controlWord(c, f, state).and(F.FC_DAZ)
      f.if(
        fraction.eqz().or(daz),
        () => {
          slot.class = F.CLASS_ZERO
          if (denormalOperand === 'raises-when-flushed' && bits !== 16)
            f.if(fraction.ne(0), () => raiseFlags(c, f, state, F.FE_DENORMAL))
        },
        () => {
          unpackDenormal(f, slot, fraction, 64 - bias - fractionBits)
          if (bits === 16 || denormalOperand !== 'raises') slot.denormal = I32.of(0)
        },
      )
    })
  })
}

/** `fraction` is not zero; `exponent` is its exponent with the highest bit at bit 63, plus the leading zeros. */
function unpackDenormal(f: FunctionBuilder, slot: Slot, fraction: I64, exponent: number): void {
  const zeros = f.let(fraction.clz())
  slot.significand = fraction.shl(zeros)
  slot.exponent = I32.of(exponent).sub(zeros.toI32())
  slot.denormal = I32.of(1)
  slot.class = F.CLASS_FINITE
}

/** (state, slot address, significand, sign and exponent): a double-extended number. */
export function unpack80(c: FloatModule): SharedFunction {
  return c.shared('float.unpack80', ['i32', 'i32', 'i64', 'i32'], undefined, (f) => {
    const slot = new Slot(f, f.param(1, 'i32').get, 0)
    const significand = f.param(2, 'i64').get
    const word = f.param(3, 'i32').get
    const exponent = f.let(word.and(0x7fff))
    slot.sign = word.shrU(15).and(1)
    slot.denormal = I32.of(0)
    slot.low = I64.of(0)
    slot.significand = significand
    slot.exponent = exponent.sub(0x3fff)
    f.if(exponent.eqz(), () => {
      f.if(
        significand.eqz(),
        () => {
          slot.class = F.CLASS_ZERO
        },
        () => unpackDenormal(f, slot, significand, -16382),
      )
      f.return()
    })
    f.if(significand.geS(0), () => {
      slot.class = F.CLASS_UNSUPPORTED
      f.return()
    })
    slot.class = F.CLASS_FINITE
    f.if(exponent.eq(0x7fff), () => {
      const quiet = significand.and(F.QUIET_BIT).ne(0)
      const infinite = significand.shl(1).eqz()
      slot.class = select(infinite, I32.of(F.CLASS_INFINITY), select(quiet, I32.of(F.CLASS_QNAN), I32.of(F.CLASS_SNAN)))
    })
  })
}

/** (state, slot address, value): a number of Arm's alternative half precision, which has neither infinities nor NaNs. */
export function unpackAlternativeHalf(c: FloatModule): SharedFunction {
  return c.shared('float.unpackAlternative', ['i32', 'i32', 'i64'], undefined, (f) => {
    const [state, at, value] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i64').get]
    f.call(unpack(c, 16), state, at, value)
    const slot = new Slot(f, at, 0)
    f.if(value.shrU(10).and(0x1f).eq(0x1f), () => {
      slot.class = F.CLASS_FINITE
    })
  })
}

/** (state, slot address, integer): a signed 64-bit integer. */
export function unpackInteger(c: FloatModule): SharedFunction {
  return c.shared('float.unpackInteger', ['i32', 'i32', 'i64'], undefined, (f) => {
    const slot = new Slot(f, f.param(1, 'i32').get, 0)
    const value = f.param(2, 'i64').get
    const negative = f.let(value.ltS(0))
    slot.denormal = I32.of(0)
    slot.low = I64.of(0)
    slot.sign = negative
    f.if(
      value.eqz(),
      () => {
        slot.class = F.CLASS_ZERO
      },
      () => {
        const magnitude = f.let(select(negative, I64.of(0).sub(value), value))
        const zeros = f.let(magnitude.clz())
        slot.significand = magnitude.shl(zeros)
        slot.exponent = I32.of(63).sub(zeros.toI32())
        slot.class = F.CLASS_FINITE
      },
    )
  })
}

/**
 * (state) → 1 if the result of an operation on A and B is a NaN because an operand is one; it is then in R. Raises the
 * denormal-operand exception otherwise: NaN operands take precedence over it.
 */
export function propagateNan(c: FloatModule): SharedFunction<'i32'> {
  return c.shared('float.propagateNan', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const a = slotAt(c, f, state, F.SLOT_A)
    const b = slotAt(c, f, state, F.SLOT_B)
    const r = slotAt(c, f, state, F.SLOT_R)
    const [classA, classB] = [a.class, b.class]
    f.if(classA.ltU(F.CLASS_QNAN).and(classB.ltU(F.CLASS_QNAN)), () => {
      f.if(a.denormal.or(b.denormal), () => raiseFlags(c, f, state, F.FE_DENORMAL))
      f.return(0)
    })
    f.if(classA.eq(F.CLASS_UNSUPPORTED).or(classB.eq(F.CLASS_UNSUPPORTED)), () => {
      raiseFlags(c, f, state, F.FE_INVALID)
      r.setDefaultNan(c.floatRules.defaultNanSign)
      f.return(1)
    })
    f.if(classA.eq(F.CLASS_SNAN).or(classB.eq(F.CLASS_SNAN)), () => raiseFlags(c, f, state, F.FE_INVALID))
    const takeA = f.local('i32')
    if (c.floatRules.survivingNan === 'first') f.set(takeA, classA.geU(F.CLASS_QNAN))
    else f.set(takeA, classA.eq(F.CLASS_SNAN).or(classA.eq(F.CLASS_QNAN).and(classB.ne(F.CLASS_SNAN))))
    // The x87 unit prefers a quiet NaN to a signalling one, else the larger significand, else the positive one.
    f.if(controlWord(c, f, state).and(F.FC_X87).ne(0).and(takeA.get).and(classB.geU(F.CLASS_QNAN)), () => {
      f.set(takeA, classA.eq(F.CLASS_QNAN))
      f.if(classA.eq(classB), () => {
        const [sa, sb] = [a.significand, b.significand]
        f.set(takeA, select(sa.eq(sb), a.sign.eqz(), sa.gtU(sb)))
      })
    })
    f.if(
      takeA.get,
      () => r.copy(a),
      () => r.copy(b),
    )
    finishNan(c, f, state, r)
    f.return(1)
  })
}

/** Makes the surviving NaN quiet, or replaces it by the default NaN. */
export function finishNan(c: FloatModule, f: FunctionBuilder, state: I32, r: Slot): void {
  r.significand = r.significand.or(F.QUIET_BIT)
  r.class = F.CLASS_QNAN
  f.if(controlWord(c, f, state).and(F.FC_DEFAULT_NAN), () => r.setDefaultNan(c.floatRules.defaultNanSign))
}

/** {@link propagateNan} for an operation on A alone. */
export function propagateNanUnary(c: FloatModule, f: FunctionBuilder, state: I32): I32 {
  slotAt(c, f, state, F.SLOT_B).class = F.CLASS_ZERO
  slotAt(c, f, state, F.SLOT_B).denormal = I32.of(0)
  return f.call(propagateNan(c), state)
}
