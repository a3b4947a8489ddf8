/** Constants of AArch32 instructions, decoded from their immediate fields. */

const rotateRight = (value: number, amount: number): number =>
  amount === 0 ? value >>> 0 : ((value >>> amount) | (value << (32 - amount))) >>> 0

/**
 * A modified immediate of A32: 8 bits, rotated to the right by twice the upper 4.
 *
 * Source: Arm ARM (DDI 0487), "A32ExpandImm".
 *
 * @param bits - 12 of them
 */
export function expandImmediateA32(bits: number): number {
  return rotateRight(bits & 0xff, (bits >>> 8) * 2)
}

/** Multipliers of the byte, by the upper bits, where it is repeated. */
const REPEATS: readonly number[] = [1, 0x1_0001, 0x100_0100, 0x101_0101]

/**
 * A modified immediate of T32: a byte that is repeated, or 8 bits with a leading 1, rotated.
 *
 * Source: Arm ARM (DDI 0487), "T32ExpandImm".
 *
 * @param bits - i:imm3:imm8
 */
export function expandImmediateT32(bits: number): number {
  const multiplier = REPEATS[bits >>> 8]
  if (multiplier !== undefined) return Math.imul(bits & 0xff, multiplier) >>> 0
  return rotateRight(0x80 | (bits & 0x7f), bits >>> 7)
}

/**
 * A modified immediate of Advanced SIMD, as the two words of 64 bits, the low one first.
 *
 * Source: Arm ARM (DDI 0487), "AdvSIMDExpandImm".
 *
 * @param op, cmode - the fields
 * @param byte - the other 8 bits
 */
export function expandVectorImmediate(op: number, cmode: number, byte: number): readonly [number, number] {
  const both = (word: number): readonly [number, number] => [word >>> 0, word >>> 0]
  if (cmode < 8) return both(byte << ((cmode >> 1) * 8))
  if (cmode < 12) return both(Math.imul(byte << ((cmode & 2) * 4), 0x1_0001))
  if (cmode < 14) return both((byte << ((cmode & 1) * 8 + 8)) | (2 ** ((cmode & 1) * 8 + 8) - 1))
  if (cmode === 14) {
    if (op === 0) return both(Math.imul(byte, 0x0101_0101))
    const nibble = (bits: number): number =>
      [0, 1, 2, 3].reduce((word, bit) => word | (((bits >> bit) & 1) === 0 ? 0 : 0xff << (bit * 8)), 0) >>> 0
    return [nibble(byte), nibble(byte >> 4)]
  }
  // A single with 8 bits: sign, exponent and fraction.
  const exponent = (byte & 0x40) === 0 ? 0x4000_0000 : 0x3e00_0000
  return both(((byte & 0x80) << 24) | exponent | ((byte & 0x3f) << 19))
}
