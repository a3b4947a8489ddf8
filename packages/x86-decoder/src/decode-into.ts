/**
 * The decoder proper, for every instruction: bytes in, an `Instruction` filled in, nothing allocated.
 *
 * Each field is stored as soon as it is known. Held in locals until the end, they would not fit the host's registers, and
 * the function takes half as long again.
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format".
 */
import * as C from './byte-classes.ts'
import { byteClasses, rex2Map } from './byte-classes.ts'
import { dword, finishRare, readOddImmediate, word } from './decode-rare.ts'
import { EVEX_VECTOR_REG, EVEX_VECTOR_RM } from './evex-leaf.ts'
import type { Instruction } from './instruction.ts'
import * as K from './kinds.ts'
import { loadTables } from './tables.ts'
import * as T from './tree.ts'

/** Brings the operand size, in bytes in the entry, to where it is in bits. */
const OPERAND_BITS_SHIFT = T.LEAF_SIZE_SHIFT - 3

/** Bits of the mode that are bits of the key too: features that are absent. */
const FEATURE_BITS = -(1 << K.FIRST_FEATURE_BIT)

/** The architecture's limit on the length of an instruction. */
const MAX_LENGTH = 15

/** Base and index registers of 16-bit addressing by ModRM.rm: BX+SI BX+DI BP+SI BP+DI SI DI BP BX. */
const base16: Int8Array = /*#__PURE__*/ Int8Array.of(3, 3, 5, 5, 6, 7, 5, 3)
const index16: Int8Array = /*#__PURE__*/ Int8Array.of(6, 7, 6, 7, -1, -1, -1, -1)
/** Default segment of 16-bit addressing: SS with BP, else DS. */
const segment16: Uint8Array = /*#__PURE__*/ Uint8Array.of(3, 3, 2, 2, 3, 3, 2, 3)

/** The last one of the single-number immediates, which come first in `Immediate`. */
const LAST_PLAIN_IMMEDIATE = 6
/** By `Immediate`: bytes (moffs: by address size), shift that brings the top bit to bit 31, bits that stay, of the sign word too. */
const immediateSizes: Uint8Array = /*#__PURE__*/ Uint8Array.of(0, 1, 1, 2, 2, 4, 4, 8, 3, 4, 6, 0, 2)
const immediateShifts: Uint8Array = /*#__PURE__*/ Uint8Array.of(0, 24, 24, 16, 16, 0, 0)
const immediateMasks: Int32Array = /*#__PURE__*/ Int32Array.of(0, 0xff, -1, 0xffff, -1, -1, -1)
const immediateSigns: Int32Array = /*#__PURE__*/ Int32Array.of(0, 0, -1, 0, -1, 0, -1)

// Tables are loaded on first use: many programs never need them.
let roots: Int32Array = /*#__PURE__*/ new Int32Array(0)
let hasModrm: Uint8Array = /*#__PURE__*/ new Uint8Array(0)
let nodes: Int32Array = roots
let leaves: Int32Array = roots
let evexLeaves: Int32Array = roots

/** Takes the tables that there are: on first use, and when there are more. */
export function takeTables(): void {
  const tables = loadTables()
  roots = tables.roots
  hasModrm = tables.hasModrm
  nodes = tables.nodes
  leaves = tables.leaves
  evexLeaves = tables.evexLeaves
}

function fail(insn: Instruction, length: number, reason: number): number {
  insn.code = 0
  insn.length = length > MAX_LENGTH ? MAX_LENGTH : length
  insn.reason = reason
  return K.INVALID
}

/** The instruction goes on for `length` bytes at least, past the `have` bytes that there are. */
function outOfBytes(insn: Instruction, length: number, have: number): number {
  // That it is too long is found out after the fetch of all 15 bytes, which may fault before.
  if (have >= MAX_LENGTH) return fail(insn, length, K.REASON_TOO_LONG)
  insn.code = 0
  insn.length = length > MAX_LENGTH ? MAX_LENGTH : length
  insn.reason = 0
  return K.TRUNCATED
}

/** Decodes any instruction: `decodeInto` for what is not common, or too near to the end to be read without counting. */
export function decodeAny(bytes: Uint8Array, offset: number, end: number, mode: number, insn: Instruction): number {
  if (leaves.length === 0) takeTables()
  offset |= 0
  end |= 0
  if (end > bytes.length) end = bytes.length | 0
  const limit = end - offset > MAX_LENGTH ? (offset + MAX_LENGTH) | 0 : end
  const long = (mode & 64) !== 0

  // Prefixes. A REX takes effect only directly before the opcode.
  let pos = offset
  let prefixes = 0
  let rex = 0
  let override = -1
  if (pos >= limit) return outOfBytes(insn, 1, end - offset)
  let byte = bytes[pos]!
  pos = (pos + 1) | 0
  let byteClass = byteClasses[long ? 256 + byte : byte]!
  while (byteClass !== C.CLASS_OPCODE && byteClass < C.CLASS_VEX) {
    // The REX2 payload has the low bits alike; bit 7 says that there is one.
    if (byteClass === C.CLASS_REX) rex = byte ^ 0xc0
    else {
      rex = 0
      if (byteClass === C.CLASS_OPERAND_SIZE) prefixes |= K.PREFIX_OPERAND_SIZE
      else if (byteClass === C.CLASS_REP) prefixes = (prefixes | K.PREFIX_REP) & ~K.PREFIX_REPNE_LAST
      else if (byteClass === C.CLASS_REPNE) prefixes |= K.PREFIX_REPNE | K.PREFIX_REPNE_LAST
      else if (byteClass === C.CLASS_LOCK) prefixes |= K.PREFIX_LOCK
      else if (byteClass === C.CLASS_ADDRESS_SIZE) prefixes |= K.PREFIX_ADDRESS_SIZE
      else {
        prefixes |= K.PREFIX_SEGMENT
        const segment = byte >= 0x64 ? byte - 0x60 : (byte >> 3) & 3
        // In 64-bit mode ES, CS, SS and DS prefixes are null prefixes: one after FS or GS does not undo it.
        if (!long || segment >= 4 || override < 4) override = segment
      }
    }
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
    byte = bytes[pos]!
    pos = (pos + 1) | 0
    byteClass = byteClasses[long ? 256 + byte : byte]!
  }
  insn.reason = 0
  insn.mode = mode & 0xff
  insn.segmentOverride = override

  // Opcode map, and the key by which the opcode's tree is walked: mandatory prefix, sizes, W, L, REX.B.
  let map = 0
  let key = 0
  let vvvv = 0
  if (byteClass >= C.CLASS_VEX && byteClass !== C.CLASS_ESCAPE && pos >= limit) {
    return outOfBytes(insn, pos - offset + 1, end - offset)
  }
  // Outside 64-bit mode C4 and C5 are LES and LDS unless what would be ModRM has mod = 3. 8F is POP with maps below 8.
  if (
    (byteClass === C.CLASS_VEX && (long || bytes[pos]! >= 0xc0) && (mode & K.DECODE_NO_VEX) === 0) ||
    (byteClass === C.CLASS_XOP && (bytes[pos]! & 31) >= 8 && (mode & K.DECODE_NO_XOP) === 0)
  ) {
    if ((prefixes & (K.PREFIX_LOCK | K.PREFIX_REP | K.PREFIX_REPNE | K.PREFIX_OPERAND_SIZE)) !== 0 || rex !== 0) {
      return fail(insn, pos - offset, K.REASON_VEX_PREFIX)
    }
    let payload = bytes[pos]!
    pos = (pos + 1) | 0
    let w = 0
    if (byte === 0xc5) {
      map = 4
      rex = (~payload >> 5) & 4
    } else {
      if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
      map = payload & 31
      // The two prefixes number their maps separately; 0: none.
      if (byte === 0x8f) map = map > 10 ? 0 : map - 1
      else if (map > 3) map = map === 5 || map === 7 ? (map >> 1) + T.VEX_MAP_5 - 2 : 0
      else map = map === 0 ? 0 : map + 3
      rex = (~payload >> 5) & 7
      payload = bytes[pos]!
      pos = (pos + 1) | 0
      w = payload >> 7
    }
    vvvv = (~payload >> 3) & 15
    if (!long) {
      // Eight registers only: B is ignored, R and X are 0 or this would be LES or LDS.
      rex = 0
    }
    const l = (payload >> 2) & 1
    insn.vectorLength = l
    insn.evex = 0
    prefixes |= w === 0 ? K.PREFIX_VEX : K.PREFIX_VEX | K.PREFIX_REX_W
    key =
      ((payload & 3) << T.KEY_PP) |
      (l << T.KEY_L) |
      (w << T.KEY_W) |
      ((w + 1) << T.KEY_OPERAND_SIZE) |
      ((rex & 1) << T.KEY_B)
    if (map === 0) return fail(insn, pos - offset, K.REASON_OPCODE)
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
    byte = bytes[pos]!
    pos = (pos + 1) | 0
  } else if (byteClass === C.CLASS_EVEX && (long || bytes[pos]! >= 0xc0) && (mode & K.DECODE_NO_EVEX) === 0) {
    // Outside 64-bit mode 62 is BOUND unless what would be ModRM has mod = 3.
    if ((prefixes & (K.PREFIX_LOCK | K.PREFIX_REP | K.PREFIX_REPNE | K.PREFIX_OPERAND_SIZE)) !== 0 || rex !== 0) {
      return fail(insn, pos - offset, K.REASON_VEX_PREFIX)
    }
    if (pos + 4 > limit) return outOfBytes(insn, pos - offset + 4, end - offset)
    const p0 = bytes[pos]!
    const p1 = bytes[pos + 1]!
    const p2 = bytes[pos + 2]!
    byte = bytes[pos + 3]!
    pos = (pos + 4) | 0
    // As in REX2: R, X, B in bits 2 to 0, their fifth bits in 6 to 4.
    if (long) rex = ((~p0 >> 5) & 7) | ((~p0 & 16) << 2) | ((p0 & 8) << 1) | ((~p1 & 4) << 3)
    map = T.MAP_EVEX + (p0 & 7)
    vvvv = ((~p1 >> 3) & 15) | ((~p2 & 8) << 1)
    const w = p1 >> 7
    let l = (p2 >> 5) & 3
    insn.vectorLength = l
    insn.evex = p2 | (rex << 8)
    prefixes |= w === 0 ? K.PREFIX_EVEX : K.PREFIX_EVEX | K.PREFIX_REX_W
    // With registers b says that L'L is the rounding, and the vectors have 512 bits.
    if ((p2 & 16) !== 0 && map !== T.MAP_EVEX + 4) {
      if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
      if (bytes[pos]! >= 0xc0) l = 2
    }
    key = ((p1 & 3) << T.KEY_PP) | (w << T.KEY_W)
    if (map === T.MAP_EVEX + 4) {
      // As in the legacy instruction W goes before 66.
      key |= (w === 0 ? ((p1 & 3) === 1 ? 0 : 1) : 2) << T.KEY_OPERAND_SIZE
      key |= ((p2 & 15) << T.KEY_SCC) | (((p2 >> 4) & 1) << T.KEY_ND) | (((p2 >> 2) & 1) << T.KEY_NF)
      l = 0
    } else key |= (l << T.KEY_L) | ((w + 1) << T.KEY_OPERAND_SIZE)
    // There is no fourth vector length. Both fixed bits are APX's, in 64-bit mode.
    const isFixed = (p0 & 8) === 0 && (p1 & 4) !== 0
    if (l === 3 || map === T.MAP_EVEX || (!isFixed && (!long || (mode & K.DECODE_NO_APX) !== 0)))
      return fail(insn, pos - offset, K.REASON_OPCODE)
    // R' is ignored outside 64-bit mode, but V' must be 1: so do processors.
    if (!long && (p2 & 8) === 0) return fail(insn, pos - offset, K.REASON_REGISTER)
  } else {
    insn.vectorLength = 0
    insn.evex = 0
    if (byteClass === C.CLASS_ESCAPE) {
      if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
      byte = bytes[pos]!
      pos = (pos + 1) | 0
      map = 1
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3
        if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
        byte = bytes[pos]!
        pos = (pos + 1) | 0
      }
    } else if (byteClass === C.CLASS_REX2) {
      // A REX directly before the prefix is #UD.
      if ((mode & K.DECODE_NO_APX) !== 0 || rex !== 0) return fail(insn, pos - offset, K.REASON_VEX_PREFIX)
      if (pos + 2 > limit) return outOfBytes(insn, pos - offset + 2, end - offset)
      rex = bytes[pos]! | 0x80
      map = bytes[pos]! >> 7
      byte = bytes[pos + 1]!
      pos = (pos + 2) | 0
      prefixes |= K.PREFIX_REX2
      map = rex2Map(map, byte, rex, prefixes)
      if (map < 0) return fail(insn, pos - offset, K.REASON_OPCODE)
    }
    let operandSize = (mode & 16) === 0 ? 1 : 0
    if (prefixes !== 0) {
      if ((prefixes & K.PREFIX_OPERAND_SIZE) !== 0) {
        operandSize ^= 1
        key = 1 << T.KEY_PP
      }
      if ((prefixes & (K.PREFIX_REP | K.PREFIX_REPNE)) !== 0)
        key = (prefixes & K.PREFIX_REPNE_LAST) !== 0 ? 3 << T.KEY_PP : 2 << T.KEY_PP
    }
    if (rex !== 0) {
      prefixes |= K.PREFIX_REX | ((rex & 8) << 3)
      key |= ((rex | (rex >> 4)) & 1) << T.KEY_B
      // REX.W goes before 66.
      if ((rex & 8) !== 0) operandSize = 2
    }
    key |= operandSize << T.KEY_OPERAND_SIZE
  }
  let addressSize = long ? 2 : (mode & 16) === 0 ? 1 : 0
  if ((prefixes & K.PREFIX_ADDRESS_SIZE) !== 0) addressSize = addressSize === 1 ? 0 : 1
  insn.addressSize = 16 << addressSize
  insn.prefixes = prefixes
  // Outside 64-bit mode the top bit is ignored if the field names a register, but not if it must be 1111b. EVEX's own
  // checks come first.
  insn.vvvv = long || insn.evex !== 0 ? vvvv : vvvv & 7
  insn.opcodeReg = (byte & 7) | ((rex & 1) << 3) | (rex & 16)
  insn.opcodeOffset = pos - 1 - offset

  // The tree of the opcode.
  const tree = long ? ((mode & K.DECODE_AMD) === 0 ? T.TREE_LONG : T.TREE_LONG_AMD) : T.TREE_LEGACY
  const root = (tree * T.MAPS + map) * 256 + byte
  const withModrm = hasModrm[root]! !== 0
  // Without ModRM no memory operand exists, as with mod = 3.
  let modrm = 0xc0
  if (withModrm) {
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
    insn.modrmOffset = pos - offset
    modrm = bytes[pos]!
    pos = (pos + 1) | 0
  } else insn.modrmOffset = 0
  let code = roots[root]!
  if (code < 0) {
    key |= (mode & FEATURE_BITS) | (addressSize << T.KEY_ADDRESS_SIZE) | (modrm & 63) | (modrm >= 0xc0 ? 64 : 0)
    do {
      const place = nodes[~code]!
      code = nodes[((key >> (place & 31)) & (place >> 5)) - code]!
    } while (code < 0)
  }
  if (code === 0) return fail(insn, pos - offset, K.REASON_OPCODE)
  insn.code = code
  const leaf = leaves[code]!
  insn.operandSize = (leaf >> OPERAND_BITS_SHIFT) & 0x78

  // Operands of ModRM.
  const rm = (modrm & 7) | ((rex & 1) << 3) | (rex & 16)
  insn.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1) | ((rex & 64) >> 2)
  insn.rm = rm
  insn.index = -1
  insn.scale = 0
  let isMemory = 0
  let segment = 3
  if (modrm < 0xc0 && (leaf & T.LEAF_ANY_MOD) === 0) {
    isMemory = 1
    insn.mod = modrm >> 6
    let dispSize = modrm >> 6
    if (addressSize !== 0) {
      // mod 2 is a displacement of four bytes.
      dispSize += dispSize & 2
      let base = rm
      if ((modrm & 7) === 4) {
        if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
        const sib = bytes[pos]!
        pos = (pos + 1) | 0
        insn.scale = sib >> 6
        const index = ((sib >> 3) & 7) | ((rex & 2) << 2) | ((rex & 32) >> 1)
        // Index 4 means none; with REX.X it is R12.
        if (index !== 4) insn.index = index
        base = (sib & 7) | ((rex & 1) << 3) | (rex & 16)
        if ((sib & 7) === 5 && modrm < 0x40) {
          base = -1
          dispSize = 4
        }
      } else if ((modrm & 0xc7) === 5) {
        base = long ? K.REGISTER_RIP : -1
        dispSize = 4
      }
      insn.base = base
      // rSP and rBP, but not R12 and R13, are in the stack segment.
      if (base === 4 || base === 5) segment = 2
    } else if ((modrm & 0xc7) === 6) {
      insn.base = -1
      dispSize = 2
    } else {
      insn.base = base16[modrm & 7]!
      insn.index = index16[modrm & 7]!
      segment = segment16[modrm & 7]!
    }
    insn.dispSize = dispSize
    if (dispSize !== 0) {
      if (pos + dispSize > limit) return outOfBytes(insn, pos - offset + dispSize, end - offset)
      insn.dispOffset = pos - offset
      let disp = 0
      if (dispSize === 1) disp = (bytes[pos]! << 24) >> 24
      else if (dispSize === 4) disp = dword(bytes, pos)
      else disp = (word(bytes, pos) << 16) >> 16
      insn.dispLo = disp
      insn.dispHi = disp >> 31
      pos = (pos + dispSize) | 0
    } else {
      insn.dispOffset = 0
      insn.dispLo = 0
      insn.dispHi = 0
    }
  } else {
    insn.mod = withModrm ? 3 : 0
    insn.base = -1
    insn.dispOffset = 0
    insn.dispSize = 0
    insn.dispLo = 0
    insn.dispHi = 0
  }

  // Immediates.
  const immediate = leaf & T.LEAF_IMMEDIATE
  insn.imm2 = 0
  if (immediate === 0) {
    insn.immLo = 0
    insn.immHi = 0
    insn.immOffset = 0
    insn.immSize = 0
  } else if (immediate <= LAST_PLAIN_IMMEDIATE) {
    const size = immediateSizes[immediate]!
    insn.immOffset = pos - offset
    insn.immSize = size
    if (pos + size > limit) return outOfBytes(insn, pos - offset + size, end - offset)
    let value = bytes[pos]!
    if (size === 4) value = dword(bytes, pos)
    else if (size === 2) value = word(bytes, pos)
    const shift = immediateShifts[immediate]!
    value = (value << shift) >> shift
    insn.immLo = value & immediateMasks[immediate]!
    insn.immHi = (value >> 31) & immediateSigns[immediate]!
    pos = (pos + size) | 0
  } else {
    const size = immediate === 11 ? 2 << addressSize : immediateSizes[immediate]!
    if (pos + size > limit) return outOfBytes(insn, pos - offset + size, end - offset)
    isMemory |= readOddImmediate(bytes, pos, size, immediate, pos - offset, insn)
    pos = (pos + size) | 0
  }

  if ((leaf & T.LEAF_RARE) !== 0) {
    const reason = finishRare(insn, leaf, prefixes, mode)
    if (reason !== 0) return fail(insn, pos - offset, reason)
    const implied = leaf & T.LEAF_IMPLIED_MEMORY
    if (implied !== 0) {
      isMemory = 1
      if (implied === T.LEAF_STRING_DESTINATION) {
        // No prefix moves it out of ES.
        segment = 0
        override = -1
      }
    }
  }
  if (vvvv !== 0 && (leaf & T.LEAF_VVVV) === 0) return fail(insn, pos - offset, K.REASON_VEX_VVVV)
  if ((prefixes & (K.PREFIX_LOCK | K.PREFIX_SEGMENT | K.PREFIX_REX2)) !== 0) {
    if ((prefixes & K.PREFIX_REX2) !== 0) {
      // Vector registers are sixteen without EVEX.
      const registers = evexLeaves[code]!
      if ((registers & EVEX_VECTOR_REG) !== 0) insn.reg &= 15
      if ((registers & EVEX_VECTOR_RM) !== 0) insn.rm &= 15
    }
    if ((prefixes & K.PREFIX_LOCK) !== 0 && (isMemory === 0 || (leaf & T.LEAF_LOCK) === 0)) {
      // On AMD processors LOCK MOV CR0 is MOV CR8; `finishRare` has seen to it.
      if ((leaf & T.LEAF_CHECK) !== T.LEAF_CHECK_CONTROL) return fail(insn, pos - offset, K.REASON_LOCK)
    }
    if (override >= 4 || (override >= 0 && !long)) segment = override
  }
  insn.segment = segment
  insn.isMemory = isMemory
  insn.length = pos - offset
  return K.DECODED
}
