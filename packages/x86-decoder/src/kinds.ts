/** The small numbers that the decoder speaks in. */

/**
 * The kind of an operand. The letter is the one of Intel SDM vol. 2D, Appendix A, "Key to Abbreviations".
 *
 * A kind with a register part of its own (`REG`, `XMM_RM`…) says which field names the register.
 */
export const OperandKind = {
  /** General register, ModRM.reg (G). */
  REG: 1,
  /** General register or memory, ModRM.rm (E). */
  RM: 2,
  /** General register, ModRM.rm with mod = 3 (R). */
  RM_REG: 3,
  /** Memory only, ModRM.rm with mod ≠ 3 (M). */
  MEM: 4,
  /** General register, low three bits of the opcode (Z). */
  OPCODE_REG: 5,
  /** General register, VEX.vvvv (B). */
  VVVV_REG: 6,
  /** General register that the opcode implies: `register` holds its number. */
  FIXED_REG: 7,
  /** The constant 1 of the one-bit shifts. */
  ONE: 8,
  /** Segment register, ModRM.reg (S). */
  SEGMENT_REG: 9,
  /** Segment register that the opcode implies. */
  FIXED_SEGMENT: 10,
  /** Control register, ModRM.reg (C). */
  CONTROL_REG: 11,
  /** Debug register, ModRM.reg (D). */
  DEBUG_REG: 12,
  /** MMX register, ModRM.reg (P). */
  MMX_REG: 13,
  /** MMX register or memory, ModRM.rm (Q). */
  MMX_RM: 14,
  /** MMX register, ModRM.rm with mod = 3 (N). */
  MMX_RM_REG: 15,
  /** Vector register, ModRM.reg (V). */
  XMM_REG: 16,
  /** Vector register or memory, ModRM.rm (W). */
  XMM_RM: 17,
  /** Vector register, ModRM.rm with mod = 3 (U). */
  XMM_RM_REG: 18,
  /** Vector register, VEX.vvvv (H). */
  XMM_VVVV: 19,
  /** Vector register, bits 7:4 of an immediate byte (L). */
  XMM_IS4: 20,
  /** Vector register that the opcode implies: XMM0. */
  XMM_FIXED: 21,
  /** Top of the x87 stack. */
  ST0: 22,
  /** x87 register, ModRM.rm. */
  STI: 23,
  /** 8-bit immediate, zero-extended. */
  IMM8: 24,
  /** 8-bit immediate, sign-extended to the operand size. */
  IMM8_SX: 25,
  /** 16-bit immediate. */
  IMM16: 26,
  /** 32-bit immediate. */
  IMM32: 27,
  /** 32-bit immediate, sign-extended to 64 bits. */
  IMM32_SX: 28,
  /** 64-bit immediate. */
  IMM64: 29,
  /** A second 8-bit immediate (ENTER's level, EXTRQ's index), in `imm2`. */
  IMM8_SECOND: 30,
  /** Branch displacement of 8 bits. */
  REL8: 31,
  /** Branch displacement of 16 bits. */
  REL16: 32,
  /** Branch displacement of 32 bits. */
  REL32: 33,
  /** Far pointer in the instruction: offset in `imm`, selector in `imm2` (A). */
  FAR_POINTER: 34,
  /** Memory whose address is in the instruction, without ModRM (O). */
  MOFFS: 35,
  /** String source DS:rSI; a segment prefix applies (X). */
  STRING_SOURCE: 36,
  /** String destination ES:rDI; no segment prefix applies (Y). */
  STRING_DESTINATION: 37,
  /** XLATB's byte at DS:rBX+AL. */
  XLAT: 38,
  /**
   * Memory addressed by a vector of indices (VSIB): the operand size is the index register's, the memory size one element's.
   */
  VSIB: 39,
  /** Mask register, ModRM.reg. */
  MASK_REG: 40,
  /** Mask register or memory, ModRM.rm. */
  MASK_RM: 41,
  /** Mask register, ModRM.rm with mod = 3. */
  MASK_RM_REG: 42,
  /** Mask register, VEX.vvvv. */
  MASK_VVVV: 43,
  /** Tile register, ModRM.reg. */
  TILE_REG: 44,
  /** Tile register, ModRM.rm with mod = 3. */
  TILE_RM_REG: 45,
  /** Tile register, VEX.vvvv. */
  TILE_VVVV: 46,
  /** Immediate in bits 3:0 of the byte that names a register in bits 7:4 (VPERMIL2PS). */
  IMM4: 47,
  /** Bound register (MPX), ModRM.reg. */
  BOUND_REG: 48,
  /** Bound register or memory, ModRM.rm. */
  BOUND_RM: 49,
  /** Default flags of CCMP and CTEST, in `imm2`: bits 3 to 0 are OF, SF, ZF, CF. */
  DFV: 50,
  /** Absolute 64-bit target (JMPABS), in `imm`. */
  ABS64: 51,
} as const
/** A value of `OperandKind`. */
export type OperandKind = (typeof OperandKind)[keyof typeof OperandKind]

/** Class of an operand's register: `general` and `vector` registers have several sizes. */
export type OperandClass =
  | 'general'
  | 'segment'
  | 'control'
  | 'debug'
  | 'mmx'
  | 'vector'
  | 'mask'
  | 'tile'
  | 'bound'
  | 'x87'

/**
 * Where an operand's register is named. `rm`: in ModRM.rm, unless ModRM names memory; `rm-register`: in ModRM.rm; `is4`: in bits 7:4
 * of an immediate; `fixed`: in the row; `index`: in the SIB byte of a memory operand (VSIB).
 */
export type OperandPlace = 'reg' | 'rm' | 'rm-register' | 'opcode' | 'vvvv' | 'is4' | 'fixed' | 'index'

/** Class and place of the register, of operands that are or may be in registers. */
export const REGISTER_KINDS: {
  readonly [Kind in OperandKind]?: readonly [registerClass: OperandClass, place: OperandPlace]
} = {
  [OperandKind.REG]: ['general', 'reg'],
  [OperandKind.RM]: ['general', 'rm'],
  [OperandKind.RM_REG]: ['general', 'rm-register'],
  [OperandKind.OPCODE_REG]: ['general', 'opcode'],
  [OperandKind.VVVV_REG]: ['general', 'vvvv'],
  [OperandKind.FIXED_REG]: ['general', 'fixed'],
  [OperandKind.SEGMENT_REG]: ['segment', 'reg'],
  [OperandKind.FIXED_SEGMENT]: ['segment', 'fixed'],
  [OperandKind.CONTROL_REG]: ['control', 'reg'],
  [OperandKind.DEBUG_REG]: ['debug', 'reg'],
  [OperandKind.MMX_REG]: ['mmx', 'reg'],
  [OperandKind.MMX_RM]: ['mmx', 'rm'],
  [OperandKind.MMX_RM_REG]: ['mmx', 'rm-register'],
  [OperandKind.XMM_REG]: ['vector', 'reg'],
  [OperandKind.XMM_RM]: ['vector', 'rm'],
  [OperandKind.XMM_RM_REG]: ['vector', 'rm-register'],
  [OperandKind.XMM_VVVV]: ['vector', 'vvvv'],
  [OperandKind.XMM_IS4]: ['vector', 'is4'],
  [OperandKind.XMM_FIXED]: ['vector', 'fixed'],
  [OperandKind.VSIB]: ['vector', 'index'],
  [OperandKind.MASK_REG]: ['mask', 'reg'],
  [OperandKind.MASK_RM]: ['mask', 'rm'],
  [OperandKind.MASK_RM_REG]: ['mask', 'rm-register'],
  [OperandKind.MASK_VVVV]: ['mask', 'vvvv'],
  [OperandKind.TILE_REG]: ['tile', 'reg'],
  [OperandKind.TILE_RM_REG]: ['tile', 'rm-register'],
  [OperandKind.TILE_VVVV]: ['tile', 'vvvv'],
  [OperandKind.BOUND_REG]: ['bound', 'reg'],
  [OperandKind.BOUND_RM]: ['bound', 'rm'],
  [OperandKind.ST0]: ['x87', 'fixed'],
  [OperandKind.STI]: ['x87', 'rm-register'],
}

/** `decodeInto`: an instruction was decoded. */
export const DECODED = 0
/** `decodeInto`: the bytes are no instruction; the processor raises #UD (or #GP when longer than 15 bytes). */
export const INVALID = 1
/** `decodeInto`: the bytes end inside an instruction. */
export const TRUNCATED = 2

/** Prefix bits of `Instruction.prefixes`: the prefix is present, with or without an effect. */
export const PREFIX_LOCK = 1
/** F3: REP, REPE, XRELEASE, or a mandatory prefix. */
export const PREFIX_REP = 2
/** F2: REPNE, BND, XACQUIRE, or a mandatory prefix. */
export const PREFIX_REPNE = 4
/** 66: operand size, or a mandatory prefix. */
export const PREFIX_OPERAND_SIZE = 8
/** 67: address size. */
export const PREFIX_ADDRESS_SIZE = 16
/** A REX prefix in its effective place. */
export const PREFIX_REX = 32
/** REX.W, VEX.W or EVEX.W. */
export const PREFIX_REX_W = 64
/** A VEX or XOP form. */
export const PREFIX_VEX = 128
/** A segment prefix; `segmentOverride` tells which. */
export const PREFIX_SEGMENT = 256
/** Both F2 and F3 were present and F2 came last. Without it the REP of the two wins. */
export const PREFIX_REPNE_LAST = 512
/** An EVEX form. */
export const PREFIX_EVEX = 1024
/** A REX2 prefix. */
export const PREFIX_REX2 = 2048

/** `Instruction.rounding`: EVEX.b does not stand for rounding. */
export const ROUNDING_NONE = 0
/** `{rn-sae}`: to nearest, exceptions suppressed. */
export const ROUNDING_NEAREST = 1
/** `{rd-sae}`: down. */
export const ROUNDING_DOWN = 2
/** `{ru-sae}`: up. */
export const ROUNDING_UP = 3
/** `{rz-sae}`: toward zero. */
export const ROUNDING_ZERO = 4
/** `{sae}`: exceptions suppressed; rounding as MXCSR, the immediate or the instruction says. */
export const ROUNDING_SAE = 5

/** Base register number of RIP-relative (with 67: EIP-relative) operands. Far from any general register's number. */
export const REGISTER_RIP = 64
/** Number that `operandRegister` gives for AH, CH, DH, BH: this plus 4, 5, 6, 7. */
export const REGISTER_HIGH_BYTE = 32
/** AH. */
export const REGISTER_AH = 36
/** CH. */
export const REGISTER_CH = 37
/** DH. */
export const REGISTER_DH = 38
/** BH. */
export const REGISTER_BH = 39

/** Segment register numbers, as ModRM.reg encodes them. */
export const SEGMENT_ES = 0
/** Code segment. */
export const SEGMENT_CS = 1
/** Stack segment. */
export const SEGMENT_SS = 2
/** Data segment. */
export const SEGMENT_DS = 3
/** FS. */
export const SEGMENT_FS = 4
/** GS. */
export const SEGMENT_GS = 5

/** Valid: no reason. */
export const REASON_NONE = 0
/** No instruction has this opcode in this mode with these prefixes and this ModRM byte. */
export const REASON_OPCODE = 1
/** LOCK on an instruction that does not allow it. */
export const REASON_LOCK = 2
/** Longer than 15 bytes. */
export const REASON_TOO_LONG = 3
/** A register that does not exist (CR1, DR8, a seventh segment register, CS as MOV's destination, a ninth mask or tile). */
export const REASON_REGISTER = 4
/** A legacy or REX prefix before VEX that must not be there. */
export const REASON_VEX_PREFIX = 5
/** VEX.vvvv names a register that the instruction has no use for. */
export const REASON_VEX_VVVV = 6
/** Two of a gather's destination, index and mask, or of the tiles of a product, are the same register. */
export const REASON_SAME_REGISTER = 7
/** An invalid mask register, zeroing, broadcast or static rounding, or a missing mask. */
export const REASON_EVEX = 8

/** Texts for the reasons, indexed by them. */
export const reasonTexts: readonly string[] = [
  'valid',
  'no such instruction in this mode',
  'LOCK is not allowed here',
  'longer than 15 bytes',
  'no such register',
  'a prefix before VEX that must not be there',
  'VEX.vvvv must be 1111b',
  'registers that must differ are the same',
  'no such mask, broadcast or rounding here',
]

/** Bit of `CodeInfo.modes`: 16-bit code segments. `decodeInto` has 16, 32 and 64 for its mode, not these. */
export const MODE_16 = 1
/** Bit of `CodeInfo.modes`: 32-bit code segments. */
export const MODE_32 = 2
/** Bit of `CodeInfo.modes`: 64-bit mode. */
export const MODE_64 = 4

/** Option bit for `decodeInto`'s mode: decode as AMD processors do where they differ from Intel's. */
export const DECODE_AMD = 0x100
/** Option bits for `decodeInto`'s mode: C4 and C5 are LES and LDS only. */
export const DECODE_NO_VEX = 0x200
/** 62 is BOUND only. */
export const DECODE_NO_EVEX = 0x400
/** 8F is POP only. */
export const DECODE_NO_XOP = 0x800
/** D5 is AAD only, and EVEX has no bits of APX. */
export const DECODE_NO_APX = 0x1000
/** There is no 0F 0F. */
export const DECODE_NO_3DNOW = 0x2000
/** Option bits from this one to bit 30 say that a feature is absent which decides what an opcode means: `options.ts`. */
export const FIRST_FEATURE_BIT = 19
