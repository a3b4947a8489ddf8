import { I32, I64, extractLane, select } from '@retrap/wasm-emitter'
import type { FunctionBuilder, V128 } from '@retrap/wasm-emitter'
import { S_CR4, S_MXCSR } from '../state-layout.ts'
import { VECTOR_UD, VECTOR_XM } from '../vectors.ts'
import type { Context } from './context.ts'
import { add, divide, multiply, squareRoot } from './softfloat-arithmetic.ts'
import { LESS, GREATER, UNORDERED, EQUAL, compare, convert, toInteger, toIntegral } from './softfloat-convert.ts'
import {
  FC_DAZ,
  FC_FTZ,
  FC_ROUNDING_SHIFT,
  FE_DENORMAL,
  FE_INVALID,
  FE_PRECISION,
  FE_ZERO_DIVIDE,
  F_CONTROL,
  F_FLAGS,
  F_TEMPORARY,
  N_DENORMAL,
  ROUND_ZERO,
  SLOT_A,
  SLOT_B,
  roundingMode,
} from './softfloat-layout.ts'
import type { SharedFunction } from './softfloat-layout.ts'
import { finish } from './softfloat-round.ts'
import { unpack, unpackInteger } from './softfloat-unpack.ts'
import { eachElement, element, packed, vectorParameters, vectorTypes } from './vector-elements.ts'
import type { Bits } from './vector-elements.ts'
import { CR4_OSXMMEXCPT } from '../system/architecture.ts'

/**
 * SSE floating point by software: exact in results, flags and exceptions. One function for an element of each operation,
 * one for whole vectors, and the bookkeeping of MXCSR around them.
 *
 * Source: Intel SDM vol. 1, "SIMD Floating-Point Exceptions", "SIMD Floating-Point Exception Priority".
 */

export type BinaryOperation = 'add' | 'sub' | 'mul' | 'div' | 'min' | 'max'

// MXCSR (SDM vol. 1, "MXCSR Control and Status Register").
export const MXCSR_DAZ = 0x40
export const MXCSR_MASKS_SHIFT = 7
export const MXCSR_RC_SHIFT = 13
export const MXCSR_FTZ = 0x8000

const EXCEPTIONS = 0x3f

/** (state): nothing raised yet; F_CONTROL as MXCSR has it. */
function begin(c: Context): SharedFunction {
  return c.shared('sse.begin', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const mxcsr = f.load('i32.load', state, S_MXCSR)
    f.store('i32.store', state, I32.of(0), F_FLAGS)
    const control = mxcsr
      .shrU(MXCSR_MASKS_SHIFT)
      .and(EXCEPTIONS)
      .or(mxcsr.shrU(MXCSR_RC_SHIFT).and(3).shl(FC_ROUNDING_SHIFT))
      .or(mxcsr.and(MXCSR_DAZ).shl(Math.log2(FC_DAZ / MXCSR_DAZ)))
      .or(mxcsr.and(MXCSR_FTZ).shrU(Math.log2(MXCSR_FTZ / FC_FTZ)))
    f.store('i32.store', state, control, F_CONTROL)
  })
}

/** (state) → the exception to raise, or 0. What was raised is in MXCSR then. */
function commit(c: Context): SharedFunction<'i32'> {
  return c.shared('sse.commit', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const flags = f.local('i32')
    f.set(flags, f.loadExpression('i32.load', state, F_FLAGS).and(EXCEPTIONS))
    const masks = f.load('i32.load', state, F_CONTROL)
    const unmasked = f.let(flags.get.and(masks.xor(-1)))
    // Exceptions that are found before the computation keep those of its result from being seen.
    const before = FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE
    f.if(unmasked.and(before), () => f.set(flags, flags.get.and(before)))
    f.store('i32.store', state, f.loadExpression('i32.load', state, S_MXCSR).or(flags.get), S_MXCSR)
    const enabled = f.loadExpression('i32.load', state, S_CR4).and(CR4_OSXMMEXCPT)
    f.return(select(unmasked, select(enabled, I32.of(VECTOR_XM), I32.of(VECTOR_UD)), I32.of(0)))
  })
}

/** Runs `compute` between begin and commit, inside a function that returns the exception; its value goes to F_TEMPORARY. */
export function guarded(c: Context, f: FunctionBuilder, state: I32, compute: () => I64 | readonly V128[]): void {
  f.call(begin(c), state)
  const value = compute()
  if (value instanceof I64) f.store('i64.store', state, value, F_TEMPORARY)
  else value.forEach((lane, i) => f.store('v128.store', state, lane, F_TEMPORARY + 16 * i))
  f.return(f.call(commit(c), state))
}

function unpackInto(c: Context, f: FunctionBuilder, state: I32, slot: number, bits: Bits, value: I64): void {
  f.call(unpack(c, bits), state, state.add(slot), value)
}

/** (state, a, b) → one element of a binary operation. */
function binaryElement(c: Context, operation: BinaryOperation, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.${operation}${bits}`, ['i32', 'i64', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const [a, b] = [f.param(1, 'i64').get, f.param(2, 'i64').get]
    unpackInto(c, f, state, SLOT_A, bits, a)
    unpackInto(c, f, state, SLOT_B, bits, b)
    switch (operation) {
      case 'add':
      case 'sub':
        f.call(add(c), state, I32.of(operation === 'sub' ? 1 : 0))
        break
      case 'mul':
        f.call(multiply(c), state)
        break
      case 'div':
        f.call(divide(c), state)
        break
      default: {
        // The second operand, unless the first is less (greater): so for NaNs and for zeros of either sign.
        const wanted = operation === 'min' ? LESS : GREATER
        const first = f.call(compare(c), state, I32.of(0)).eq(wanted)
        f.return(flushed(f, state, bits, f.let(select(first, a, b))))
        f.unreachable()
        return
      }
    }
    f.return(f.call(finish(c, bits), state))
  })
}

/** What a denormal operand reads as: zero under DAZ. */
function flushed(f: FunctionBuilder, state: I32, bits: Bits, value: I64): I64 {
  const exponentMask = bits === 32 ? 0x7f80_0000n : 0x7ff0_0000_0000_0000n
  const signMask = 1n << BigInt(bits - 1)
  const zero = f.loadExpression('i32.load', state, F_CONTROL).and(FC_DAZ).ne(0).and(value.and(exponentMask).eqz())
  return select(zero, value.and(signMask), value)
}

function squareRootElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.sqrt${bits}`, ['i32', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
    f.call(squareRoot(c), state)
    f.return(f.call(finish(c, bits), state))
  })
}

/** (state, a, control): ROUNDSS and its like; control is the instruction's immediate. */
function integralElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.round${bits}`, ['i32', 'i64', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const control = f.param(2, 'i32').get
    unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
    // No denormal-operand exception here.
    f.store('i32.store', state, I32.of(0), SLOT_A + N_DENORMAL)
    const mode = select(control.and(4), roundingMode(f, state), control.and(3))
    f.call(toIntegral(c), state, mode)
    // Bit 3 keeps the precision exception quiet.
    f.if(control.and(8), () => {
      f.store('i32.store', state, f.loadExpression('i32.load', state, F_FLAGS).and(~FE_PRECISION), F_FLAGS)
    })
    // The result has at most as many significant bits as the operand: nothing is rounded.
    f.return(f.call(finish(c, bits), state))
  })
}

/** (state, a) → a in the other format. */
function convertElement(c: Context, from: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.convert${from}`, ['i32', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    unpackInto(c, f, state, SLOT_A, from, f.param(1, 'i64').get)
    f.call(convert(c), state)
    f.return(f.call(finish(c, from === 32 ? 64 : 32), state))
  })
}

/** (state, a, bits of the integer, 1 to truncate) → integer, sign-extended. */
function integerElement(c: Context, from: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.toInteger${from}`, ['i32', 'i64', 'i32', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    unpackInto(c, f, state, SLOT_A, from, f.param(1, 'i64').get)
    const mode = select(f.param(3, 'i32').get, I32.of(ROUND_ZERO), roundingMode(f, state))
    f.return(f.call(toInteger(c), state, f.param(2, 'i32').get, mode))
  })
}

/** (state, integer) → floating point. */
function fromIntegerElement(c: Context, to: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.fromInteger${to}`, ['i32', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    f.call(unpackInteger(c), state, state.add(SLOT_A), f.param(1, 'i64').get)
    f.call(convert(c), state)
    f.return(f.call(finish(c, to), state))
  })
}

/** Truth of the first sixteen predicates, four bits each: less, equal, greater, unordered. The others repeat them. */
export const PREDICATES = 0xf465_0b9a_7ced_8312n
/** Of the first sixteen those that take quiet NaNs quietly: EQ, UNORD, NEQ, ORD…; of the others just those that do not. */
const QUIET_PREDICATES = 0x9999

/** (state, a, b, predicate) → all ones or zero. */
function compareElement(c: Context, bits: Bits): SharedFunction<'i64'> {
  return c.shared(`sse.compare${bits}`, ['i32', 'i64', 'i64', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const predicate = f.param(3, 'i32').get
    unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
    unpackInto(c, f, state, SLOT_B, bits, f.param(2, 'i64').get)
    const quiet = I32.of(QUIET_PREDICATES).shrU(predicate.and(15)).xor(predicate.shrU(4)).and(1)
    const relation = f.call(compare(c), state, quiet)
    const bit = select(
      relation.eq(LESS),
      I32.of(1),
      select(relation.eq(EQUAL), I32.of(2), select(relation.eq(UNORDERED), I32.of(8), I32.of(4))),
    )
    const holds = I64.of(PREDICATES).shrU(predicate.and(15).shl(2).toI64U()).toI32().and(bit).ne(0)
    f.return(I64.of(0).sub(holds.toI64U()))
  })
}

type Slow = SharedFunction<'i32'>

/** (state, a, b) → exception; the result in F_TEMPORARY. */
export function binarySlow(c: Context, operation: BinaryOperation, bits: Bits): Slow {
  return c.shared(`sse.scalar.${operation}${bits}`, ['i32', 'i64', 'i64'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () =>
      f.call(binaryElement(c, operation, bits), state, f.param(1, 'i64').get, f.param(2, 'i64').get),
    )
  })
}

/**
 * (state, lanes of a, lanes of b) → exception; the lanes from F_TEMPORARY on. Odd elements may have an operation of their
 * own (ADDSUBPS).
 */
export function packedBinarySlow(
  c: Context,
  even: BinaryOperation,
  odd: BinaryOperation,
  bits: Bits,
  lanes: number,
): Slow {
  return c.shared(`sse.packed.${even}.${odd}${bits}.${lanes}`, ['i32', ...vectorTypes(2 * lanes)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const [a, b] = [vectorParameters(f, 1, lanes), vectorParameters(f, 1 + lanes, lanes)]
    guarded(c, f, state, () =>
      a.map((x, lane) =>
        eachElement(f, bits, (i) => {
          const operation = binaryElement(c, i % 2 === 0 ? even : odd, bits)
          return f.call(operation, state, element(x, bits, i), element(b[lane] as V128, bits, i))
        }),
      ),
    )
  })
}

export function squareRootSlow(c: Context, bits: Bits): Slow {
  return c.shared(`sse.scalar.sqrt${bits}`, ['i32', 'i64'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () => f.call(squareRootElement(c, bits), state, f.param(1, 'i64').get))
  })
}

export function packedSquareRootSlow(c: Context, bits: Bits, lanes: number): Slow {
  return c.shared(`sse.packed.sqrt${bits}.${lanes}`, ['i32', ...vectorTypes(lanes)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () =>
      vectorParameters(f, 1, lanes).map((a) =>
        eachElement(f, bits, (i) => f.call(squareRootElement(c, bits), state, element(a, bits, i))),
      ),
    )
  })
}

/** (state, a, b, predicate) → exception. */
export function compareSlow(c: Context, bits: Bits): Slow {
  return c.shared(`sse.scalar.compare${bits}`, ['i32', 'i64', 'i64', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const [a, b, predicate] = [f.param(1, 'i64').get, f.param(2, 'i64').get, f.param(3, 'i32').get]
    guarded(c, f, state, () => f.call(compareElement(c, bits), state, a, b, predicate))
  })
}

/** (state, predicate, lanes of a, lanes of b) → exception. */
export function packedCompareSlow(c: Context, bits: Bits, lanes: number): Slow {
  return c.shared(`sse.packed.compare${bits}.${lanes}`, ['i32', 'i32', ...vectorTypes(2 * lanes)], 'i32', (f) => {
    const [state, predicate] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    const [a, b] = [vectorParameters(f, 2, lanes), vectorParameters(f, 2 + lanes, lanes)]
    guarded(c, f, state, () =>
      a.map((x, lane) =>
        eachElement(f, bits, (i) =>
          f.call(compareElement(c, bits), state, element(x, bits, i), element(b[lane] as V128, bits, i), predicate),
        ),
      ),
    )
  })
}

/** (state, a, b, 1 for UCOMIS) → exception; ZF, PF and CF in F_TEMPORARY. */
export function compareFlagsSlow(c: Context, bits: Bits): Slow {
  return c.shared(`sse.comis${bits}`, ['i32', 'i64', 'i64', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () => {
      unpackInto(c, f, state, SLOT_A, bits, f.param(1, 'i64').get)
      unpackInto(c, f, state, SLOT_B, bits, f.param(2, 'i64').get)
      return f.call(compare(c), state, f.param(3, 'i32').get).toI64U()
    })
  })
}

/** (state, a, immediate) → exception. */
export function integralSlow(c: Context, bits: Bits): Slow {
  return c.shared(`sse.scalar.round${bits}`, ['i32', 'i64', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () => f.call(integralElement(c, bits), state, f.param(1, 'i64').get, f.param(2, 'i32').get))
  })
}

/** (state, immediate, lanes) → exception. */
export function packedIntegralSlow(c: Context, bits: Bits, lanes: number): Slow {
  return c.shared(`sse.packed.round${bits}.${lanes}`, ['i32', 'i32', ...vectorTypes(lanes)], 'i32', (f) => {
    const [state, control] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    guarded(c, f, state, () =>
      vectorParameters(f, 2, lanes).map((a) =>
        eachElement(f, bits, (i) => f.call(integralElement(c, bits), state, element(a, bits, i), control)),
      ),
    )
  })
}

/** (state, a) → exception: `from` to the other format. */
export function convertSlow(c: Context, from: Bits): Slow {
  return c.shared(`sse.scalar.convert${from}`, ['i32', 'i64'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () => f.call(convertElement(c, from), state, f.param(1, 'i64').get))
  })
}

/**
 * (state, lanes) → exception: the other format of the first `count` elements, in as many lanes as that takes, zeros above.
 * CVTPS2PD, CVTPD2PS.
 */
export function packedConvertSlow(c: Context, from: Bits, count: number): Slow {
  const to = from === 32 ? 64 : 32
  const perLane = 128 / from
  const sources = Math.ceil(count / perLane)
  return c.shared(`sse.packed.convert${from}.${count}`, ['i32', ...vectorTypes(sources)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const a = vectorParameters(f, 1, sources)
    guarded(c, f, state, () =>
      packed(f, to, count, (i) =>
        f.call(convertElement(c, from), state, element(a[Math.floor(i / perLane)] as V128, from, i % perLane)),
      ),
    )
  })
}

/** (state, a, bits, truncate) → exception. */
export function integerSlow(c: Context, from: Bits): Slow {
  return c.shared(`sse.scalar.toInteger${from}`, ['i32', 'i64', 'i32', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const [bits, truncate] = [f.param(2, 'i32').get, f.param(3, 'i32').get]
    guarded(c, f, state, () => f.call(integerElement(c, from), state, f.param(1, 'i64').get, bits, truncate))
  })
}

/** (state, truncate, lanes) → exception: 32-bit integers from the elements, zeros above them. */
export function packedIntegerSlow(c: Context, from: Bits, lanes: number): Slow {
  const perLane = 128 / from
  return c.shared(`sse.packed.toInteger${from}.${lanes}`, ['i32', 'i32', ...vectorTypes(lanes)], 'i32', (f) => {
    const [state, truncate] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    const a = vectorParameters(f, 2, lanes)
    guarded(c, f, state, () =>
      packed(f, 32, lanes * perLane, (i) => {
        const value = element(a[Math.floor(i / perLane)] as V128, from, i % perLane)
        return f.call(integerElement(c, from), state, value, I32.of(32), truncate)
      }),
    )
  })
}

/** (state, integer) → exception. */
export function fromIntegerSlow(c: Context, to: Bits): Slow {
  return c.shared(`sse.scalar.fromInteger${to}`, ['i32', 'i64'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    guarded(c, f, state, () => f.call(fromIntegerElement(c, to), state, f.param(1, 'i64').get))
  })
}

/** (state, lanes) → exception: single precision from the first `count` 32-bit integers, zeros above. */
export function packedFromIntegerSlow(c: Context, count: number): Slow {
  const lanes = Math.ceil(count / 4)
  return c.shared(`sse.packed.fromInteger.${count}`, ['i32', ...vectorTypes(lanes)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const a = vectorParameters(f, 1, lanes)
    guarded(c, f, state, () =>
      packed(f, 32, count, (i) => {
        const value = extractLane('i32x4.extract_lane', a[Math.floor(i / 4)] as V128, i % 4)
        return f.call(fromIntegerElement(c, 32), state, value.toI64S())
      }),
    )
  })
}

/**
 * (state, immediate, lanes of a, lanes of b) → exception. DPPS, DPPD: each product and each sum is rounded, and an
 * unmasked exception of one step keeps the next from being seen.
 */
export function dotProductSlow(c: Context, bits: Bits, lanes: number): Slow {
  return c.shared(`sse.dotProduct${bits}.${lanes}`, ['i32', 'i32', ...vectorTypes(2 * lanes)], 'i32', (f) => {
    const [state, control] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    const [a, b] = [vectorParameters(f, 2, lanes), vectorParameters(f, 2 + lanes, lanes)]
    const [product, sum] = [binaryElement(c, 'mul', bits), binaryElement(c, 'add', bits)]
    guarded(c, f, state, () => {
      let terms = a.map((x, lane) =>
        Array.from({ length: 128 / bits }, (_, i) =>
          f.ifElse(
            'i64',
            control.and(0x10 << i),
            () => f.call(product, state, element(x, bits, i), element(b[lane] as V128, bits, i)),
            () => I64.of(0),
          ),
        ),
      )
      for (let count = 128 / bits; count > 1; count >>= 1) {
        const vectorNumber = f.call(commit(c), state)
        f.if(vectorNumber, () => f.return(vectorNumber))
        f.store('i32.store', state, I32.of(0), F_FLAGS)
        terms = terms.map((pairs) =>
          Array.from({ length: count >> 1 }, (_, i) =>
            f.let(f.call(sum, state, pairs[2 * i] as I64, pairs[2 * i + 1] as I64)),
          ),
        )
      }
      return terms.map(([total]) => eachElement(f, bits, (i) => select(control.and(1 << i), total as I64, I64.of(0))))
    })
  })
}
