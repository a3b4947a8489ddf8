/**
 * The record that `decodeInto` fills in. The caller owns it and may use it again for every instruction.
 *
 * All fields are small integers, so that filling one allocates nothing. 64-bit values are a `lo`/`hi` pair of
 * *signed* 32-bit words: use `>>> 0` where an unsigned one is wanted.
 */
export class Instruction {
  /** Bytes of the instruction; after `TRUNCATED` the least number of bytes that would let decoding go on. */
  length: number
  /** Index into `codes`; 0: invalid. */
  code: number
  /** 16, 32 or 64. */
  mode: number
  /** Effective operand size in bits: 8, 16, 32, 64, or 0 if not applicable. */
  operandSize: number
  /** Effective address size in bits: 16, 32 or 64. */
  addressSize: number
  /** `PREFIX_*` bits of the present prefixes. */
  prefixes: number
  /** 1 if the instruction has a memory operand (ModRM, moffs, string or XLAT), else 0. */
  isMemory: number
  /** ModRM.mod (0 to 3); 0 without ModRM. */
  mod: number
  /** ModRM.reg with REX.R where it applies: a register number, or the opcode extension. */
  reg: number
  /** ModRM.rm's register, extended by REX.B if applicable; meaningful if mod is 3. */
  rm: number
  /** Register in the opcode's low three bits, with REX.B. */
  opcodeReg: number
  /** VEX.vvvv, as a register number. */
  vvvv: number
  /**
   * VEX.L or EVEX.L'L: 0 for 128 bits or scalar, 1 for 256, 2 for 512. As encoded, also where the form ignores it; 2 where EVEX.L'L is
   * the rounding.
   */
  vectorLength: number
  /** The fields that only EVEX has, 0 for other instructions: the getters below take them apart. */
  evex: number
  /** Base register 0 to 31, `REGISTER_RIP`, or -1. String operands: rSI (6) if there is a source, else rDI (7); XLATB: 3. */
  base: number
  /** Index register 0 to 31, or -1. Of a gather it is a vector register. */
  index: number
  /** Left shift of the index, 0 to 3, as encoded even without an index. */
  scale: number
  /** Segment that the memory operand is in, ES CS SS DS FS GS = 0 to 5; of two string operands the source's. */
  segment: number
  /** Segment prefix that is in force, or -1. In 64-bit mode one of ES, CS, SS, DS has no effect on `segment`. */
  segmentOverride: number
  /**
   * Displacement, sign-extended to 64 bits (moffs: zero-extended); the 8-bit one of EVEX is scaled. RIP-relative: as encoded. Low
   * word, signed.
   */
  dispLo: number
  /** High word of the displacement, signed. */
  dispHi: number
  /** Immediate, low word, signed. Sign-extended to 64 bits where the form sign-extends, branches too; else zero-extended. */
  immLo: number
  /** Immediate, high word, signed. */
  immHi: number
  /** ENTER's level, a far pointer's selector, a second immediate byte, the default flags of CCMP. */
  imm2: number
  /** Offset of the displacement from the instruction's first byte; 0 if there is none. */
  dispOffset: number
  /** Bytes of the displacement. */
  dispSize: number
  /** Offset of the immediate; 0: none. */
  immOffset: number
  /** Bytes of the immediates together. */
  immSize: number
  /** Offset of the ModRM byte; 0: none. */
  modrmOffset: number
  /** Offset of the last opcode byte. */
  opcodeOffset: number
  /** `REASON_*`: why the bytes are invalid. */
  reason: number

  constructor() {
    this.length = 0
    this.code = 0
    this.mode = 0
    this.operandSize = 0
    this.addressSize = 0
    this.prefixes = 0
    this.isMemory = 0
    this.mod = 0
    this.reg = 0
    this.rm = 0
    this.opcodeReg = 0
    this.vvvv = 0
    this.vectorLength = 0
    this.evex = 0
    this.base = -1
    this.index = -1
    this.scale = 0
    this.segment = 3
    this.segmentOverride = -1
    this.dispLo = 0
    this.dispHi = 0
    this.immLo = 0
    this.immHi = 0
    this.imm2 = 0
    this.dispOffset = 0
    this.dispSize = 0
    this.immOffset = 0
    this.immSize = 0
    this.modrmOffset = 0
    this.opcodeOffset = 0
    this.reason = 0
  }

  /** EVEX.aaa: the mask register k1 to k7, or 0 for none. */
  get maskRegister(): number {
    return this.evex & 7
  }

  /** EVEX.z: what the mask leaves out becomes 0. */
  get zeroing(): boolean {
    return (this.evex & EVEX_Z) !== 0
  }

  /** The memory operand is one element, repeated. */
  get broadcast(): boolean {
    return (this.evex & EVEX_B) !== 0
  }

  /** `ROUNDING_*`. */
  get rounding(): number {
    return (this.evex >> EVEX_ROUNDING_SHIFT) & 7
  }

  /** EVEX.NF: no flags are written. */
  get noFlags(): boolean {
    return (this.evex & EVEX_NF) !== 0
  }
}

/** Bits of `Instruction.evex` above the mask register. */
export const EVEX_Z = 8
export const EVEX_B = 16
export const EVEX_ROUNDING_SHIFT = 5
export const EVEX_NF = 0x100
