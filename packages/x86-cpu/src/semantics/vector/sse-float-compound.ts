import { V128, extractLane, numeric, select, type I32 } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../../state/state-layout.ts'
import type { Context, SemanticsTable } from '../context.ts'
import { vector } from '@retrap/soft-float'
import { MXCSR_RC_SHIFT } from '../float-scratch.ts'
import { callSlow, lanesLeft, readScalar, writeScalar } from './sse-float-operands.ts'
import { dotProductSlow } from './sse-float-slow.ts'
import type { Bits } from './vector-elements.ts'

/** Dot products and approximations. Source: Intel SDM vol. 2, DPPS, DPPD, RCPPS, RSQRTPS, ROUNDPS. */

/** The rounding mode of ROUNDSS and its like: of the immediate, or of MXCSR where its bit 2 says so. */
export function roundingOfMxcsr(c: Context, control: I32): I32 {
  const mxcsr = c.f.loadExpression('i32.load', c.state, S_MXCSR).shrU(MXCSR_RC_SHIFT)
  return c.let(select(control.and(4), mxcsr, control).and(3))
}

export function sseDotProduct(bits: Bits): (c: Context) => void {
  return (c) => {
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    callSlow(c, dotProductSlow(c, bits, a.length), c.immediate().toI32(), ...a, ...b)
    c.writeLanes(0, lanesLeft(c, a.length))
  }
}

function ints(value: number): V128 {
  return V128.of(new Uint8Array(new Uint32Array([value, value, value, value]).buffer))
}

/**
 * 1/x or 1/√x with 12 significant bits, rounded to nearest: the relative error is below 2^-12, where 1.5 · 2^-12 is
 * allowed. Processors differ in what they return here. Denormal operands count as zeros, tiny results are zeros, and no
 * exception is raised.
 */
function approximate(root: boolean): (c: Context, a: V128) => V128 {
  return (c, a) => {
    const f = c.f
    const magnitude = f.let(numeric('v128.and', a, ints(0x7fff_ffff)))
    const sign = f.let(numeric('v128.and', a, ints(0x8000_0000)))
    const ones = V128.of(new Uint8Array(new Float32Array([1, 1, 1, 1]).buffer))
    const exact = vector(32, 'div', ones, root ? vector(32, 'sqrt', magnitude) : magnitude)
    const rounded = f.let(numeric('v128.and', numeric('i32x4.add', exact, ints(0x400)), ints(0xffff_f800)))
    const result = f.local('v128')
    const when = (mask: V128, value: V128): void => f.set(result, numeric('v128.bitselect', value, result.get, mask))
    // Tiny results.
    f.set(result, rounded)
    when(numeric('i32x4.lt_u', rounded, ints(0x0080_0000)), ints(0))
    when(numeric('i32x4.lt_u', magnitude, ints(0x0080_0000)), ints(0x7f80_0000))
    when(numeric('i32x4.eq', magnitude, ints(0x7f80_0000)), ints(0))
    f.set(result, numeric('v128.or', result.get, sign))
    if (root) {
      // Negative numbers, minus infinity included, have no root.
      const negative = numeric(
        'v128.and',
        numeric('i32x4.lt_s', a, ints(0)),
        numeric('i32x4.ge_u', magnitude, ints(0x0080_0000)),
      )
      when(negative, ints(0xffc0_0000))
    }
    when(numeric('i32x4.gt_u', magnitude, ints(0x7f80_0000)), numeric('v128.or', a, ints(0x0040_0000)))
    return result.get
  }
}

function packedApproximation(root: boolean): (c: Context) => void {
  return (c) => c.mapLanes(1, (a) => approximate(root)(c, a))
}

function scalarApproximation(root: boolean): (c: Context) => void {
  return (c) => {
    const operand = c.let(numeric('i32x4.splat', readScalar(c, c.firstSource + 1, 32).toI32()))
    writeScalar(c, 32, c.let(extractLane('i32x4.extract_lane', approximate(root)(c, operand), 0)).toI64U())
  }
}

export const sseApproximations: SemanticsTable = {
  RCPPS: { emit: packedApproximation(false) },
  RCPSS: { emit: scalarApproximation(false), numbers: { bits: 32, isScalar: true } },
  RSQRTPS: { emit: packedApproximation(true) },
  RSQRTSS: { emit: scalarApproximation(true), numbers: { bits: 32, isScalar: true } },
}
