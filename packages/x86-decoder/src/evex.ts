/**
 * The parts that EVEX adds once the form is known: mask, broadcast, rounding, scaled displacement, registers 16 to 31.
 *
 * Source: Intel SDM vol. 2A, "Intel AVX-512 Encoding", "#UD Equations for EVEX".
 */
import * as E from './evex-leaf.ts'
import { EVEX_B, EVEX_NF, EVEX_ROUNDING_SHIFT, EVEX_Z, type Instruction } from './instruction.ts'
import * as K from './kinds.ts'
import { LEAF_DISTINCT, LEAF_VSIB } from './tree.ts'

/**
 * Finishes an EVEX instruction.
 *
 * @param insn - filled in so far; `evex` has the third payload byte and above it the register bits in REX2's order
 * @param leaf - `LEAF_*` bits of the code
 * @param form - `EVEX_*` bits of the code
 * @param mode - with option bits
 * @returns a reason to refuse the instruction, or 0
 */
export function finishEvex(insn: Instruction, leaf: number, form: number, mode: number): number {
  // EVEX.U is APX's X4 with memory. With registers it has to be 1, in map 4 too (APX specification, "Extended EVEX Prefix").
  if (insn.mod === 3 && (insn.evex & (32 << 8)) !== 0) return K.REASON_EVEX
  if ((form & E.EVEX_PROMOTED) !== 0) return finishPromoted(insn, leaf, form, mode)
  const payload = insn.evex & 0xff
  const registers = insn.evex >> 8
  const mask = payload & 7
  const isRegister = insn.mod === 3
  let evex = mask
  let scale = form & E.EVEX_SCALE
  if ((payload & 16) !== 0) {
    if (isRegister) {
      if ((form & E.EVEX_ROUNDING) !== 0) evex |= (1 + insn.vectorLength) << EVEX_ROUNDING_SHIFT
      else if ((form & E.EVEX_SAE) !== 0) evex |= K.ROUNDING_SAE << EVEX_ROUNDING_SHIFT
      else return K.REASON_EVEX
      insn.vectorLength = 2
    } else {
      scale = (form & E.EVEX_BROADCAST) >> E.EVEX_BROADCAST_SHIFT
      if (scale === 0) return K.REASON_EVEX
      evex |= EVEX_B
    }
  }
  if (mask === 0) {
    if ((form & E.EVEX_MASK_NEEDED) !== 0) return K.REASON_EVEX
  } else if ((form & E.EVEX_MASKED) === 0) return K.REASON_EVEX
  if ((payload & 0x80) !== 0) {
    // Memory is merged, never zeroed; zeroing needs a mask.
    if (mask === 0 || (form & E.EVEX_ZEROING) === 0) return K.REASON_EVEX
    if (!isRegister && (form & E.EVEX_ZEROING_REGISTER) !== 0) return K.REASON_EVEX
    evex |= EVEX_Z
  }
  insn.evex = evex

  if ((form & E.EVEX_MASK_REG) !== 0 && insn.reg > 7) return K.REASON_REGISTER
  // R16 and on are APX's.
  if ((form & E.EVEX_GENERAL_REG) !== 0 && insn.reg > 15 && (mode & K.DECODE_NO_APX) !== 0) return K.REASON_REGISTER
  if ((leaf & LEAF_VSIB) !== 0) {
    // V' belongs to the index.
    insn.index = (insn.index & 15) | (insn.vvvv & 16)
    insn.vvvv &= 15
  }
  if (insn.vvvv !== 0 && (form & E.EVEX_VVVV) === 0) return K.REASON_VEX_VVVV
  // As with VEX, the top bit is ignored outside 64-bit mode if the field names a register.
  if (insn.mode !== 64) insn.vvvv &= 7
  if (isRegister) {
    if ((form & E.EVEX_TILE_RM) !== 0 && (insn.rm > 7 || (registers & 2) !== 0)) return K.REASON_REGISTER
    if ((form & E.EVEX_VECTOR_RM) !== 0) insn.rm = (insn.rm & 15) | ((registers & 2) << 3)
  } else if (insn.dispSize === 1) {
    const displacement = insn.dispLo << scale
    insn.dispLo = displacement
    insn.dispHi = displacement >> 31
  }
  if ((leaf & LEAF_DISTINCT) !== 0) {
    const { reg, rm, vvvv, index } = insn
    if ((leaf & LEAF_VSIB) !== 0 ? reg === index : reg === vvvv || (isRegister && reg === rm)) {
      return K.REASON_SAME_REGISTER
    }
  }
  return 0
}

/**
 * Finishes an instruction of APX: one of map 4, or a VEX instruction in EVEX. Displacements are not scaled, and the third payload
 * byte has ND, V4 and NF, or the condition of CCMP.
 *
 * Source: Intel APX Architecture Specification, "Extended EVEX Prefix".
 */
function finishPromoted(insn: Instruction, leaf: number, form: number, mode: number): number {
  if ((mode & K.DECODE_NO_APX) !== 0) return K.REASON_OPCODE
  const payload = insn.evex & 0xff
  insn.vectorLength = 0
  insn.evex = 0
  if ((form & E.EVEX_CONDITION) !== 0) {
    if ((payload & 0xf0) !== 0) return K.REASON_EVEX
    // The default flags are not inverted; V4 is a bit of the condition.
    insn.imm2 = ~insn.vvvv & 15
    insn.vvvv = 0
    return 0
  }
  // ND has selected the form, if there are two.
  if ((payload & 0xe3) !== 0) return K.REASON_EVEX
  if ((payload & 0x10) !== 0 && (form & E.EVEX_ND_CHOSEN) === 0) return K.REASON_EVEX
  if ((payload & 4) !== 0) {
    if ((form & E.EVEX_NO_FLAGS) === 0) return K.REASON_EVEX
    insn.evex = EVEX_NF
  }
  const { vvvv, rm } = insn
  if (vvvv !== 0 && (form & E.EVEX_VVVV) === 0) return K.REASON_VEX_VVVV
  if ((form & E.EVEX_MASK_REG) !== 0 && insn.reg > 7) return K.REASON_REGISTER
  if ((form & E.EVEX_NO_RSP) !== 0 && (vvvv === 4 || rm === 4)) return K.REASON_REGISTER
  if ((leaf & LEAF_DISTINCT) !== 0 && vvvv === rm) return K.REASON_SAME_REGISTER
  return 0
}
