import { extractLane, I32, numeric, replaceLane, V128 } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I64 } from '@retrap/wasm-emitter'
import { equalBytes, inverse, shuffled, vectorBytes, xor } from './vector/lanes.ts'

/**
 * QARMA5, the block cipher of pointer authentication, on vectors with one cell of four bits in each byte.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "ComputePAC", and R. Avanzi, "The QARMA Block Cipher Family" (2017), whose
 * cell 0 is the most significant one; the cells of a vector begin with the least significant one.
 */

/** The vector's lane of a cell of the paper. */
const lane = (cell: number): number => 15 - cell

/** A permutation of the paper, `cell i of the result is cell p[i]`, as lanes of a shuffle. */
function lanesOf(permutation: readonly number[]): number[] {
  const lanes = new Array<number>(16).fill(0)
  for (const [i, from] of permutation.entries()) lanes[lane(i)] = lane(from)
  return lanes
}

const SHUFFLE: readonly number[] = /*#__PURE__*/ lanesOf([0, 11, 6, 13, 10, 1, 12, 7, 5, 14, 3, 8, 15, 4, 9, 2])
const SHUFFLE_BACK: readonly number[] = /*#__PURE__*/ inverse(SHUFFLE)
const TWEAK_SHUFFLE: readonly number[] = /*#__PURE__*/ lanesOf([6, 5, 14, 15, 0, 1, 2, 3, 7, 12, 13, 4, 8, 9, 10, 11])
const TWEAK_SHUFFLE_BACK: readonly number[] = /*#__PURE__*/ inverse(TWEAK_SHUFFLE)
/** Cells of the tweak that a shift register changes. */
const TWEAK_CHANGED = [0, 1, 3, 4, 8, 11, 13]

const SUBSTITUTE = [11, 6, 8, 15, 12, 0, 9, 14, 3, 7, 4, 5, 13, 2, 1, 10]
const SUBSTITUTE_BACK: readonly number[] = /*#__PURE__*/ inverse(SUBSTITUTE)

const ROUND_CONSTANTS = [
  0n,
  0x1319_8a2e_0370_7344n,
  0xa409_3822_299f_31d0n,
  0x082e_fa98_ec4e_6c89n,
  0x4528_21e6_38d0_1377n,
]
const ALPHA = 0xc0ac_29b7_c97c_50ddn

/** The cells of a constant. */
const cells = (value: bigint): V128 => V128.of(vectorBytes((i) => Number((value >> BigInt(4 * i)) & 15n)))

/** Replaces each cell by a table's value. */
const looked = (table: readonly number[], value: V128): V128 => numeric('i8x16.swizzle', V128.of(table), value)

/** The cells of a number. */
function spread(f: FunctionBuilder, value: I64): V128 {
  const vector = f.let(replaceLane('i64x2.replace_lane', V128.of([]), 0, value))
  const even = numeric('v128.and', vector, equalBytes(15))
  return shuffled(even, numeric('i8x16.shr_u', vector, I32.of(4)), (i) => (i >> 1) + 16 * (i & 1))
}

/** The number of cells. */
function joined(f: FunctionBuilder, value: V128): I64 {
  const vector = f.let(value)
  const pairs = f.let(numeric('v128.or', vector, numeric('i16x8.shr_u', vector, I32.of(4))))
  const even = shuffled(pairs, pairs, (i) => (2 * i) & 15)
  return extractLane('i64x2.extract_lane', even, 0)
}

const rotated = (by: number): number[] => vectorBytes((i) => ((i << by) & 15) | (i >> (4 - by)))
const ROTATED_1: readonly number[] = /*#__PURE__*/ rotated(1)
const ROTATED_2: readonly number[] = /*#__PURE__*/ rotated(2)

/** Multiplies each column by the matrix circ(0, 1, 2, 1) of rotations. */
function mixed(f: FunctionBuilder, value: V128): V128 {
  const state = f.let(value)
  const row = (distance: number): V128 => shuffled(state, state, (i) => (i + 4 * distance) & 15)
  return xor(looked(ROTATED_1, xor(row(1), row(3))), looked(ROTATED_2, row(2)))
}

const permuted = (f: FunctionBuilder, value: V128, lanes: readonly number[]): V128 => {
  const state = f.let(value)
  return state.shuffle(state, lanes)
}

const MASK: readonly number[] = /*#__PURE__*/ vectorBytes((i) => (TWEAK_CHANGED.includes(lane(i)) ? 255 : 0))
/** The shift register: x^4 + x + 1 divided out, bit 0 + bit 1 come in at the top. */
const STEP: readonly number[] = /*#__PURE__*/ vectorBytes((x) => (x >> 1) | (((x ^ (x >> 1)) & 1) << 3))
const STEP_BACK: readonly number[] = /*#__PURE__*/ inverse(STEP)

function stepped(f: FunctionBuilder, value: V128, table: readonly number[]): V128 {
  const state = f.let(value)
  return numeric('v128.bitselect', looked(table, state), state, V128.of(MASK))
}

/**
 * Builds the cipher.
 *
 * @param high - bits 127 to 64 of the key
 * @param low - bits 63 to 0
 */
export function buildQarma5(f: FunctionBuilder, data: I64, tweak: I64, high: I64, low: I64): I64 {
  const now = (value: V128): V128 => f.let(value)
  const whitening = now(spread(f, high))
  const lastWhitening = now(spread(f, high.shl(63).or(high.shrU(1).and(0x7fff_ffff_ffff_ffffn)).xor(high.shrU(63))))
  const core = now(spread(f, low))
  let running = now(spread(f, tweak))
  let state = xor(spread(f, data), whitening)
  for (const [i, constant] of ROUND_CONSTANTS.entries()) {
    state = now(xor(state, core, running, cells(constant)))
    if (i > 0) state = mixed(f, permuted(f, state, SHUFFLE))
    state = looked(SUBSTITUTE, state)
    running = now(stepped(f, permuted(f, running, TWEAK_SHUFFLE), STEP))
  }
  state = xor(state, lastWhitening, running)
  state = looked(SUBSTITUTE, mixed(f, permuted(f, state, SHUFFLE)))
  state = xor(mixed(f, permuted(f, state, SHUFFLE)), core)
  state = mixed(f, looked(SUBSTITUTE_BACK, permuted(f, state, SHUFFLE_BACK)))
  state = xor(permuted(f, state, SHUFFLE_BACK), whitening, running)
  for (const [i, constant] of ROUND_CONSTANTS.toReversed().entries()) {
    state = now(looked(SUBSTITUTE_BACK, state))
    if (i < 4) state = permuted(f, mixed(f, state), SHUFFLE_BACK)
    running = now(permuted(f, stepped(f, running, STEP_BACK), TWEAK_SHUFFLE_BACK))
    state = now(xor(state, core, running, cells(constant ^ ALPHA)))
  }
  return joined(f, xor(state, lastWhitening))
}
