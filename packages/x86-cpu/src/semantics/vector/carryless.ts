import { I32, I64, V128, numeric, replaceLane, type FunctionBuilder } from '@retrap/wasm-emitter'
import { INVERSES, lookUp } from './aes.ts'
import type { Context, SemanticsTable } from '../context.ts'
import { dynamicHalf } from './sse-float-move.ts'
import { IOTA, binary, immediateByte, zeroVector } from './sse-integer-operands.ts'
import type { SharedFunction } from '@retrap/soft-float'

/**
 * Arithmetic without carries: PCLMULQDQ, and GFNI's bytes of GF(2^8).
 *
 * Source: Intel SDM vol. 2, PCLMULQDQ, GF2P8AFFINEINVQB, GF2P8AFFINEQB, GF2P8MULB.
 */

const EVERY_FOURTH = 0x1111_1111_1111_1111n

/**
 * (x, y) → the low 64 bits of their carry-less product. With only every fourth bit set an integer product keeps its
 * carries out of the bits that matter, for up to fifteen terms; the sixteenth carries into the next such bit, four up, and
 * at the top out of the word.
 */
function lowProduct(c: Context): SharedFunction<'i64'> {
  return c.shared('carryless.low', ['i64', 'i64'], 'i64', (f) => {
    const parts = (value: I64): readonly I64[] => [0n, 1n, 2n, 3n].map((i) => f.let(value.and(EVERY_FOURTH << i)))
    const [x, y] = [parts(f.param(0, 'i64').get), parts(f.param(1, 'i64').get)]
    let result: I64 = I64.of(0)
    for (let residue = 0; residue < 4; residue++) {
      let sum: I64 = I64.of(0)
      for (let i = 0; i < 4; i++) sum = sum.xor(x[i]!.mul(y[(residue - i + 4) & 3]!))
      result = result.or(sum.and(EVERY_FOURTH << BigInt(residue)))
    }
    f.return(result)
  })
}

function reverseBits(f: FunctionBuilder, value: I64): I64 {
  let v = f.let(value)
  for (const [shift, mask] of [
    [1, 0x5555_5555_5555_5555n],
    [2, 0x3333_3333_3333_3333n],
    [4, 0x0f0f_0f0f_0f0f_0f0fn],
    [8, 0x00ff_00ff_00ff_00ffn],
    [16, 0x0000_ffff_0000_ffffn],
  ] as const) {
    v = f.let(v.shrU(shift).and(mask).or(v.and(mask).shl(shift)))
  }
  return f.let(v.rotl(32))
}

/** (x, y) → the 127 bits of their carry-less product. The upper half is the lower one of the operands reversed, reversed. */
function product(c: Context): SharedFunction<'v128'> {
  return c.shared('carryless.product', ['i64', 'i64'], 'v128', (f) => {
    const [x, y] = [f.param(0, 'i64').get, f.param(1, 'i64').get]
    const low = f.call(lowProduct(c), x, y)
    const reversed = f.call(lowProduct(c), reverseBits(f, x), reverseBits(f, y))
    const high = reverseBits(f, reversed).shrU(1)
    f.return(replaceLane('i64x2.replace_lane', numeric('i64x2.splat', low), 1, high))
  })
}

/** PCLMULQDQ: bits 0 and 4 of the immediate choose the halves. */
function multiply(c: Context, a: V128, b: V128): V128 {
  const control = immediateByte(c)
  return c.f.call(product(c), dynamicHalf(control, 0, a), dynamicHalf(control, 4, b))
}

const every = (byte: number): V128 => V128.of(IOTA.map(() => byte))

/** GF2P8MULB: bytes modulo x^8 + x^4 + x^3 + x + 1. */
function multiplyBytes(c: Context, a: V128, b: V128): V128 {
  const f = c.f
  const sum = f.local('v128')
  f.set(sum, zeroVector())
  for (let bit = 7; bit >= 0; bit--) {
    const reduced = numeric('v128.and', numeric('i8x16.shr_s', sum.get, I32.of(7)), every(0x1b))
    const doubled = numeric('v128.xor', numeric('i8x16.shl', sum.get, I32.of(1)), reduced)
    const chosen = numeric('i8x16.shr_s', numeric('i8x16.shl', b, I32.of(7 - bit)), I32.of(7))
    f.set(sum, numeric('v128.xor', doubled, numeric('v128.and', a, chosen)))
  }
  return sum.get
}

/** GF2P8AFFINEQB: each byte times the 8 × 8 bit matrix in its quadword, whose byte 7 − i gives bit i, plus the immediate. */
function affine(c: Context, x: V128, matrix: V128): V128 {
  const f = c.f
  const result = f.local('v128')
  f.set(result, numeric('i8x16.splat', immediateByte(c)))
  for (let bit = 0; bit < 8; bit++) {
    const row = matrix.shuffle(
      matrix,
      IOTA.map((i) => (i & 8) | (7 - bit)),
    )
    const parity = numeric('v128.and', numeric('i8x16.popcnt', numeric('v128.and', row, x)), every(1))
    f.set(result, numeric('v128.xor', result.get, numeric('i8x16.shl', parity, I32.of(bit))))
  }
  return result.get
}

export const carryless: SemanticsTable = {
  PCLMULQDQ: binary(multiply),
  GF2P8MULB: binary(multiplyBytes),
  GF2P8AFFINEQB: binary(affine),
  GF2P8AFFINEINVQB: binary((c, x, matrix) => affine(c, c.f.call(lookUp(c, 'inverses', INVERSES), x), matrix)),
}
