import type { Form as Row } from '@retrap/arm-decoder'
import { I32, numeric, V128, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { R_D, R_N } from '../state/record.ts'
import type { Semantics } from './semantics.ts'
import { equalBytes, inverse, shuffled, vectorBytes, xor } from './vector/lanes.ts'

/**
 * AES: one round in two instructions.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "AESSubBytes" and its like; FIPS 197 for the computations.
 */

/** Multiplies by x modulo x^8 + x^4 + x^3 + x + 1. */
const doubled = (byte: number): number => ((byte << 1) ^ (byte >> 7 ? 0x11b : 0)) & 0xff

function product(a: number, b: number): number {
  let sum = 0
  for (let factor = a, rest = b; rest !== 0; rest >>= 1, factor = doubled(factor)) if (rest & 1) sum ^= factor
  return sum
}

/** The substitution of FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map. */
function substitution(): number[] {
  return Array.from({ length: 256 }, (_, byte) => {
    // The inverse is the 254th power; that of 0 is 0.
    let inverse = 1
    for (let i = 0; i < 254; i++) inverse = product(inverse, byte)
    let result = 0x63
    for (let i = 0; i < 5; i++) result ^= ((inverse << i) | (inverse >> (8 - i))) & 0xff
    return result
  })
}

/** Source positions of ShiftRows' bytes; columns are consecutive. */
const ROWS: readonly number[] = /*#__PURE__*/ vectorBytes((i) => (i + 4 * (i & 3)) & 15)

/** Looks each byte up in a table of 256: a swizzle for each vectorBytes entries, which gives zero for all other bytes. */
function looked(f: FunctionBuilder, table: readonly number[], state: V128): V128 {
  const part = (i: number): V128 => {
    const index = i === 0 ? state : xor(state, equalBytes(16 * i))
    return numeric('i8x16.swizzle', V128.of(table.slice(16 * i, 16 * i + 16)), index)
  }
  const sum = f.local('v128')
  f.set(sum, part(0))
  for (let i = 1; i < 16; i++) f.set(sum, numeric('v128.or', sum.get, part(i)))
  return sum.get
}

/** Substitutes and shifts bytes; the order of both does not matter. */
function substituted(c: ArmContext, decrypts: boolean, value: V128): V128 {
  const callee = c.library.function(decrypts ? 'aesd' : 'aese', ['v128'], 'v128', (f, state) => {
    const table = substitution()
    const rows = decrypts ? inverse(ROWS) : ROWS
    return looked(f, decrypts ? inverse(table) : table, f.let(state.shuffle(state, rows)))
  })
  return c.f.call(callee, value)
}

/** Multiplies each byte by x. */
function doubledBytes(f: FunctionBuilder, value: V128): V128 {
  const state = f.let(value)
  const carried = numeric('v128.and', numeric('i8x16.shr_s', state, I32.of(7)), equalBytes(0x1b))
  return f.let(xor(numeric('i8x16.shl', state, I32.of(1)), carried))
}

/** Each byte of a column moved up by this many rows. */
const turned = (state: V128, by: number): V128 => shuffled(state, state, (i) => (i & 12) | ((i + by) & 3))

/** Multiplies each column by 2, 3, 1, 1; to undo it by 14, 11, 13, 9, which is that after 5, 0, 4, 0. */
function mixed(f: FunctionBuilder, value: V128, undoes: boolean): V128 {
  let state = f.let(value)
  if (undoes) {
    const four = doubledBytes(f, doubledBytes(f, xor(state, turned(state, 2))))
    state = f.let(xor(state, four))
  }
  const two = doubledBytes(f, xor(state, turned(state, 1)))
  const others = xor(turned(state, 1), xor(turned(state, 2), turned(state, 3)))
  return xor(two, others)
}

const round: Semantics = {
  selectors: '',
  emit(c, { row }) {
    const state = xor(c.readVector(R_D), c.readVector(R_N))
    c.writeVector(R_D, substituted(c, row.mnemonic === 'AESD', state))
  },
}

const mixColumns: Semantics = {
  selectors: '',
  emit: (c, { row }) => c.writeVector(R_D, mixed(c.f, c.readVector(R_N), row.mnemonic === 'AESIMC')),
}

/** The family's semantics of a row. */
export function aes(row: Row): Semantics | undefined {
  if (row.operation !== 'aes') return undefined
  return row.name === 'AESMC' || row.name === 'AESIMC' ? mixColumns : round
}
