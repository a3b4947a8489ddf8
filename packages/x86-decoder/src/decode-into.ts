/**
 * The decoder proper, for every instruction: bytes in, an `Instruction` filled in, nothing allocated.
 *
 * Each field is stored as soon as it is known. Held in locals until the end, they would not fit the host's registers, and
 * the function takes half as long again.
 *
 * Source: Intel SDM vol. 2A, chapter 2, "Instruction Format".
 */
import * as classes from './byte-classes.ts'
import * as evexLeaf from './evex-leaf.ts'
import { finishEvex } from './evex.ts'
import type { Instruction } from './instruction.ts'
import * as kinds from './kinds.ts'
import { rex2Map } from './rex2.ts'
import { loadTables } from './tables.ts'
import * as trees from './tree.ts'

// Imports are read from a cell at each use; constants of this module are folded into the code.
const PREFIX_LOCK = kinds.PREFIX_LOCK
const PREFIX_REP = kinds.PREFIX_REP
const PREFIX_REPNE = kinds.PREFIX_REPNE
const PREFIX_OPERAND_SIZE = kinds.PREFIX_OPERAND_SIZE
const PREFIX_ADDRESS_SIZE = kinds.PREFIX_ADDRESS_SIZE
const PREFIX_REX = kinds.PREFIX_REX
const PREFIX_REX_W = kinds.PREFIX_REX_W
const PREFIX_VEX = kinds.PREFIX_VEX
const PREFIX_EVEX = kinds.PREFIX_EVEX
const PREFIX_REX2 = kinds.PREFIX_REX2
const PREFIX_SEGMENT = kinds.PREFIX_SEGMENT
const PREFIX_REPNE_LAST = kinds.PREFIX_REPNE_LAST
const REGISTER_RIP = kinds.REGISTER_RIP
const DECODE_AMD = kinds.DECODE_AMD
const DECODE_NO_APX = kinds.DECODE_NO_APX
const DECODE_NO_EVEX = kinds.DECODE_NO_EVEX
const DECODE_NO_VEX = kinds.DECODE_NO_VEX
const DECODE_NO_XOP = kinds.DECODE_NO_XOP
const DECODE_NO_3DNOW = kinds.DECODE_NO_3DNOW
const FIRST_FEATURE_BIT = kinds.FIRST_FEATURE_BIT
const CLASS_OPCODE = classes.CLASS_OPCODE
const CLASS_REX = classes.CLASS_REX
const CLASS_OPERAND_SIZE = classes.CLASS_OPERAND_SIZE
const CLASS_ADDRESS_SIZE = classes.CLASS_ADDRESS_SIZE
const CLASS_LOCK = classes.CLASS_LOCK
const CLASS_REPNE = classes.CLASS_REPNE
const CLASS_REP = classes.CLASS_REP
const CLASS_VEX = classes.CLASS_VEX
const CLASS_ESCAPE = classes.CLASS_ESCAPE
const CLASS_XOP = classes.CLASS_XOP
const CLASS_EVEX = classes.CLASS_EVEX
const CLASS_REX2 = classes.CLASS_REX2
const byteClasses = classes.byteClasses
const MAP_3DNOW = trees.MAP_3DNOW
const MAP_EVEX = trees.MAP_EVEX
const MAPS = trees.MAPS
const VEX_MAP_5 = trees.VEX_MAP_5
const TREE_LEGACY = trees.TREE_LEGACY
const TREE_LONG = trees.TREE_LONG
const TREE_LONG_AMD = trees.TREE_LONG_AMD
const LEAF_3DNOW = trees.LEAF_3DNOW
const LEAF_ANY_MOD = trees.LEAF_ANY_MOD
const LEAF_CHECK = trees.LEAF_CHECK
const LEAF_CHECK_CONTROL = trees.LEAF_CHECK_CONTROL
const LEAF_CHECK_DEBUG = trees.LEAF_CHECK_DEBUG
const LEAF_CHECK_MASK = trees.LEAF_CHECK_MASK
const LEAF_CHECK_TILE = trees.LEAF_CHECK_TILE
const LEAF_CHECK_BOUND = trees.LEAF_CHECK_BOUND
const LEAF_NO_RIP = trees.LEAF_NO_RIP
const LEAF_CHECK_SEGMENT_WRITE = trees.LEAF_CHECK_SEGMENT_WRITE
const LEAF_IMMEDIATE = trees.LEAF_IMMEDIATE
const LEAF_IMPLIED_MEMORY = trees.LEAF_IMPLIED_MEMORY
const LEAF_LOCK = trees.LEAF_LOCK
const LEAF_MASKMOV = trees.LEAF_MASKMOV
const LEAF_DISTINCT = trees.LEAF_DISTINCT
const LEAF_EVEX = trees.LEAF_EVEX
const LEAF_NO_66 = trees.LEAF_NO_66
const LEAF_NO_REX2 = trees.LEAF_NO_REX2
const LEAF_REG_3BIT = trees.LEAF_REG_3BIT
const LEAF_RM_3BIT = trees.LEAF_RM_3BIT
const LEAF_RARE = trees.LEAF_RARE
const LEAF_SIB = trees.LEAF_SIB
const LEAF_SIZE_SHIFT = trees.LEAF_SIZE_SHIFT - 3
const LEAF_STRING_DESTINATION = trees.LEAF_STRING_DESTINATION
const LEAF_STRING_SOURCE = trees.LEAF_STRING_SOURCE
const LEAF_VSIB = trees.LEAF_VSIB
const LEAF_VVVV = trees.LEAF_VVVV
const KEY_PP = trees.KEY_PP
const KEY_OPERAND_SIZE = trees.KEY_OPERAND_SIZE
const KEY_ADDRESS_SIZE = trees.KEY_ADDRESS_SIZE
const KEY_W = trees.KEY_W
const KEY_L = trees.KEY_L
const EVEX_VECTOR_REG = evexLeaf.EVEX_VECTOR_REG
const EVEX_VECTOR_RM = evexLeaf.EVEX_VECTOR_RM
const KEY_SCC = trees.KEY_SCC
const KEY_ND = trees.KEY_ND
const KEY_NF = trees.KEY_NF
const KEY_B = trees.KEY_B

/** Bits of the mode that are bits of the key too: features that are absent. */
const FEATURE_BITS = -(1 << FIRST_FEATURE_BIT)

/** The architecture's limit on the length of an instruction. */
const MAX_LENGTH = 15

/** Base and index registers of 16-bit addressing by ModRM.rm: BX+SI BX+DI BP+SI BP+DI SI DI BP BX. */
const base16: Int8Array = /*#__PURE__*/ Int8Array.of(3, 3, 5, 5, 6, 7, 5, 3)
const index16: Int8Array = /*#__PURE__*/ Int8Array.of(6, 7, 6, 7, -1, -1, -1, -1)
/** Default segment of 16-bit addressing: SS with BP, else DS. */
const segment16: Uint8Array = /*#__PURE__*/ Uint8Array.of(3, 3, 2, 2, 3, 3, 2, 3)

/** Immediates of one number come first in `Immediate`; this is the last of them. */
const LAST_PLAIN_IMMEDIATE = 6
/** By `Immediate`: bytes (moffs: by address size), shift that brings the top bit to bit 31, bits that stay, of the sign word too. */
const immediateSizes: Uint8Array = /*#__PURE__*/ Uint8Array.of(0, 1, 1, 2, 2, 4, 4, 8, 3, 4, 6, 0, 2)
const immediateShifts: Uint8Array = /*#__PURE__*/ Uint8Array.of(0, 24, 24, 16, 16, 0, 0)
const immediateMasks: Int32Array = /*#__PURE__*/ Int32Array.of(0, 0xff, -1, 0xffff, -1, -1, -1)
const immediateSigns: Int32Array = /*#__PURE__*/ Int32Array.of(0, 0, -1, 0, -1, 0, -1)

// The tables come when an instruction first needs them: a program may well never get so far.
let roots: Int32Array = /*#__PURE__*/ new Int32Array(0)
let hasModrm: Uint8Array = /*#__PURE__*/ new Uint8Array(0)
let nodes: Int32Array = roots
let leaves: Int32Array = roots
let evexLeaves: Int32Array = roots

function load(): void {
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
  return kinds.INVALID
}

/** The instruction goes on for `length` bytes at least, past the `have` bytes that there are. */
function outOfBytes(insn: Instruction, length: number, have: number): number {
  // That it is too long is found out after the fetch of all 15 bytes, which may fault before.
  if (have >= MAX_LENGTH) return fail(insn, length, kinds.REASON_TOO_LONG)
  insn.code = 0
  insn.length = length > MAX_LENGTH ? MAX_LENGTH : length
  insn.reason = 0
  return kinds.TRUNCATED
}

/** Decodes any instruction: `decodeInto` for what is not common, or too near to the end to be read without counting. */
export function decodeAny(bytes: Uint8Array, offset: number, end: number, mode: number, insn: Instruction): number {
  if (leaves.length === 0) load()
  offset |= 0
  end |= 0
  if (end > bytes.length) end = bytes.length | 0
  const limit = end - offset > MAX_LENGTH ? (offset + MAX_LENGTH) | 0 : end
  const long = (mode & 64) !== 0

  // Prefixes. A REX counts only where the opcode follows it at once.
  let pos = offset
  let prefixes = 0
  let rex = 0
  let override = -1
  if (pos >= limit) return outOfBytes(insn, 1, end - offset)
  let byte = bytes[pos]!
  pos = (pos + 1) | 0
  let byteClass = byteClasses[long ? 256 + byte : byte]!
  while (byteClass !== CLASS_OPCODE && byteClass < CLASS_VEX) {
    // The REX2 payload has the low bits alike; bit 7 says that there is one.
    if (byteClass === CLASS_REX) rex = byte ^ 0xc0
    else {
      rex = 0
      if (byteClass === CLASS_OPERAND_SIZE) prefixes |= PREFIX_OPERAND_SIZE
      else if (byteClass === CLASS_REP) prefixes = (prefixes | PREFIX_REP) & ~PREFIX_REPNE_LAST
      else if (byteClass === CLASS_REPNE) prefixes |= PREFIX_REPNE | PREFIX_REPNE_LAST
      else if (byteClass === CLASS_LOCK) prefixes |= PREFIX_LOCK
      else if (byteClass === CLASS_ADDRESS_SIZE) prefixes |= PREFIX_ADDRESS_SIZE
      else {
        prefixes |= PREFIX_SEGMENT
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
  if (byteClass >= CLASS_VEX && byteClass !== CLASS_ESCAPE && pos >= limit) {
    return outOfBytes(insn, pos - offset + 1, end - offset)
  }
  // Outside 64-bit mode C4 and C5 are LES and LDS unless what would be ModRM has mod = 3. 8F is POP with maps below 8.
  if (
    (byteClass === CLASS_VEX && (long || bytes[pos]! >= 0xc0) && (mode & DECODE_NO_VEX) === 0) ||
    (byteClass === CLASS_XOP && (bytes[pos]! & 31) >= 8 && (mode & DECODE_NO_XOP) === 0)
  ) {
    if ((prefixes & (PREFIX_LOCK | PREFIX_REP | PREFIX_REPNE | PREFIX_OPERAND_SIZE)) !== 0 || rex !== 0) {
      return fail(insn, pos - offset, kinds.REASON_VEX_PREFIX)
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
      // Maps of the two have numbers of their own; 0 is none.
      if (byte === 0x8f) map = map > 10 ? 0 : map - 1
      else if (map > 3) map = map === 5 || map === 7 ? (map >> 1) + VEX_MAP_5 - 2 : 0
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
    prefixes |= w === 0 ? PREFIX_VEX : PREFIX_VEX | PREFIX_REX_W
    key = ((payload & 3) << KEY_PP) | (l << KEY_L) | (w << KEY_W) | ((w + 1) << KEY_OPERAND_SIZE) | ((rex & 1) << KEY_B)
    if (map === 0) return fail(insn, pos - offset, kinds.REASON_OPCODE)
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
    byte = bytes[pos]!
    pos = (pos + 1) | 0
  } else if (byteClass === CLASS_EVEX && (long || bytes[pos]! >= 0xc0) && (mode & DECODE_NO_EVEX) === 0) {
    // Outside 64-bit mode 62 is BOUND unless what would be ModRM has mod = 3.
    if ((prefixes & (PREFIX_LOCK | PREFIX_REP | PREFIX_REPNE | PREFIX_OPERAND_SIZE)) !== 0 || rex !== 0) {
      return fail(insn, pos - offset, kinds.REASON_VEX_PREFIX)
    }
    if (pos + 4 > limit) return outOfBytes(insn, pos - offset + 4, end - offset)
    const p0 = bytes[pos]!
    const p1 = bytes[pos + 1]!
    const p2 = bytes[pos + 2]!
    byte = bytes[pos + 3]!
    pos = (pos + 4) | 0
    // As in REX2: R, X, B in bits 2 to 0, their fifth bits in 6 to 4.
    if (long) rex = ((~p0 >> 5) & 7) | ((~p0 & 16) << 2) | ((p0 & 8) << 1) | ((~p1 & 4) << 3)
    map = MAP_EVEX + (p0 & 7)
    vvvv = ((~p1 >> 3) & 15) | ((~p2 & 8) << 1)
    const w = p1 >> 7
    let l = (p2 >> 5) & 3
    insn.vectorLength = l
    insn.evex = p2 | (rex << 8)
    prefixes |= w === 0 ? PREFIX_EVEX : PREFIX_EVEX | PREFIX_REX_W
    // With registers b says that L'L is the rounding, and the vectors have 512 bits.
    if ((p2 & 16) !== 0 && map !== MAP_EVEX + 4) {
      if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
      if (bytes[pos]! >= 0xc0) l = 2
    }
    key = ((p1 & 3) << KEY_PP) | (w << KEY_W)
    if (map === MAP_EVEX + 4) {
      // As in the legacy instruction W goes before 66.
      key |= (w === 0 ? ((p1 & 3) === 1 ? 0 : 1) : 2) << KEY_OPERAND_SIZE
      key |= ((p2 & 15) << KEY_SCC) | (((p2 >> 4) & 1) << KEY_ND) | (((p2 >> 2) & 1) << KEY_NF)
      l = 0
    } else key |= (l << KEY_L) | ((w + 1) << KEY_OPERAND_SIZE)
    // There is no fourth vector length. Both fixed bits are APX's, in 64-bit mode.
    const isFixed = (p0 & 8) === 0 && (p1 & 4) !== 0
    if (l === 3 || map === MAP_EVEX || (!isFixed && (!long || (mode & DECODE_NO_APX) !== 0)))
      return fail(insn, pos - offset, kinds.REASON_OPCODE)
    // R' is ignored outside 64-bit mode, but V' must be 1: so do processors.
    if (!long && (p2 & 8) === 0) return fail(insn, pos - offset, kinds.REASON_REGISTER)
  } else {
    insn.vectorLength = 0
    insn.evex = 0
    if (byteClass === CLASS_ESCAPE) {
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
    } else if (byteClass === CLASS_REX2) {
      // A REX right before it is #UD.
      if ((mode & DECODE_NO_APX) !== 0 || rex !== 0) return fail(insn, pos - offset, kinds.REASON_VEX_PREFIX)
      if (pos + 2 > limit) return outOfBytes(insn, pos - offset + 2, end - offset)
      rex = bytes[pos]! | 0x80
      map = bytes[pos]! >> 7
      byte = bytes[pos + 1]!
      pos = (pos + 2) | 0
      prefixes |= PREFIX_REX2
      map = rex2Map(map, byte, rex, prefixes)
      if (map < 0) return fail(insn, pos - offset, kinds.REASON_OPCODE)
    }
    let operandSize = (mode & 16) === 0 ? 1 : 0
    if (prefixes !== 0) {
      if ((prefixes & PREFIX_OPERAND_SIZE) !== 0) {
        operandSize ^= 1
        key = 1 << KEY_PP
      }
      if ((prefixes & (PREFIX_REP | PREFIX_REPNE)) !== 0)
        key = (prefixes & PREFIX_REPNE_LAST) !== 0 ? 3 << KEY_PP : 2 << KEY_PP
    }
    if (rex !== 0) {
      prefixes |= PREFIX_REX | ((rex & 8) << 3)
      key |= ((rex | (rex >> 4)) & 1) << KEY_B
      // REX.W goes before 66.
      if ((rex & 8) !== 0) operandSize = 2
    }
    key |= operandSize << KEY_OPERAND_SIZE
  }
  let addressSize = long ? 2 : (mode & 16) === 0 ? 1 : 0
  if ((prefixes & PREFIX_ADDRESS_SIZE) !== 0) addressSize = addressSize === 1 ? 0 : 1
  insn.addressSize = 16 << addressSize
  insn.prefixes = prefixes
  // Outside 64-bit mode its top bit is ignored where it names a register, but not where it must be 1111b.
  // EVEX's own checks come first.
  insn.vvvv = long || insn.evex !== 0 ? vvvv : vvvv & 7
  insn.opcodeReg = (byte & 7) | ((rex & 1) << 3) | (rex & 16)
  insn.opcodeOffset = pos - 1 - offset

  // The tree of the opcode.
  const tree = long ? ((mode & DECODE_AMD) === 0 ? TREE_LONG : TREE_LONG_AMD) : TREE_LEGACY
  const root = (tree * MAPS + map) * 256 + byte
  const withModrm = hasModrm[root]! !== 0
  // Without ModRM there is no memory either; mod = 3 says so.
  let modrm = 0xc0
  if (withModrm) {
    if (pos >= limit) return outOfBytes(insn, pos - offset + 1, end - offset)
    insn.modrmOffset = pos - offset
    modrm = bytes[pos]!
    pos = (pos + 1) | 0
  } else insn.modrmOffset = 0
  let code = roots[root]!
  if (code < 0) {
    key |= (mode & FEATURE_BITS) | (addressSize << KEY_ADDRESS_SIZE) | (modrm & 63) | (modrm >= 0xc0 ? 64 : 0)
    do {
      const place = nodes[~code]!
      code = nodes[((key >> (place & 31)) & (place >> 5)) - code]!
    } while (code < 0)
  }
  if (code === 0) return fail(insn, pos - offset, kinds.REASON_OPCODE)
  insn.code = code
  const leaf = leaves[code]!
  insn.operandSize = (leaf >> LEAF_SIZE_SHIFT) & 0x78

  // Operands of ModRM.
  const rm = (modrm & 7) | ((rex & 1) << 3) | (rex & 16)
  insn.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1) | ((rex & 64) >> 2)
  insn.rm = rm
  insn.index = -1
  insn.scale = 0
  let isMemory = 0
  let segment = 3
  if (modrm < 0xc0 && (leaf & LEAF_ANY_MOD) === 0) {
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
        // Index 4 is none; with REX.X it is R12.
        if (index !== 4) insn.index = index
        base = (sib & 7) | ((rex & 1) << 3) | (rex & 16)
        if ((sib & 7) === 5 && modrm < 0x40) {
          base = -1
          dispSize = 4
        }
      } else if ((modrm & 0xc7) === 5) {
        base = long ? REGISTER_RIP : -1
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
  const immediate = leaf & LEAF_IMMEDIATE
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

  if ((leaf & LEAF_RARE) !== 0) {
    const reason = finishRare(insn, leaf, prefixes, mode)
    if (reason !== 0) return fail(insn, pos - offset, reason)
    const implied = leaf & LEAF_IMPLIED_MEMORY
    if (implied !== 0) {
      isMemory = 1
      if (implied === LEAF_STRING_DESTINATION) {
        // No prefix moves it out of ES.
        segment = 0
        override = -1
      }
    }
  }
  if (vvvv !== 0 && (leaf & LEAF_VVVV) === 0) return fail(insn, pos - offset, kinds.REASON_VEX_VVVV)
  if ((prefixes & (PREFIX_LOCK | PREFIX_SEGMENT | PREFIX_REX2)) !== 0) {
    if ((prefixes & PREFIX_REX2) !== 0) {
      // Vector registers are sixteen without EVEX.
      const registers = evexLeaves[code]!
      if ((registers & EVEX_VECTOR_REG) !== 0) insn.reg &= 15
      if ((registers & EVEX_VECTOR_RM) !== 0) insn.rm &= 15
    }
    if ((prefixes & PREFIX_LOCK) !== 0 && (isMemory === 0 || (leaf & LEAF_LOCK) === 0)) {
      // On AMD processors LOCK MOV CR0 is MOV CR8; `finishRare` has seen to it.
      if ((leaf & LEAF_CHECK) !== LEAF_CHECK_CONTROL) return fail(insn, pos - offset, kinds.REASON_LOCK)
    }
    if (override >= 4 || (override >= 0 && !long)) segment = override
  }
  insn.segment = segment
  insn.isMemory = isMemory
  insn.length = pos - offset
  return kinds.DECODED
}

/** The immediates that few instructions have. Returns 1 if it is a memory operand's address. */
function readOddImmediate(
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
function finishRare(insn: Instruction, leaf: number, prefixes: number, mode: number): number {
  switch (leaf & LEAF_CHECK) {
    case 0:
      break
    case LEAF_CHECK_CONTROL:
      // LOCK MOV CR0 is AMD's way to CR8 outside 64-bit mode.
      if ((prefixes & PREFIX_LOCK) !== 0) {
        if ((mode & DECODE_AMD) === 0 || insn.reg !== 0) return kinds.REASON_LOCK
        insn.reg |= 8
      }
      // CR0, CR2, CR3, CR4, CR8.
      if (((0x11d >> insn.reg) & 1) === 0) return kinds.REASON_REGISTER
      break
    case LEAF_CHECK_DEBUG:
      if (insn.reg > 7) return kinds.REASON_REGISTER
      break
    case LEAF_CHECK_MASK:
      if (insn.reg > 7 || insn.vvvv > 7) return kinds.REASON_REGISTER
      break
    case LEAF_CHECK_BOUND:
      // SDM vol. 2A, BNDMOV: #UD also with 16-bit addresses.
      if (insn.addressSize === 16) return kinds.REASON_OPCODE
      // In 64-bit mode 67 is ignored (SDM vol. 1, Appendix E).
      if (insn.mode === 64) insn.addressSize = 64
      if (insn.reg > 3 || ((leaf & LEAF_RM_3BIT) !== 0 && insn.mod === 3 && insn.rm > 3)) return kinds.REASON_REGISTER
      if ((leaf & LEAF_NO_RIP) !== 0 && insn.base === REGISTER_RIP) return kinds.REASON_OPCODE
      break
    case LEAF_CHECK_TILE: {
      const { reg, rm, vvvv } = insn
      if (reg > 7) return kinds.REASON_REGISTER
      if ((leaf & LEAF_VVVV) === 0) break
      if (rm > 7 || vvvv > 7) return kinds.REASON_REGISTER
      if (reg === rm || reg === vvvv || rm === vvvv) return kinds.REASON_SAME_REGISTER
      break
    }
    default:
      insn.reg &= 7
      // There are six, and CS is not loaded by MOV.
      if (insn.reg > 5 || (insn.reg === 1 && (leaf & LEAF_CHECK) === LEAF_CHECK_SEGMENT_WRITE))
        return kinds.REASON_REGISTER
  }
  if ((leaf & LEAF_NO_66) !== 0 && (prefixes & PREFIX_OPERAND_SIZE) !== 0) return kinds.REASON_OPCODE
  if ((leaf & LEAF_NO_REX2) !== 0 && (prefixes & PREFIX_REX2) !== 0) return kinds.REASON_OPCODE
  if ((leaf & LEAF_SIB) !== 0 && (insn.rm & 7) !== 4) return kinds.REASON_OPCODE
  if ((leaf & LEAF_VSIB) !== 0) {
    // Without a SIB byte there is no index; 16-bit addresses have none.
    if ((insn.rm & 7) !== 4 || insn.addressSize === 16) return kinds.REASON_OPCODE
    // What would be no index is register 4.
    if (insn.index < 0) insn.index = 4
    const { index, reg, vvvv } = insn
    if ((leaf & (LEAF_DISTINCT | LEAF_EVEX)) === LEAF_DISTINCT && (index === reg || index === vvvv || reg === vvvv))
      return kinds.REASON_SAME_REGISTER
  }
  if ((leaf & LEAF_EVEX) !== 0) {
    const reason = finishEvex(insn, leaf, evexLeaves[insn.code]!, mode)
    if (reason !== 0) return reason
  }
  if ((leaf & LEAF_REG_3BIT) !== 0) insn.reg &= 7
  if ((leaf & LEAF_RM_3BIT) !== 0) insn.rm &= 7
  if ((leaf & LEAF_3DNOW) !== 0) {
    const code = (mode & DECODE_NO_3DNOW) === 0 ? roots[MAP_3DNOW * 256 + insn.immLo]! : 0
    if (code === 0) return kinds.REASON_OPCODE
    insn.code = code
    insn.opcodeOffset = insn.immOffset
    insn.immLo = 0
    insn.immOffset = 0
    insn.immSize = 0
  }
  switch (leaf & LEAF_IMPLIED_MEMORY) {
    case 0:
      break
    case LEAF_STRING_SOURCE:
      insn.base = 6
      break
    case LEAF_STRING_DESTINATION:
    case LEAF_MASKMOV:
      insn.base = 7
      break
    default:
      // XLATB
      insn.base = 3
  }
  return 0
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

function dword(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
