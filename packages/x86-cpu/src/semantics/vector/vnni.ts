import { I32, V128, numeric } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'

/**
 * AVX-VNNI: sums of products of bytes and words, added to doublewords.
 *
 * Source: Intel SDM vol. 2C, VPDPBUSD, VPDPBUSDS, VPDPWSSD, VPDPWSSDS.
 */

/** Products of four unsigned by four signed bytes, added up: 18 bits. */
function byteProducts(_: Context, unsigned: V128, signed: V128): V128 {
  const even = numeric(
    'i32x4.dot_i16x8_s',
    numeric('v128.and', unsigned, V128.of(Array.from({ length: 16 }, (_, i) => (i & 1 ? 0 : 0xff)))),
    numeric('i16x8.shr_s', numeric('i16x8.shl', signed, I32.of(8)), I32.of(8)),
  )
  const odd = numeric(
    'i32x4.dot_i16x8_s',
    numeric('i16x8.shr_u', unsigned, I32.of(8)),
    numeric('i16x8.shr_s', signed, I32.of(8)),
  )
  return numeric('i32x4.add', even, odd)
}

/** Products of two signed words, added up. −2^15 · −2^15 twice is 2^31, which wraps to −2^31. */
function wordProducts(_: Context, a: V128, b: V128): V128 {
  return numeric('i32x4.dot_i16x8_s', a, b)
}

/** Sums beyond 32 bits become the largest number of their sign. Only a sum of two of the same sign can be. */
export function addSaturated(c: Context, a: V128, b: V128): V128 {
  const sum = c.let(numeric('i32x4.add', a, b))
  const overflow = numeric(
    'i32x4.shr_s',
    numeric('v128.andnot', numeric('v128.xor', sum, a), numeric('v128.xor', a, b)),
    I32.of(31),
  )
  const limit = numeric('v128.xor', numeric('i32x4.shr_s', a, I32.of(31)), numeric('i32x4.splat', I32.of(0x7fff_ffff)))
  return numeric('v128.bitselect', limit, sum, overflow)
}

/** 2^31, the one sum of two products of words that is beyond 32 bits, is added as 2^31 − 1 and 1. */
function addWordsSaturated(c: Context, a: V128, products: V128): V128 {
  const wrapped = c.let(numeric('i32x4.eq', products, numeric('i32x4.splat', I32.of(0x8000_0000))))
  const first = c.let(numeric('i32x4.add', products, wrapped))
  return addSaturated(
    c,
    c.let(addSaturated(c, a, first)),
    c.let(numeric('v128.and', wrapped, numeric('i32x4.splat', I32.of(1)))),
  )
}

/** destination = compute(destination, first source, second source) in each 128-bit lane. */
export function ternary(compute: (c: Context, old: V128, a: V128, b: V128) => V128): Semantics {
  return direct((c) => {
    const b = c.readLanes(2)
    const a = c.readLanes(1)
    c.mapLanes(0, (old, lane) => c.let(compute(c, old, a[lane]!, b[lane]!)))
  })
}

/** Products of the two sources are added to the destination. */
export function dot(
  products: (c: Context, a: V128, b: V128) => V128,
  add: (c: Context, sum: V128, products: V128) => V128,
): Semantics {
  return ternary((c, sum, a, b) => add(c, sum, c.let(products(c, a, b))))
}

const add = (_: Context, sum: V128, products: V128): V128 => numeric('i32x4.add', sum, products)

export const vnni: SemanticsTable = {
  VPDPBUSD: dot(byteProducts, add),
  VPDPBUSDS: dot(byteProducts, addSaturated),
  VPDPWSSD: dot(wordProducts, add),
  VPDPWSSDS: dot(wordProducts, addWordsSaturated),
}
