import { I32, V128, numeric, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { IOTA, binary, immediateByte, unary, zeroVector } from './sse-integer-operands.ts'
import type { SharedFunction } from '@retrap/soft-float'

/**
 * AES rounds. The state is a register; its byte 4·c + r is row r of column c.
 *
 * Sources: Intel SDM vol. 2, AESENC and its like; FIPS 197, "Advanced Encryption Standard".
 */

/** x · y in GF(2^8), modulo the polynomial of the field. */
function product(x: number, y: number, polynomial: number): number {
  let sum = 0
  for (let bit = 7; bit >= 0; bit--) {
    sum <<= 1
    if (sum & 0x100) sum ^= polynomial
    if ((y >> bit) & 1) sum ^= x
  }
  return sum
}

/**
 * Inverses in GF(2^8) modulo a polynomial; zero's is zero.
 *
 * @param base - an element whose powers are all elements but zero: the inverse of one is as far from their end
 */
export function inverses(base: number, polynomial: number): number[] {
  const powers = [1]
  while (powers.length < 255) powers.push(product(powers.at(-1)!, base, polynomial))
  return Array.from({ length: 256 }, (_, x) => (x === 0 ? 0 : powers[(255 - powers.indexOf(x)) % 255]!))
}

/** Inverses modulo x^8 + x^4 + x^3 + x + 1, by the powers of x + 1 (FIPS 197, 4.2). */
export const INVERSES: readonly number[] = inverses(3, 0x11b)

const rotate = (x: number, by: number): number => ((x << by) | (x >> (8 - by))) & 0xff

const S_BOX: readonly number[] = INVERSES.map(
  (x) => x ^ rotate(x, 1) ^ rotate(x, 2) ^ rotate(x, 3) ^ rotate(x, 4) ^ 0x63,
)
const INVERSE_S_BOX: readonly number[] = S_BOX.map((_, x) => S_BOX.indexOf(x))

/** (vector) → a table of 256 bytes looked up by each byte of it: sixteen swizzles, each of which knows one upper digit. */
export function lookUp(c: Context, name: string, table: readonly number[]): SharedFunction<'v128'> {
  return c.shared(`table.${name}`, ['v128'], 'v128', (f) => {
    const index = f.param(0, 'v128').get
    const result = f.local('v128')
    f.set(result, zeroVector())
    for (let digit = 0; digit < 16; digit++) {
      // An index with another upper digit is above 15 here, and picks zero.
      const low = numeric('v128.xor', index, V128.of(IOTA.map(() => digit << 4)))
      const found = numeric('i8x16.swizzle', V128.of(table.slice(16 * digit, 16 * digit + 16)), low)
      f.set(result, numeric('v128.or', result.get, found))
    }
    f.return(result.get)
  })
}

/** Row r of every column comes from r columns on (back, for decryption). */
function shiftRows(state: V128, inverse: boolean): V128 {
  return state.shuffle(
    state,
    IOTA.map((i) => (i + (inverse ? -4 : 4) * (i & 3) + 16) & 15),
  )
}

/** Bytes times two. */
function double(f: FunctionBuilder, v: V128): V128 {
  const carried = numeric('v128.and', numeric('i8x16.shr_s', v, I32.of(7)), V128.of(IOTA.map(() => 0x1b)))
  return f.let(numeric('v128.xor', numeric('i8x16.shl', v, I32.of(1)), carried))
}

const xor = (a: V128, b: V128): V128 => numeric('v128.xor', a, b)

/** Each column rotated: its row r is row r + by. */
function rotateColumns(v: V128, by: number): V128 {
  return v.shuffle(
    v,
    IOTA.map((i) => (i & 12) | ((i + by) & 3)),
  )
}

/** (columns) → 2·r0 + 3·r1 + r2 + r3 in each row. */
function mixColumns(f: FunctionBuilder, v: V128): V128 {
  const one = f.let(rotateColumns(v, 1))
  const halves = f.let(xor(v, one))
  return xor(xor(double(f, halves), one), rotateColumns(halves, 2))
}

/** The inverse is the same after 5·r0 + 4·r2. */
function inverseMixColumns(f: FunctionBuilder, v: V128): V128 {
  const four = double(f, double(f, f.let(xor(v, rotateColumns(v, 2)))))
  return mixColumns(f, f.let(xor(v, four)))
}

/** A round of encryption, or of decryption (`inverse`); the last one mixes no columns. */
function round({ inverse, last }: { readonly inverse: boolean; readonly last: boolean }): Semantics {
  return binary((c, state, key) => {
    const shifted = shiftRows(state, inverse)
    const table = inverse ? lookUp(c, 'inverseSBox', INVERSE_S_BOX) : lookUp(c, 'sBox', S_BOX)
    const substituted = c.f.call(table, shifted)
    if (last) return xor(substituted, key)
    return xor(inverse ? inverseMixColumns(c.f, substituted) : mixColumns(c.f, substituted), key)
  })
}

/** AESKEYGENASSIST: S-box of words 1 and 3, and the same rotated, to which the immediate is added. */
function assist(c: Context, v: V128): V128 {
  const s = c.f.call(lookUp(c, 'sBox', S_BOX), v)
  const words = s.shuffle(s, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12])
  const constant = numeric('i32x4.splat', immediateByte(c))
  return xor(words, numeric('v128.and', constant, V128.of(IOTA.map((i) => (i & 4 ? 0xff : 0)))))
}

export const aes: SemanticsTable = {
  AESENC: round({ inverse: false, last: false }),
  AESENCLAST: round({ inverse: false, last: true }),
  AESDEC: round({ inverse: true, last: false }),
  AESDECLAST: round({ inverse: true, last: true }),
  AESIMC: unary((c, v) => inverseMixColumns(c.f, v)),
  AESKEYGENASSIST: unary(assist),
}
