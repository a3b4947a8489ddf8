/**
 * The decoder proper: bytes in, an `Instruction` filled in, nothing allocated.
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format".
 */
import type { Instruction } from './instruction.ts'
import {
  DECODED,
  DECODE_AMD,
  INVALID,
  PREFIX_ADDRESS_SIZE,
  PREFIX_LOCK,
  PREFIX_OPERAND_SIZE,
  PREFIX_REP,
  PREFIX_REPNE,
  PREFIX_REPNE_LAST,
  PREFIX_REX,
  PREFIX_REX_W,
  PREFIX_SEGMENT,
  PREFIX_VEX,
  REASON_LOCK,
  REASON_OPCODE,
  REASON_REGISTER,
  REASON_TOO_LONG,
  REASON_VEX_PREFIX,
  REASON_VEX_VVVV,
  REGISTER_RIP,
  TRUNCATED,
} from './kinds.ts'
import { tables } from './tables.ts'
import {
  DIMENSION_ADDRESS_SIZE,
  DIMENSION_B,
  DIMENSION_L,
  DIMENSION_MOD,
  DIMENSION_OPERAND_SIZE,
  DIMENSION_PP,
  DIMENSION_REG,
  DIMENSION_RM,
  LEAF_ANY_MOD,
  LEAF_CHECK,
  LEAF_CHECK_CONTROL,
  LEAF_CHECK_DEBUG,
  LEAF_CHECK_SEGMENT_WRITE,
  LEAF_IMMEDIATE,
  LEAF_IMPLIED_MEMORY,
  LEAF_LOCK,
  LEAF_MASKMOV,
  LEAF_NO_66,
  LEAF_REG_3BIT,
  LEAF_RM_3BIT,
  LEAF_SIZE_SHIFT,
  LEAF_STRING_DESTINATION,
  LEAF_STRING_SOURCE,
  LEAF_VVVV,
  MAPS,
  TREE_LEGACY,
  TREE_LONG,
  TREE_LONG_AMD,
} from './tree.ts'

/** The architecture's limit on the length of an instruction. */
const MAX_LENGTH = 15

/** What a byte is before the opcode. */
const CLASS_OPCODE = 0
const CLASS_REX = 1
const CLASS_SEGMENT = 2
const CLASS_OPERAND_SIZE = 3
const CLASS_ADDRESS_SIZE = 4
const CLASS_LOCK = 5
const CLASS_REPNE = 6
const CLASS_REP = 7
/** C4, C5: VEX, or LES and LDS. */
const CLASS_VEX = 8
/** 0F. */
const CLASS_ESCAPE = 9

const byteClasses: Uint8Array = /*#__PURE__*/ makeByteClasses()

function makeByteClasses(): Uint8Array {
  const classes = new Uint8Array(512)
  for (const base of [0, 256]) {
    for (const segment of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) classes[base + segment] = CLASS_SEGMENT
    classes[base + 0x66] = CLASS_OPERAND_SIZE
    classes[base + 0x67] = CLASS_ADDRESS_SIZE
    classes[base + 0xf0] = CLASS_LOCK
    classes[base + 0xf2] = CLASS_REPNE
    classes[base + 0xf3] = CLASS_REP
    classes[base + 0xc4] = CLASS_VEX
    classes[base + 0xc5] = CLASS_VEX
    classes[base + 0x0f] = CLASS_ESCAPE
  }
  // The second half is 64-bit mode.
  for (let rex = 0x40; rex < 0x50; rex++) classes[256 + rex] = CLASS_REX
  return classes
}

/** Base and index registers of 16-bit addressing by ModRM.rm: BX+SI BX+DI BP+SI BP+DI SI DI BP BX. */
const base16 = /*#__PURE__*/ Int8Array.of(3, 3, 5, 5, 6, 7, 5, 3)
const index16 = /*#__PURE__*/ Int8Array.of(6, 7, 6, 7, -1, -1, -1, -1)
/** Default segment of 16-bit addressing: SS with BP, else DS. */
const segment16 = /*#__PURE__*/ Uint8Array.of(3, 3, 2, 2, 3, 3, 2, 3)

const { roots, hasModrm, nodes, leaves } = tables

function fail(insn: Instruction, length: number, reason: number): number {
  insn.code = 0
  insn.length = length > MAX_LENGTH ? MAX_LENGTH : length
  insn.reason = reason
  return INVALID
}

/** The instruction goes on for `length` bytes at least, past the end of what there is. */
function outOfBytes(insn: Instruction, length: number): number {
  if (length > MAX_LENGTH) return fail(insn, length, REASON_TOO_LONG)
  insn.code = 0
  insn.length = length
  insn.reason = 0
  return TRUNCATED
}

/**
 * Decodes one instruction.
 *
 * Nothing is allocated, nothing is thrown, no byte at `end` or after it is read, and any bytes come to an end.
 *
 * @param bytes - where the instruction is
 * @param offset - index of its first byte
 * @param end - index after the last byte that may be read
 * @param mode - 16, 32 or 64; with `DECODE_AMD` added, as AMD processors decode
 * @param insn - filled in; after `INVALID` only `code` (0), `length` (bytes looked at) and `reason` mean anything, after
 *   `TRUNCATED` only `length` (the least number of bytes that would let decoding go on)
 * @returns `DECODED`, `INVALID` or `TRUNCATED`
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format"; AMD APM vol. 3, "Instruction Encoding".
 */
export function decodeInto(bytes: Uint8Array, offset: number, end: number, mode: number, insn: Instruction): number {
  if (end > bytes.length) end = bytes.length
  const limit = end - offset > MAX_LENGTH ? offset + MAX_LENGTH : end
  const bits = mode & 0xff
  const long = bits === 64
  const classBase = long ? 256 : 0

  // Prefixes. A REX counts only where the opcode follows it at once.
  let pos = offset
  let prefixes = 0
  let rex = 0
  let override = -1
  let byte = 0
  let byteClass = 0
  for (;;) {
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
    byte = bytes[pos++]!
    byteClass = byteClasses[classBase + byte]!
    if (byteClass === CLASS_OPCODE || byteClass >= CLASS_VEX) break
    if (byteClass === CLASS_REX) {
      rex = byte
      continue
    }
    rex = 0
    switch (byteClass) {
      case CLASS_OPERAND_SIZE:
        prefixes |= PREFIX_OPERAND_SIZE
        break
      case CLASS_ADDRESS_SIZE:
        prefixes |= PREFIX_ADDRESS_SIZE
        break
      case CLASS_LOCK:
        prefixes |= PREFIX_LOCK
        break
      case CLASS_REPNE:
        prefixes |= PREFIX_REPNE | PREFIX_REPNE_LAST
        break
      case CLASS_REP:
        prefixes = (prefixes | PREFIX_REP) & ~PREFIX_REPNE_LAST
        break
      default: {
        prefixes |= PREFIX_SEGMENT
        const segment = byte >= 0x64 ? byte - 0x60 : (byte >> 3) & 3
        // In 64-bit mode ES, CS, SS and DS prefixes are null prefixes: one after FS or GS does not undo it.
        if (!long || segment >= 4 || override < 4) override = segment
      }
    }
  }

  // Opcode map, and what stands for REX, mandatory prefix and operand size.
  let map = 0
  let pp = 0
  let w = 0
  let l = 0
  let vvvv = 0
  let operandSize = 0
  let vex = false
  if (byteClass === CLASS_VEX) {
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
    // Outside 64-bit mode C4 and C5 are LES and LDS unless what would be ModRM has mod = 3.
    vex = long || bytes[pos]! >= 0xc0
  }
  if (vex) {
    if ((prefixes & (PREFIX_LOCK | PREFIX_REP | PREFIX_REPNE | PREFIX_OPERAND_SIZE)) !== 0 || rex !== 0) {
      return fail(insn, pos - offset, REASON_VEX_PREFIX)
    }
    let payload = bytes[pos++]!
    if (byte === 0xc5) {
      map = 4
      rex = (~payload >> 5) & 4
    } else {
      if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
      map = 3 + (payload & 31)
      rex = (~payload >> 5) & 7
      payload = bytes[pos++]!
      w = payload >> 7
    }
    vvvv = (~payload >> 3) & 15
    l = (payload >> 2) & 1
    pp = payload & 3
    if (!long) {
      // Eight registers only: B and the top bit of vvvv are ignored, R and X are 0 or this would be LES or LDS.
      rex = 0
      vvvv &= 7
    }
    operandSize = w === 1 ? 2 : 1
    prefixes |= PREFIX_VEX | (w === 1 ? PREFIX_REX_W : 0)
    if (map < 4 || map >= MAPS) return fail(insn, pos - offset, REASON_OPCODE)
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
    byte = bytes[pos++]!
  } else {
    if (byteClass === CLASS_ESCAPE) {
      if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
      byte = bytes[pos++]!
      map = 1
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3
        if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
        byte = bytes[pos++]!
      }
    }
    if (prefixes !== 0) {
      if ((prefixes & (PREFIX_REP | PREFIX_REPNE)) !== 0) pp = (prefixes & PREFIX_REPNE_LAST) !== 0 ? 3 : 2
      else if ((prefixes & PREFIX_OPERAND_SIZE) !== 0) pp = 1
    }
    if (rex !== 0) prefixes |= PREFIX_REX | ((rex & 8) << 3)
    // REX.W goes before 66.
    if ((rex & 8) !== 0) operandSize = 2
    else operandSize = (bits === 16) === ((prefixes & PREFIX_OPERAND_SIZE) !== 0) ? 1 : 0
  }
  const addressSize = long
    ? (prefixes & PREFIX_ADDRESS_SIZE) !== 0
      ? 1
      : 2
    : (bits === 16) === ((prefixes & PREFIX_ADDRESS_SIZE) !== 0)
      ? 1
      : 0

  // The tree of the opcode.
  const opcodeOffset = pos - 1 - offset
  const tree = long ? ((mode & DECODE_AMD) !== 0 ? TREE_LONG_AMD : TREE_LONG) : TREE_LEGACY
  const root = (tree * MAPS + map) * 256 + byte
  let modrm = 0
  let modrmOffset = 0
  const withModrm = hasModrm[root] !== 0
  if (withModrm) {
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
    modrmOffset = pos - offset
    modrm = bytes[pos++]!
  }
  let code = roots[root]!
  while (code < 0) {
    const node = ~code
    let value = 0
    switch (nodes[node]!) {
      case DIMENSION_OPERAND_SIZE:
        value = operandSize
        break
      case DIMENSION_REG:
        value = (modrm >> 3) & 7
        break
      case DIMENSION_PP:
        value = pp
        break
      case DIMENSION_MOD:
        value = modrm >= 0xc0 ? 1 : 0
        break
      case DIMENSION_RM:
        value = modrm & 7
        break
      case DIMENSION_ADDRESS_SIZE:
        value = addressSize
        break
      case DIMENSION_L:
        value = l
        break
      case DIMENSION_B:
        value = rex & 1
        break
      default:
        value = w
    }
    code = nodes[node + 1 + value]!
  }
  if (code === 0) return fail(insn, pos - offset, REASON_OPCODE)
  const leaf = leaves[code]!

  // Operands of ModRM.
  let mod = modrm >> 6
  let reg = ((modrm >> 3) & 7) | ((rex & 4) << 1)
  let rm = (modrm & 7) | ((rex & 1) << 3)
  let isMemory = 0
  let base = -1
  let index = -1
  let scale = 0
  let segment = 3
  let dispLo = 0
  let dispHi = 0
  let dispOffset = 0
  let dispSize = 0
  if ((leaf & LEAF_ANY_MOD) !== 0) mod = 3
  if (withModrm && mod !== 3) {
    isMemory = 1
    if (addressSize !== 0) {
      base = rm
      if ((modrm & 7) === 4) {
        if (pos >= limit) return outOfBytes(insn, pos - offset + 1)
        const sib = bytes[pos++]!
        scale = sib >> 6
        index = ((sib >> 3) & 7) | ((rex & 2) << 2)
        // Index 4 is none; with REX.X it is R12.
        if (index === 4) index = -1
        base = (sib & 7) | ((rex & 1) << 3)
        if ((sib & 7) === 5 && mod === 0) {
          base = -1
          dispSize = 4
        }
      } else if ((modrm & 0xc7) === 5) {
        base = long ? REGISTER_RIP : -1
        dispSize = 4
      }
      if (mod === 1) dispSize = 1
      else if (mod === 2) dispSize = 4
      // rSP and rBP, but not R12 and R13, are in the stack segment.
      if (base === 4 || base === 5) segment = 2
    } else {
      const form = modrm & 7
      if (form === 6 && mod === 0) dispSize = 2
      else {
        base = base16[form]!
        index = index16[form]!
        segment = segment16[form]!
        dispSize = mod
      }
    }
    if (dispSize !== 0) {
      if (pos + dispSize > limit) return outOfBytes(insn, pos - offset + dispSize)
      dispOffset = pos - offset
      if (dispSize === 1) dispLo = (bytes[pos]! << 24) >> 24
      else if (dispSize === 2) dispLo = ((bytes[pos]! | (bytes[pos + 1]! << 8)) << 16) >> 16
      else dispLo = bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24)
      dispHi = dispLo >> 31
      pos += dispSize
    }
  }

  // Immediates.
  let immLo = 0
  let immHi = 0
  let imm2 = 0
  let immOffset = 0
  const immStart = pos
  const immediate = leaf & LEAF_IMMEDIATE
  if (immediate !== 0) {
    const size = immediate === 10 ? 2 << addressSize : immediateSizes[immediate]!
    if (pos + size > limit) return outOfBytes(insn, pos - offset + size)
    pos += size
    immOffset = immStart - offset
    switch (immediate) {
      case 1:
        immLo = bytes[immStart]!
        break
      case 2:
        immLo = (bytes[immStart]! << 24) >> 24
        immHi = immLo >> 31
        break
      case 3:
        immLo = word(bytes, immStart)
        break
      case 4:
        immLo = dword(bytes, immStart)
        break
      case 5:
        immLo = dword(bytes, immStart)
        immHi = immLo >> 31
        break
      case 6:
        immLo = dword(bytes, immStart)
        immHi = dword(bytes, immStart + 4)
        break
      case 7:
        immLo = word(bytes, immStart)
        imm2 = bytes[immStart + 2]!
        break
      case 8:
        immLo = word(bytes, immStart)
        imm2 = word(bytes, immStart + 2)
        break
      case 9:
        immLo = dword(bytes, immStart)
        imm2 = word(bytes, immStart + 4)
        break
      case 10:
        // An address, not a number: it is not sign-extended.
        dispLo = addressSize === 0 ? word(bytes, immStart) : dword(bytes, immStart)
        if (addressSize === 2) dispHi = dword(bytes, immStart + 4)
        dispOffset = immOffset
        dispSize = size
        immOffset = 0
        isMemory = 1
        break
      case 11:
        immLo = (word(bytes, immStart) << 16) >> 16
        immHi = immLo >> 31
        break
      default:
        immLo = bytes[immStart]!
        imm2 = bytes[immStart + 1]!
    }
  }

  // What few instructions have: register checks, registers that REX does not reach, implied memory, VEX.vvvv.
  if ((leaf & RARE) !== 0) {
    switch (leaf & LEAF_CHECK) {
      case 0:
        break
      case LEAF_CHECK_CONTROL:
        // LOCK MOV CR0 is AMD's way to CR8 outside 64-bit mode.
        if ((prefixes & PREFIX_LOCK) !== 0) {
          if ((mode & DECODE_AMD) === 0) return fail(insn, pos - offset, REASON_LOCK)
          reg |= 8
        }
        // CR0, CR2, CR3, CR4, CR8.
        if (((0x11d >> reg) & 1) === 0) return fail(insn, pos - offset, REASON_REGISTER)
        break
      case LEAF_CHECK_DEBUG:
        if (reg > 7) return fail(insn, pos - offset, REASON_REGISTER)
        break
      default:
        reg &= 7
        if (reg > 5 || (reg === 1 && (leaf & LEAF_CHECK) === LEAF_CHECK_SEGMENT_WRITE)) {
          return fail(insn, pos - offset, REASON_REGISTER)
        }
    }
    if ((leaf & LEAF_NO_66) !== 0 && (prefixes & PREFIX_OPERAND_SIZE) !== 0) return fail(insn, pos - offset, REASON_OPCODE)
    if ((leaf & LEAF_REG_3BIT) !== 0) reg &= 7
    if ((leaf & LEAF_RM_3BIT) !== 0) rm &= 7
    switch (leaf & LEAF_IMPLIED_MEMORY) {
      case 0:
        break
      case LEAF_STRING_SOURCE:
        isMemory = 1
        base = 6
        break
      case LEAF_STRING_DESTINATION:
        isMemory = 1
        base = 7
        segment = 0
        break
      case LEAF_MASKMOV:
        isMemory = 1
        base = 7
        break
      default:
        isMemory = 1
        base = 3
    }
  }
  if (vex && vvvv !== 0 && (leaf & LEAF_VVVV) === 0) return fail(insn, pos - offset, REASON_VEX_VVVV)
  if ((prefixes & PREFIX_LOCK) !== 0 && ((leaf & LEAF_LOCK) === 0 || isMemory === 0)) {
    if ((leaf & LEAF_CHECK) !== LEAF_CHECK_CONTROL) return fail(insn, pos - offset, REASON_LOCK)
  }
  if (override >= 0 && (override >= 4 || !long) && (leaf & LEAF_IMPLIED_MEMORY) !== LEAF_STRING_DESTINATION) {
    segment = override
  }

  insn.length = pos - offset
  insn.code = code
  insn.mode = bits
  insn.operandSize = (leaf >> (LEAF_SIZE_SHIFT - 3)) & 0x78
  insn.addressSize = 16 << addressSize
  insn.prefixes = prefixes
  insn.isMemory = isMemory
  insn.mod = mod
  insn.reg = reg
  insn.rm = rm
  insn.opcodeReg = (byte & 7) | ((rex & 1) << 3)
  insn.vvvv = vvvv
  insn.vectorLength = l
  insn.base = base
  insn.index = index
  insn.scale = scale
  insn.segment = segment
  insn.segmentOverride = override
  insn.dispLo = dispLo
  insn.dispHi = dispHi
  insn.immLo = immLo
  insn.immHi = immHi
  insn.imm2 = imm2
  insn.dispOffset = dispOffset
  insn.dispSize = dispSize
  insn.immOffset = immOffset
  insn.immSize = immOffset === 0 ? 0 : pos - immStart
  insn.modrmOffset = modrmOffset
  insn.opcodeOffset = opcodeOffset
  insn.reason = 0
  return DECODED
}

/** Leaf bits that the common path does not look at one by one. */
const RARE = LEAF_CHECK | LEAF_REG_3BIT | LEAF_RM_3BIT | LEAF_IMPLIED_MEMORY | LEAF_NO_66

/** Bytes of each `Immediate`; moffs depends on the address size. */
const immediateSizes = /*#__PURE__*/ Uint8Array.of(0, 1, 1, 2, 4, 4, 8, 3, 4, 6, 0, 2, 2)

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

function dword(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
