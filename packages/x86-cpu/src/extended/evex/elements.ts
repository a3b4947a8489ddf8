import { I32, I64, V128, numeric, select } from '@retrap/wasm-emitter'
import type { Context } from '../../semantics/context.ts'
import type { EvexForm } from '../../state/form.ts'

/**
 * Elements of vectors under a mask: bits of the mask as lanes, and lanes chosen by them.
 *
 * Source: Intel SDM vol. 2A, "Opmask Register Encoding", "Masking Support in EVEX".
 */

/** Bit of R_EVEX: elements that the mask leaves out become zero. `Instruction.evex` of x86-decoder has the same bits. */
const EVEX_Z = 8

/** Numbers 1 of half, single and double precision: whatever is computed of them is exact. */
const ONES: Readonly<Record<number, V128>> = {
  2: repeat([0, 0x3c]),
  4: repeat([0, 0, 0x80, 0x3f]),
  8: repeat([0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
}

function repeat(bytes: readonly number[]): V128 {
  return V128.of(Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]!))
}

/** A vector of small numbers. */
const numbers = (value: (i: number) => number, bytes: number): V128 =>
  V128.of(Array.from({ length: 16 }, (_, i) => (i % bytes === 0 ? value(i / bytes) : 0)))

/** All ones in the elements of a lane whose bits are set, from bit 0 on. */
export function expandBits(bits: I64, bytes: number): V128 {
  const low = bits.toI32()
  const equal = { 1: 'i8x16.eq', 2: 'i16x8.eq', 4: 'i32x4.eq', 8: 'i64x2.eq' } as const
  const selector = numbers((i) => 1 << (i & 7), bytes)
  const spread =
    bytes === 8
      ? numeric('i64x2.splat', bits)
      : bytes === 4
        ? numeric('i32x4.splat', low)
        : bytes === 2
          ? numeric('i16x8.splat', low)
          : numeric(
              'i8x16.swizzle',
              numeric('i16x8.splat', low),
              numbers((i) => i >> 3, 1),
            )
  return numeric(equal[bytes as 1], numeric('v128.and', spread, selector), selector)
}

/** A number's lowest bits, or all ones there. */
export function bitsBelow(count: number, value: I64 = I64.of(-1)): I64 {
  return count >= 64 ? value : value.and((1n << BigInt(count)) - 1n)
}

/** The elements of a lane that the mask has. */
export function laneMask(c: Context, mask: I64, lane: number, bytes: number): V128 {
  return c.let(expandBits(mask.shrU((16 / bytes) * lane), bytes))
}

/** Elements that the mask leaves out, of what a register was: zeros under EVEX.z. @param control - R_EVEX */
export function keptElements(control: I32, old: V128): V128 {
  const zeroing = control.and(EVEX_Z)
  if (zeroing.known === 0) return old
  return numeric('v128.and', old, numeric('i32x4.splat', select(zeroing, I32.of(0), I32.of(-1))))
}

/** Lanes of operand `i` whose numbers that are not computed become 1, of which nothing raises an exception. */
export function computedElements(
  c: Context,
  { elements, isFloat, isPaired, isScalar, elementBytes }: EvexForm,
  mask: I64 | undefined,
  i: number,
  lanes: readonly V128[],
): readonly V128[] {
  const bytes = elementBytes[i]!
  const one = ONES[bytes]
  if (!isFloat || isScalar || mask === undefined || one === undefined) return lanes
  const own = isPaired && i === 1 ? c.let(mask.shrU(elements / 2)) : mask
  return lanes.map((lane, at) => c.let(numeric('v128.bitselect', lane, one, laneMask(c, own, at, bytes))))
}
