/**
 * The way into the decoder: what nearly all code consists of is decoded here, the rest in `decode-into.ts`.
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format".
 */
import {
  COMMON_CODE,
  COMMON_ESCAPE,
  COMMON_IMMEDIATE_SHIFT,
  COMMON_LEGACY,
  COMMON_MODRM,
  COMMON_REGISTER,
  COMMON_SIZE_SHIFT,
} from './common-table.ts'
import { decodeAny } from './decode-into.ts'
import type { Instruction } from './instruction.ts'
import { DECODED, PREFIX_REX, REGISTER_RIP, SEGMENT_DS, SEGMENT_SS } from './kinds.ts'
import { commonTable } from './tables.ts'

/** Brings the operand size, in bytes in the entry, to where it is in bits. */
const OPERAND_BITS_SHIFT = COMMON_SIZE_SHIFT - 3

/** Most bytes of an instruction: if this many are readable, no length checks are needed. */
const MAX_LENGTH = 15

/**
 * Decodes one instruction.
 *
 * Nothing is allocated, nothing is thrown, no byte at `end` or after it is read, and any bytes come to an end.
 *
 * @param bytes - buffer that contains the instruction
 * @param offset - index of its first byte; like `end` below 2^31
 * @param end - index after the last byte that may be read
 * @param mode - 16, 32 or 64, plus the bits from `decoderOptions` for processors other than an Intel one with all features
 * @param insn - filled in; after `INVALID` only `code` (0), `length` (bytes looked at) and `reason` mean anything, after
 *   `TRUNCATED` only `length` (the least number of bytes that would let decoding go on)
 * @returns `DECODED`, `INVALID` or `TRUNCATED`
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format"; AMD APM vol. 3, "Instruction Encoding".
 */
export function decodeInto(bytes: Uint8Array, offset: number, end: number, mode: number, insn: Instruction): number {
  offset |= 0
  end |= 0
  const bits = mode & 0xff
  const long = bits === 64
  if ((!long && bits !== 32) || ((end - offset) | 0) < MAX_LENGTH || end > bytes.length) {
    return decodeAny(bytes, offset, end, mode, insn)
  }

  // REX, opcode, and the table's entry. The byte after the opcode is readable, whether ModRM or not.
  let pos = offset
  let byte = bytes[pos]!
  let rex = 0
  if (long && (byte & 0xf0) === 0x40) {
    rex = byte
    pos = (pos + 1) | 0
    byte = bytes[pos]!
  }
  pos = (pos + 1) | 0
  let at = (rex >> 3) & 1
  if (!long) at = COMMON_LEGACY
  if (byte === 0x0f) {
    at |= COMMON_ESCAPE
    byte = bytes[pos]!
    pos = (pos + 1) | 0
  }
  let entry = commonTable[at | (byte << 1)]!
  const modrm = bytes[pos]!
  if (entry < 0) entry = commonTable[(~entry + (((modrm >> 3) & 7) | (modrm >= 0xc0 ? COMMON_REGISTER : 0))) | 0]!
  if (entry === 0) return decodeAny(bytes, offset, end, mode, insn)

  const opcodeEnd = (pos - offset) | 0
  insn.opcodeOffset = (opcodeEnd - 1) | 0
  insn.code = entry & COMMON_CODE
  insn.mode = bits
  insn.addressSize = bits
  insn.operandSize = (entry >> OPERAND_BITS_SHIFT) & 0x78
  // REX is 4xh, and its W goes from bit 3 to bit 6.
  insn.prefixes = ((rex >> 1) & PREFIX_REX) | ((rex & 8) << 3)
  insn.opcodeReg = (byte & 7) | ((rex & 1) << 3)
  insn.reason = 0
  insn.segmentOverride = -1
  insn.vectorLength = 0
  insn.evex = 0
  insn.vvvv = 0
  insn.imm2 = 0

  // ModRM, SIB, displacement.
  let base = -1
  let index = -1
  let scale = 0
  let segment = SEGMENT_DS
  let displacement = 0
  if ((entry & COMMON_MODRM) === 0) {
    insn.modrmOffset = 0
    insn.mod = 0
    insn.reg = (rex & 4) << 1
    insn.rm = (rex & 1) << 3
    insn.isMemory = 0
    insn.dispSize = 0
    insn.dispOffset = 0
  } else {
    pos = (pos + 1) | 0
    insn.modrmOffset = opcodeEnd
    insn.mod = modrm >> 6
    insn.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1)
    const rm = (modrm & 7) | ((rex & 1) << 3)
    insn.rm = rm
    if (modrm >= 0xc0) {
      insn.isMemory = 0
      insn.dispSize = 0
      insn.dispOffset = 0
    } else {
      insn.isMemory = 1
      // 0, a byte, or (2) four bytes.
      let size = modrm >> 6
      base = rm
      if ((modrm & 7) === 4) {
        const sib = bytes[pos]!
        pos = (pos + 1) | 0
        scale = sib >> 6
        index = ((sib >> 3) & 7) | ((rex & 2) << 2)
        // Index 4 means none; with REX.X it is R12.
        if (index === 4) index = -1
        base = (sib & 7) | ((rex & 1) << 3)
        if ((sib & 7) === 5 && modrm < 0x40) {
          base = -1
          size = 2
        }
      } else if ((modrm & 0xc7) === 5) {
        base = long ? REGISTER_RIP : -1
        size = 2
      }
      // rSP and rBP, but not R12 and R13, are in the stack segment.
      if ((base & -2) === 4) segment = SEGMENT_SS
      if (size === 0) {
        insn.dispSize = 0
        insn.dispOffset = 0
      } else {
        insn.dispOffset = (pos - offset) | 0
        if (size === 1) {
          displacement = (bytes[pos]! << 24) >> 24
          insn.dispSize = 1
          pos = (pos + 1) | 0
        } else {
          displacement = dword(bytes, pos)
          insn.dispSize = 4
          pos = (pos + 4) | 0
        }
      }
    }
  }
  insn.base = base
  insn.index = index
  insn.scale = scale
  insn.segment = segment
  insn.dispLo = displacement
  insn.dispHi = displacement >> 31

  // Immediate.
  const size = (entry >> COMMON_IMMEDIATE_SHIFT) & 7
  if (size === 0) {
    insn.immLo = 0
    insn.immHi = 0
    insn.immOffset = 0
    insn.immSize = 0
  } else {
    insn.immOffset = (pos - offset) | 0
    insn.immSize = size
    const signed = (entry << 1) >> 31
    let value = bytes[pos]!
    if (size === 1) {
      const sign = 0x80 & signed
      value = ((value ^ sign) - sign) | 0
    } else if (size === 4) value = dword(bytes, pos)
    else {
      const sign = 0x8000 & signed
      value = (((value | (bytes[(pos + 1) | 0]! << 8)) ^ sign) - sign) | 0
    }
    insn.immLo = value
    insn.immHi = (value >> 31) & signed
    pos = (pos + size) | 0
  }
  insn.length = (pos - offset) | 0
  return DECODED
}

function dword(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[(at + 1) | 0]! << 8) | (bytes[(at + 2) | 0]! << 16) | (bytes[(at + 3) | 0]! << 24)
}
