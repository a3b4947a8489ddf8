import { I32, I64, extractLane, numeric, select, type FunctionBuilder, type V128 } from '@retrap/wasm-emitter'
import type { Context } from '../context.ts'
import { commit, guarded } from './mxcsr.ts'
import { bitsOf, compare, float, isExactAnyway, vector, type Float, type SharedFunction } from '@retrap/soft-float'
import { F_FLAGS, F_TEMPORARY, SLOT_A, SLOT_B } from '../float-scratch.ts'
import { isZeroPositive } from './sse-float-quick.ts'
import { allLanesSet } from './sse-float-operands.ts'
import {
  binaryElement,
  compareElement,
  convertElement,
  fromIntegerElement,
  integerElement,
  integralElement,
  squareRootElement,
  unpackInto,
} from './sse-float-elements.ts'
import type { BinaryOperation } from './sse-float-elements.ts'
import { constantsOf, fineMask, inexactBits, inexactMixed, oddElements } from './sse-float-packed.ts'
import { eachElement, element, packed, vectorParameters, vectorTypes, type Bits } from './vector-elements.ts'

/**
 * SSE floating point by software, scalars and whole vectors: the elements between the bookkeeping of MXCSR.
 *
 * Source: Intel SDM vol. 1, "SIMD Floating-Point Exceptions", "SIMD Floating-Point Exception Priority".
 */

type Slow = SharedFunction<'i32'>

/** Returns with a scalar result that is exact. */
function exactScalar(f: FunctionBuilder, bits: Bits, result: Float, isExact: I32): void {
  f.if(isExact, () => {
    f.store('i64.store', f.param(0, 'i32').get, bitsOf(bits, result), F_TEMPORARY)
    f.return(0)
  })
}

/** Returns with results that need no software. */
function exactVector(f: FunctionBuilder, bits: Bits, results: readonly V128[], fine: readonly V128[]): void {
  f.if(allLanesSet(bits, fine), () => {
    for (const [lane, r] of results.entries()) f.store('v128.store', f.param(0, 'i32').get, r, F_TEMPORARY + 16 * lane)
    f.return(0)
  })
}

function floatType(bits: Bits): 'f32' | 'f64' {
  return bits === 64 ? 'f64' : 'f32'
}

/** Parameter `i` of a function, a number. */
function floatParameter(f: FunctionBuilder, i: number, bits: Bits): Float {
  return bits === 64 ? f.param(i, 'f64').get : (f.param(i, 'f32').get as unknown as Float)
}

/**
 * (state, a, b) → exception; the result in F_TEMPORARY. The numbers are passed as such: in the callers' code, V8 would keep
 * their bits from where it has tested them.
 */
export function binarySlow(c: Context, operation: BinaryOperation, bits: Bits): Slow {
  return c.shared(`sse.scalar.${operation}${bits}`, ['i32', floatType(bits), floatType(bits)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const [x, y] = [floatParameter(f, 1, bits), floatParameter(f, 2, bits)]
    const [a, b] = [f.let(bitsOf(bits, x)), f.let(bitsOf(bits, y))]
    if (operation !== 'min' && operation !== 'max') {
      const r = f.let(float(bits, operation, x, y))
      exactScalar(f, bits, r, isExactAnyway(isZeroPositive(f), operation, bits, r, x, y))
    }
    guarded(c, f, state, () => f.call(binaryElement(c, operation, bits), state, a, b))
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
    if (even !== 'min' && even !== 'max' && odd !== 'min' && odd !== 'max') {
      const results = a.map((x, lane) => {
        const y = b[lane]!
        if (even === odd) return f.let(vector(bits, even, x, y))
        return f.let(numeric('v128.bitselect', vector(bits, odd, x, y), vector(bits, even, x, y), oddElements(bits)))
      })
      const fine = results.map((r, lane) => {
        const [x, y] = [a[lane]!, b[lane]!]
        return fineMask(f, bits, [x, y], r, inexactMixed(constantsOf(f), even, odd, bits, r, x, y))
      })
      exactVector(f, bits, results, fine)
    }
    guarded(c, f, state, () =>
      a.map((x, lane) =>
        eachElement(f, bits, (i) => {
          const operation = binaryElement(c, i % 2 === 0 ? even : odd, bits)
          return f.call(operation, state, element(x, bits, i), element(b[lane]!, bits, i))
        }),
      ),
    )
  })
}

export function squareRootSlow(c: Context, bits: Bits): Slow {
  return c.shared(`sse.scalar.sqrt${bits}`, ['i32', floatType(bits)], 'i32', (f) => {
    const [state, x] = [f.param(0, 'i32').get, floatParameter(f, 1, bits)]
    const a = f.let(bitsOf(bits, x))
    const r = f.let(float(bits, 'sqrt', x))
    exactScalar(f, bits, r, isExactAnyway(isZeroPositive(f), 'sqrt', bits, r, x, x))
    guarded(c, f, state, () => f.call(squareRootElement(c, bits), state, a))
  })
}

export function packedSquareRootSlow(c: Context, bits: Bits, lanes: number): Slow {
  return c.shared(`sse.packed.sqrt${bits}.${lanes}`, ['i32', ...vectorTypes(lanes)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const operands = vectorParameters(f, 1, lanes)
    const results = operands.map((x) => f.let(vector(bits, 'sqrt', x)))
    const fine = operands.map((x, lane) => {
      const r = results[lane]!
      return fineMask(f, bits, [x], r, inexactBits(constantsOf(f), 'sqrt', bits, r, x, x))
    })
    exactVector(f, bits, results, fine)
    guarded(c, f, state, () =>
      operands.map((a) => eachElement(f, bits, (i) => f.call(squareRootElement(c, bits), state, element(a, bits, i)))),
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
          f.call(compareElement(c, bits), state, element(x, bits, i), element(b[lane]!, bits, i), predicate),
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
        f.call(convertElement(c, from), state, element(a[Math.floor(i / perLane)]!, from, i % perLane)),
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
        const value = element(a[Math.floor(i / perLane)]!, from, i % perLane)
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
        const value = extractLane('i32x4.extract_lane', a[Math.floor(i / 4)]!, i % 4)
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
            () => f.call(product, state, element(x, bits, i), element(b[lane]!, bits, i)),
            () => I64.of(0),
          ),
        ),
      )
      for (let count = 128 / bits; count > 1; count >>= 1) {
        const vectorNumber = f.call(commit(c), state)
        f.if(vectorNumber, () => f.return(vectorNumber))
        f.store('i32.store', state, I32.of(0), F_FLAGS)
        terms = terms.map((pairs) =>
          Array.from({ length: count >> 1 }, (_, i) => f.let(f.call(sum, state, pairs[2 * i]!, pairs[2 * i + 1]!))),
        )
      }
      return terms.map(([total]) => eachElement(f, bits, (i) => select(control.and(1 << i), total as I64, I64.of(0))))
    })
  })
}
