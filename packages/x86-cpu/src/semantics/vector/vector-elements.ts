import { V128, extractLane, replaceLane, type FunctionBuilder, type I64 } from '@retrap/wasm-emitter'

/** Vectors taken apart and put together, element by element. */

/** Size of a floating-point element. */
export type Bits = 32 | 64

/** Element `i` of a vector as an integer; 32-bit elements zero-extended. */
export function element(v: V128, bits: Bits, i: number): I64 {
  return bits === 64 ? extractLane('i64x2.extract_lane', v, i) : extractLane('i32x4.extract_lane', v, i).toI64U()
}

export function withElement(v: V128, bits: Bits, i: number, value: I64): V128 {
  return bits === 64
    ? replaceLane('i64x2.replace_lane', v, i, value)
    : replaceLane('i32x4.replace_lane', v, i, value.toI32())
}

/** A vector of 128 bits, element by element. */
export function eachElement(f: FunctionBuilder, bits: Bits, compute: (i: number) => I64): V128 {
  const result = f.local('v128')
  f.set(result, V128.of([]))
  for (let i = 0; i < 128 / bits; i++) f.set(result, withElement(result.get, bits, i, f.let(compute(i))))
  return result.get
}

/** `count` vector parameters from number `first` on. */
export function vectorParameters(f: FunctionBuilder, first: number, count: number): readonly V128[] {
  return Array.from({ length: count }, (_, i) => f.param(first + i, 'v128').get)
}

/** Types of `count` vector parameters. */
export function vectorTypes(count: number): readonly 'v128'[] {
  return Array.from({ length: count }, () => 'v128')
}

/** `count` elements as lanes of 128 bits, zeros above. */
export function packed(f: FunctionBuilder, bits: Bits, count: number, compute: (i: number) => I64): readonly V128[] {
  const perLane = 128 / bits
  return Array.from({ length: Math.ceil(count / perLane) }, (_, lane) => {
    const result = f.local('v128')
    f.set(result, V128.of([]))
    for (let i = 0; i < perLane && lane * perLane + i < count; i++)
      f.set(result, withElement(result.get, bits, i, f.let(compute(lane * perLane + i))))
    return result.get
  })
}
