import { I32, V128, numeric } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../../semantics/context.ts'
import { unary } from '../avx512/integers.ts'

/**
 * AVX-NE-CONVERT: from and to short numbers without exceptions, and without a look at MXCSR.
 *
 * Source: Intel Architecture Instruction Set Extensions Programming Reference, VCVTNEPS2BF16 and the pages of its like.
 */

const all = (value: number): V128 => numeric('i32x4.splat', I32.of(value))
const and = (a: V128, b: V128): V128 => numeric('v128.and', a, b)
const or = (a: V128, b: V128): V128 => numeric('v128.or', a, b)
const shl = (v: V128, by: number): V128 => numeric('i32x4.shl', v, I32.of(by))
const shr = (v: V128, by: number): V128 => numeric('i32x4.shr_u', v, I32.of(by))
/** `mask ? a : b`, bit by bit. */
const choose = (mask: V128, a: V128, b: V128): V128 => numeric('v128.bitselect', a, b, mask)

const SIGN = 0x8000_0000
/** The bits of a number but its sign; those of the exponent, which infinity has alone. */
const MAGNITUDE = 0x7fff_ffff
const INFINITY_BITS = 0x7f80_0000
const SMALLEST_NORMAL = 0x80_0000
const QUIET = 0x40_0000

/** Singles as BF16 in the lower words, rounded to the nearest even; zeros for denormal numbers. */
export function toBf16(c: Context, v: V128): V128 {
  const magnitude = c.let(and(v, all(MAGNITUDE)))
  const rounded = numeric('i32x4.add', numeric('i32x4.add', v, all(0x7fff)), and(shr(v, 16), all(1)))
  const isNan = numeric('i32x4.gt_s', magnitude, all(INFINITY_BITS))
  const isSmall = numeric('i32x4.lt_s', magnitude, all(SMALLEST_NORMAL))
  return shr(choose(isSmall, and(v, all(SIGN)), choose(isNan, or(v, all(QUIET)), rounded)), 16)
}

/** The 16 lower bits of doublewords, numbers of half precision, as singles. Every half is exact. */
function fromHalves(c: Context, v: V128): V128 {
  const magnitude = c.let(and(v, all(0x7fff)))
  const moved = c.let(shl(magnitude, 13))
  const normal = numeric('i32x4.add', moved, all((127 - 15) << 23))
  const isSpecial = numeric('i32x4.gt_s', magnitude, all(0x7bff))
  const special = or(or(moved, all(INFINITY_BITS)), and(numeric('i32x4.gt_s', magnitude, all(0x7c00)), all(QUIET)))
  // A whole number below 2^10, times 2^-24.
  const denormal = numeric(
    'f32x4.mul',
    numeric('f32x4.convert_i32x4_u', magnitude),
    numeric('i32x4.splat', I32.of((127 - 24) << 23)),
  )
  const isDenormal = numeric('i32x4.lt_s', magnitude, all(0x400))
  return or(shl(and(v, all(0x8000)), 16), choose(isDenormal, denormal, choose(isSpecial, special, normal)))
}

/** One word of memory, all over the destination. */
function broadcast(convert: (c: Context, v: V128) => V128): Semantics {
  return direct((c) => {
    const value = c.let(convert(c, c.let(numeric('i32x4.splat', c.readU(1).toI32()))))
    c.fillLanes(value)
  })
}

const even = (v: V128): V128 => shl(v, 16)
const odd = (v: V128): V128 => and(v, all(0xffff_0000))

export const conversions: SemanticsTable = {
  VCVTNEPS2BF16: direct((c) => {
    const [low, high = V128.of([])] = c.readLanes(1).map((v) => c.let(toBf16(c, v)))
    c.writeV(0, low!.shuffle(high, [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29]))
  }),
  // Every second number of memory.
  VCVTNEEBF162PS: unary((_, v) => even(v)),
  VCVTNEOBF162PS: unary((_, v) => odd(v)),
  VCVTNEEPH2PS: unary(fromHalves),
  VCVTNEOPH2PS: unary((c, v) => fromHalves(c, c.let(shr(v, 16)))),
  VBCSTNEBF162PS: broadcast((_, v) => even(v)),
  VBCSTNESH2PS: broadcast(fromHalves),
}
