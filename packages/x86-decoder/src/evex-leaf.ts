/** The facts that decoding an EVEX instruction needs about its form, in one number. */
import { OperandKind } from './kinds.ts'
import type { Form } from './rows.ts'

/** Bits of an EVEX leaf. Lowest: binary logarithm of the scale of an 8-bit displacement. */
export const EVEX_SCALE: number = 7
/** Binary logarithm of the broadcast element's bytes, 0 = no broadcast. */
export const EVEX_BROADCAST_SHIFT: number = 3
export const EVEX_BROADCAST: number = 3 << 3
/** A mask register may be named, must be, with zeroing, with zeroing of a register only. */
export const EVEX_MASKED: number = 1 << 5
export const EVEX_MASK_NEEDED: number = 1 << 6
export const EVEX_ZEROING: number = 1 << 7
export const EVEX_ZEROING_REGISTER: number = 1 << 8
/** With registers EVEX.b is static rounding, or suppresses exceptions. */
export const EVEX_ROUNDING: number = 1 << 9
export const EVEX_SAE: number = 1 << 10
/** ModRM.rm is a vector register, whose number EVEX.X extends. */
export const EVEX_VECTOR_RM: number = 1 << 11
/** ModRM.reg is a mask register or a tile, of which there are eight. */
export const EVEX_MASK_REG: number = 1 << 12
/** ModRM.reg is a general register. */
export const EVEX_GENERAL_REG: number = 1 << 14
/** ModRM.rm is a tile. */
export const EVEX_TILE_RM: number = 1 << 15
/** An APX form of a legacy instruction, not a vector instruction. */
export const EVEX_PROMOTED: number = 1 << 16
/** EVEX.NF may be 1. */
export const EVEX_NO_FLAGS: number = 1 << 17
/** EVEX.SC is a condition, and EVEX.vvvv the default flags. */
export const EVEX_CONDITION: number = 1 << 18
/** Neither register is RSP. */
export const EVEX_NO_RSP: number = 1 << 19
/** EVEX.ND has selected the form, which is in map 4. */
export const EVEX_ND_CHOSEN: number = 1 << 20
/** ModRM.reg is a vector register. This and `EVEX_VECTOR_RM` legacy forms have too. */
export const EVEX_VECTOR_REG: number = 1 << 21
/** There is an operand in EVEX.vvvv. */
export const EVEX_VVVV: number = 1 << 13

const logarithm = (value: number): number => 31 - Math.clz32(value)

/** `n4` and the like, or the memory operand's size; a broadcast or gather moves one element. */
export function evexBits({ evex, map, attributes, operands, feature, condition }: Form): number {
  if (!evex) {
    let vectors = 0
    for (const { kind } of operands) {
      if (kind === OperandKind.XMM_REG) vectors |= EVEX_VECTOR_REG
      else if (kind === OperandKind.XMM_RM || kind === OperandKind.XMM_RM_REG) vectors |= EVEX_VECTOR_RM
    }
    return vectors
  }
  const isPromoted = feature.startsWith('APX')
  let bits = isPromoted ? EVEX_PROMOTED : 0
  if (condition >= 0) bits |= EVEX_CONDITION
  if (map === 4) bits |= EVEX_ND_CHOSEN
  for (const [position, { kind, memorySize }] of operands.entries()) {
    switch (kind) {
      case OperandKind.XMM_RM:
      case OperandKind.XMM_RM_REG:
        bits |= EVEX_VECTOR_RM
        if (position === 0 && attributes.has('kz')) bits |= EVEX_ZEROING_REGISTER
        break
      case OperandKind.MASK_REG:
      case OperandKind.TILE_REG:
        bits |= EVEX_MASK_REG
        break
      case OperandKind.REG:
        bits |= EVEX_GENERAL_REG
        break
      case OperandKind.TILE_RM_REG:
        bits |= EVEX_TILE_RM
        break
      case OperandKind.XMM_VVVV:
      case OperandKind.VVVV_REG:
        bits |= EVEX_VVVV
        break
      default:
    }
    if (!isPromoted && MEMORY_KINDS.includes(kind)) bits |= logarithm(memorySize)
  }
  for (const word of attributes) {
    if (/^n[1248]$/.test(word)) bits = (bits & ~EVEX_SCALE) | logarithm(Number(word[1]))
    else bits |= EVEX_WORDS[word] ?? 0
  }
  return bits
}

const MEMORY_KINDS: readonly OperandKind[] = [
  OperandKind.RM,
  OperandKind.MEM,
  OperandKind.XMM_RM,
  OperandKind.MASK_RM,
  OperandKind.VSIB,
]
const EVEX_WORDS: Readonly<Record<string, number>> = {
  k: EVEX_MASKED,
  kz: EVEX_MASKED | EVEX_ZEROING,
  kx: EVEX_MASKED | EVEX_MASK_NEEDED,
  bw: 1 << EVEX_BROADCAST_SHIFT,
  bd: 2 << EVEX_BROADCAST_SHIFT,
  bq: 3 << EVEX_BROADCAST_SHIFT,
  er: EVEX_ROUNDING,
  nf: EVEX_NO_FLAGS,
  nf1: EVEX_NO_FLAGS,
  norsp: EVEX_NO_RSP,
  sae: EVEX_SAE,
}
