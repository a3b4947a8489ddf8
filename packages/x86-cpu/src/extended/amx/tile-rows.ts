import { STATUS_DONE, S_EVEX_GATE } from '../../state/state-layout.ts'
import { give } from '../../system/gather.ts'
import { gated, readOperand, registerOffset, type Gate, type Handler } from '../../system/operands.ts'
import { ROW_BYTES } from './tile-configuration.ts'
import { endTile, requireTileData, tileOf } from './tiles.ts'

/**
 * Rows of tiles as vectors, converted on the way: AMX-AVX512. Rounding is to nearest, and no flags are set.
 *
 * Source: Intel Architecture Instruction Set Extensions Programming Reference, edition 062, TILEMOVROW, TCVTROWD2PS, TCVTROWPS2BF16H
 * and TCVTROWPS2BF16L, TCVTROWPS2PHH and TCVTROWPS2PHL. Whether results of half precision may be denormal is not said there: here
 * they may, as those of VCVTPS2PH.
 */

const EXPONENT = 0x7f80_0000
const MAGNITUDE = 0x7fff_ffff

const words = new Uint32Array(ROW_BYTES / 4)
const single = new Float32Array(1)
const singleBits = new Uint32Array(single.buffer)

function fromInteger(word: number): number {
  single[0] = word | 0
  return singleBits[0]!
}

/** Denormal numbers become zeros. */
function toBrain(word: number): number {
  if ((word & MAGNITUDE) > EXPONENT) return (word >>> 16) | 0x40
  if ((word & EXPONENT) === 0) return (word >>> 16) & 0x8000
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}

/** By how much the exponents of single precision are above those of half precision. */
const BIAS = 112 << 23
const [INFINITE_HALF, QUIET_HALF] = [0x7c00, 0x200]

function toHalf(word: number): number {
  const [sign, magnitude] = [(word >>> 16) & 0x8000, word & MAGNITUDE]
  if (magnitude > EXPONENT) return sign | INFINITE_HALF | QUIET_HALF | ((magnitude >>> 13) & 0x3ff)
  singleBits[0] = magnitude
  // A double of this size has no fraction: the sum is rounded to a whole number of units, the even one of two that are as near.
  if (magnitude < BIAS + (1 << 23)) return sign | (single[0]! * 2 ** 24 + 2 ** 52 - 2 ** 52)
  const normal = magnitude - BIAS
  return sign | Math.min(INFINITE_HALF, (normal + 0xfff + ((normal >>> 13) & 1)) >>> 13)
}

const requireRows: Gate = (s) => {
  const gate = s.get(S_EVEX_GATE)
  if (gate !== 0) s.raisePlain(gate)
  requireTileData(s)
}

/** The row that a register or an immediate names goes to a vector register; one that the tile lacks is zeros. */
const move = (convert: (word: number) => number): Handler =>
  gated(requireRows, (s, record, form) => {
    const tile = tileOf(s, record, 1, true)
    const row = readOperand(s, record, form, 2) & 15
    words.fill(0)
    // Bytes of a tile beyond its shape are zeros, which all conversions keep.
    if (row < tile.rows) {
      for (let i = 0; i < words.length; i++) words[i] = convert(s.get(tile.at + row * ROW_BYTES + 4 * i))
      endTile(s)
    }
    give(s, registerOffset(s, record, 0), words)
    return STATUS_DONE
  })

export const tileRows: Readonly<Record<string, Handler>> = {
  TILEMOVROW: move((word) => word),
  TCVTROWD2PS: move(fromInteger),
  TCVTROWPS2BF16H: move((word) => toBrain(word) << 16),
  TCVTROWPS2BF16L: move(toBrain),
  TCVTROWPS2PHH: move((word) => toHalf(word) << 16),
  TCVTROWPS2PHL: move(toHalf),
}
