/**
 * The parts that few instructions have: immediates of odd shapes, checks of registers, implied memory operands.
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format", and the pages of the instructions named.
 */
import { finishEvex } from './evex.ts'
import type { Instruction } from './instruction.ts'
import * as K from './kinds.ts'
import { loadTables } from './tables.ts'
import * as tree from './tree.ts'

/** The immediates that few instructions have. Returns 1 if it is a memory operand's address. */
export function readOddImmediate(
  bytes: Uint8Array,
  at: number,
  size: number,
  immediate: number,
  offset: number,
  insn: Instruction,
): number {
  insn.immOffset = offset
  insn.immSize = size
  insn.immHi = 0
  switch (immediate) {
    case 7:
      insn.immLo = dword(bytes, at)
      insn.immHi = dword(bytes, at + 4)
      return 0
    case 8:
      insn.immLo = word(bytes, at)
      insn.imm2 = bytes[at + 2]!
      return 0
    case 9:
      insn.immLo = word(bytes, at)
      insn.imm2 = word(bytes, at + 2)
      return 0
    case 10:
      insn.immLo = dword(bytes, at)
      insn.imm2 = word(bytes, at + 4)
      return 0
    case 11:
      // An address, not a number: it is not sign-extended.
      insn.dispLo = size === 2 ? word(bytes, at) : dword(bytes, at)
      if (size === 8) insn.dispHi = dword(bytes, at + 4)
      insn.dispOffset = offset
      insn.dispSize = size
      insn.immLo = 0
      insn.immOffset = 0
      insn.immSize = 0
      return 1
    default:
      insn.immLo = bytes[at]!
      insn.imm2 = bytes[at + 1]!
      return 0
  }
}

/** Checks and fields that few instructions have. Returns a reason to refuse the instruction, or 0. */
export function finishRare(insn: Instruction, leaf: number, prefixes: number, mode: number): number {
  switch (leaf & tree.LEAF_CHECK) {
    case 0:
      break
    case tree.LEAF_CHECK_CONTROL:
      // LOCK MOV CR0 is AMD's way to CR8 outside 64-bit mode.
      if ((prefixes & K.PREFIX_LOCK) !== 0) {
        if ((mode & K.DECODE_AMD) === 0 || insn.reg !== 0) return K.REASON_LOCK
        insn.reg |= 8
      }
      // CR0, CR2, CR3, CR4, CR8.
      if (((0x11d >> insn.reg) & 1) === 0) return K.REASON_REGISTER
      break
    case tree.LEAF_CHECK_DEBUG:
      if (insn.reg > 7) return K.REASON_REGISTER
      break
    case tree.LEAF_CHECK_MASK:
      if (insn.reg > 7 || insn.vvvv > 7) return K.REASON_REGISTER
      break
    case tree.LEAF_CHECK_BOUND:
      // SDM vol. 2A, BNDMOV: #UD also with 16-bit addresses.
      if (insn.addressSize === 16) return K.REASON_OPCODE
      // In 64-bit mode 67 is ignored (SDM vol. 1, Appendix E).
      if (insn.mode === 64) insn.addressSize = 64
      if (insn.reg > 3 || ((leaf & tree.LEAF_RM_3BIT) !== 0 && insn.mod === 3 && insn.rm > 3)) return K.REASON_REGISTER
      if ((leaf & tree.LEAF_NO_RIP) !== 0 && insn.base === K.REGISTER_RIP) return K.REASON_OPCODE
      break
    case tree.LEAF_CHECK_TILE: {
      const { reg, rm, vvvv } = insn
      if (reg > 7) return K.REASON_REGISTER
      if ((leaf & tree.LEAF_VVVV) === 0) break
      if (rm > 7 || vvvv > 7) return K.REASON_REGISTER
      if (reg === rm || reg === vvvv || rm === vvvv) return K.REASON_SAME_REGISTER
      break
    }
    default:
      insn.reg &= 7
      // There are six, and CS is not loaded by MOV.
      if (insn.reg > 5 || (insn.reg === 1 && (leaf & tree.LEAF_CHECK) === tree.LEAF_CHECK_SEGMENT_WRITE))
        return K.REASON_REGISTER
  }
  if ((leaf & tree.LEAF_NO_66) !== 0 && (prefixes & K.PREFIX_OPERAND_SIZE) !== 0) return K.REASON_OPCODE
  if ((leaf & tree.LEAF_NO_REX2) !== 0 && (prefixes & K.PREFIX_REX2) !== 0) return K.REASON_OPCODE
  if ((leaf & tree.LEAF_SIB) !== 0 && (insn.rm & 7) !== 4) return K.REASON_OPCODE
  if ((leaf & tree.LEAF_VSIB) !== 0) {
    // Only addresses with a SIB byte have an index, and 16-bit ones never do.
    if ((insn.rm & 7) !== 4 || insn.addressSize === 16) return K.REASON_OPCODE
    // For VSIB, index 4 without extension is register 4.
    if (insn.index < 0) insn.index = 4
    const { index, reg, vvvv } = insn
    if (
      (leaf & (tree.LEAF_DISTINCT | tree.LEAF_EVEX)) === tree.LEAF_DISTINCT &&
      (index === reg || index === vvvv || reg === vvvv)
    )
      return K.REASON_SAME_REGISTER
  }
  if ((leaf & tree.LEAF_EVEX) !== 0) {
    const reason = finishEvex(insn, leaf, loadTables().evexLeaves[insn.code]!, mode)
    if (reason !== 0) return reason
  }
  if ((leaf & tree.LEAF_REG_3BIT) !== 0) insn.reg &= 7
  if ((leaf & tree.LEAF_RM_3BIT) !== 0) insn.rm &= 7
  if ((leaf & tree.LEAF_3DNOW) !== 0) {
    const code = (mode & K.DECODE_NO_3DNOW) === 0 ? loadTables().roots[tree.MAP_3DNOW * 256 + insn.immLo]! : 0
    if (code === 0) return K.REASON_OPCODE
    insn.code = code
    insn.opcodeOffset = insn.immOffset
    insn.immLo = 0
    insn.immOffset = 0
    insn.immSize = 0
  }
  switch (leaf & tree.LEAF_IMPLIED_MEMORY) {
    case 0:
      break
    case tree.LEAF_STRING_SOURCE:
      insn.base = 6
      break
    case tree.LEAF_STRING_DESTINATION:
    case tree.LEAF_MASKMOV:
      insn.base = 7
      break
    default:
      // XLATB
      insn.base = 3
  }
  return 0
}

/** Two bytes, low first. */
export function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

/** Four bytes, low first, signed. */
export function dword(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
