import { numeric, type I32, type I64, type Value, type F64, type V128 } from '@retrap/wasm-emitter'
import { allSet, type Float, type SharedFunction } from '@retrap/soft-float'
import type { Context } from '../context.ts'
import { F_TEMPORARY } from '../float-scratch.ts'
import { withElement, type Bits } from './vector-elements.ts'

/** Operands of SSE floating point, and tests on numbers. */

export function and(a: V128, b: V128): V128 {
  return numeric('v128.and', a, b)
}

export function or(a: V128, b: V128): V128 {
  return numeric('v128.or', a, b)
}

/** Bits of a scalar operand: the low element of a register, or just as many bytes of memory. 32 bits are zero-extended. */
export function readScalar(c: Context, i: number, bits: Bits): I64 {
  if (c.kindOf(i) === 'mem') return c.readU(i)
  return c.f.load(bits === 64 ? 'i64.load' : 'i64.load32_u', c.registerAddress(i))
}

/** Writes the destination's low element; the others stay, or come from the first source. */
export function writeScalar(c: Context, bits: Bits, value: I64): void {
  if (!c.form.vex) c.f.store(bits === 64 ? 'i64.store' : 'i64.store32', c.registerAddress(0), value)
  else c.writeV(0, withElement(c.readV(1), bits, 0, value))
}

/** Calls a slow function, and raises what it wants raised. */
export function callSlow(c: Context, slow: SharedFunction<'i32'>, ...operands: readonly Value[]): void {
  const vectorNumber = c.f.call(slow, c.state, ...operands)
  c.f.if(vectorNumber, () => c.raise(vectorNumber))
}

/** The lanes of the vector that a slow function leaves. */
export function lanesLeft(c: Context, count: number): readonly V128[] {
  return Array.from({ length: count }, (_, lane) => c.f.load('v128.load', c.state, F_TEMPORARY + 16 * lane))
}

/** `fast` where `condition` holds, else what the slow function leaves. */
export function scalarResult(c: Context, condition: I32, fast: () => I64, slow: () => void): I64 {
  return c.f.ifElse('i64', condition, fast, () => {
    slow()
    return c.f.loadExpression('i64.load', c.state, F_TEMPORARY)
  })
}

/** The same of a floating-point value. */
export function floatResult(c: Context, bits: Bits, condition: I32, fast: () => Float, slow: () => void): Float {
  const type = bits === 64 ? 'f64' : ('f32' as 'f64')
  return c.f.ifElse(type, condition, fast as () => F64, () => {
    slow()
    return c.f.loadExpression(`${type}.load`, c.state, F_TEMPORARY)
  })
}

/** The same by 128-bit lanes, which succeed or fail together: there is one exception for the whole instruction. */
export function vectorResult(c: Context, condition: I32, fast: readonly V128[], slow: () => void): readonly V128[] {
  const results = fast.map(() => c.f.local('v128'))
  c.f.if(
    condition,
    () => results.forEach((result, lane) => c.f.set(result, fast[lane]!)),
    () => {
      slow()
      results.forEach((result, lane) =>
        c.f.set(result, c.f.loadExpression('v128.load', c.state, F_TEMPORARY + 16 * lane)),
      )
    },
  )
  return results.map((result) => result.get)
}

/** 1 if every element of every lane is set. */
export function allLanesSet(bits: Bits, masks: readonly V128[]): I32 {
  return allSet(bits, masks.reduce(and))
}
