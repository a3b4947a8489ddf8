import { OperandKind, PREFIX_EVEX, PREFIX_REX, REGISTER_HIGH_BYTE } from '@retrap/x86-decoder'
import type { Instruction, OperandSpec } from '@retrap/x86-decoder'
import * as S from '../state/state-layout.ts'

// Which part of an instruction names an operand's register.
/** None: `at` is the register's offset, or 0. */
const FROM_NOTHING = 0
const FROM_REG = 1
const FROM_RM = 2
/** As {@link FROM_RM}; the operand may also be in memory. */
const FROM_RM_OR_MEMORY = 3
const FROM_OPCODE = 4
const FROM_VVVV = 5
/** Bits 7:4 of an immediate byte. */
const FROM_IMMEDIATE = 6
/** A vector register that is the index of an address. */
const FROM_INDEX = 7
/** No register: flags, which stand above 16, apart from {@link S.S_GPR}. */
const FROM_SECOND_IMMEDIATE = 8

/**
 * How the state offset of the register that an operand names is found. It is worked out once per operand of a code: every
 * instruction that is decoded needs it.
 */
export interface RegisterPlan {
  /** One of the parts above. */
  readonly from: number
  /** State offset of register 0 of its class. */
  readonly at: number
  /** Bytes from one register to the next. */
  readonly bytes: number
  /** A byte of a general register: numbers 4 to 7 are AH to BH without a REX prefix. */
  readonly isByte: boolean
  /** Control registers, which lie in no order. */
  readonly isControl: boolean
}

const NOTHING: RegisterPlan = { from: FROM_NOTHING, at: 0, bytes: 0, isByte: false, isControl: false }
const SEGMENT: RegisterPlan = { ...NOTHING, from: FROM_REG, at: S.S_SEGMENTS, bytes: S.SEG_BYTES }
const MMX: RegisterPlan = { ...NOTHING, from: FROM_REG, at: S.S_FPR, bytes: 16 }
const VECTOR: RegisterPlan = { ...NOTHING, from: FROM_REG, at: S.S_XMM, bytes: 64 }
const TILE: RegisterPlan = { ...NOTHING, from: FROM_REG, at: S.S_TMM, bytes: 1024 }
const MASK: RegisterPlan = { ...NOTHING, from: FROM_REG, at: S.S_OPMASK, bytes: 8 }

const CONTROL_OFFSETS: Readonly<Record<number, number>> = { 0: S.S_CR0, 2: S.S_CR2, 3: S.S_CR3, 4: S.S_CR4, 8: S.S_CR8 }

/** Works out the plan of an operand. */
export function registerPlan({ kind, size, register }: OperandSpec): RegisterPlan {
  const general = (from: number): RegisterPlan => ({ ...NOTHING, from, at: S.S_GPR, bytes: 8, isByte: size === 1 })
  switch (kind) {
    case OperandKind.REG:
      return general(FROM_REG)
    case OperandKind.RM:
      return general(FROM_RM_OR_MEMORY)
    case OperandKind.RM_REG:
      return general(FROM_RM)
    case OperandKind.OPCODE_REG:
      return general(FROM_OPCODE)
    case OperandKind.VVVV_REG:
      return general(FROM_VVVV)
    case OperandKind.FIXED_REG: {
      const isHigh = register >= REGISTER_HIGH_BYTE
      return { ...NOTHING, at: isHigh ? S.S_GPR + 8 * (register - REGISTER_HIGH_BYTE - 4) + 1 : S.S_GPR + 8 * register }
    }
    case OperandKind.SEGMENT_REG:
      return SEGMENT
    case OperandKind.FIXED_SEGMENT:
      return { ...NOTHING, at: S.S_SEGMENTS + S.SEG_BYTES * register }
    case OperandKind.CONTROL_REG:
      return { ...NOTHING, from: FROM_REG, isControl: true }
    case OperandKind.DEBUG_REG:
      return { ...NOTHING, from: FROM_REG, at: S.S_DR, bytes: 8 }
    case OperandKind.MMX_REG:
      return MMX
    case OperandKind.MMX_RM:
      return { ...MMX, from: FROM_RM_OR_MEMORY }
    case OperandKind.MMX_RM_REG:
      return { ...MMX, from: FROM_RM }
    case OperandKind.XMM_REG:
      return VECTOR
    case OperandKind.XMM_RM:
      return { ...VECTOR, from: FROM_RM_OR_MEMORY }
    case OperandKind.XMM_RM_REG:
      return { ...VECTOR, from: FROM_RM }
    case OperandKind.XMM_VVVV:
      return { ...VECTOR, from: FROM_VVVV }
    case OperandKind.XMM_IS4:
      return { ...VECTOR, from: FROM_IMMEDIATE }
    case OperandKind.XMM_FIXED:
      return { ...NOTHING, at: S.S_XMM + 64 * register }
    case OperandKind.MASK_REG:
      return MASK
    case OperandKind.MASK_RM:
      return { ...MASK, from: FROM_RM_OR_MEMORY }
    case OperandKind.MASK_RM_REG:
      return { ...MASK, from: FROM_RM }
    case OperandKind.MASK_VVVV:
      return { ...MASK, from: FROM_VVVV }
    case OperandKind.TILE_REG:
      return TILE
    case OperandKind.TILE_RM_REG:
      return { ...TILE, from: FROM_RM }
    case OperandKind.TILE_VVVV:
      return { ...TILE, from: FROM_VVVV }
    case OperandKind.VSIB:
      return { ...VECTOR, from: FROM_INDEX }
    case OperandKind.DFV:
      return { ...NOTHING, from: FROM_SECOND_IMMEDIATE, at: 16, bytes: 1 }
    default:
      return NOTHING
  }
}

/** State offset of the register that an operand names; 0 for memory and immediates. */
export function registerOffset(insn: Instruction, plan: RegisterPlan): number {
  const { from, at } = plan
  if (from === FROM_NOTHING) return at
  if (from === FROM_RM_OR_MEMORY && insn.isMemory !== 0) return 0
  const number = numberOf(insn, from)
  if (plan.isControl) return CONTROL_OFFSETS[number] ?? S.S_CR0
  // Only prefixes lead to numbers above 7.
  const isHigh = plan.isByte && number >= 4 && (insn.prefixes & (PREFIX_REX | PREFIX_EVEX)) === 0
  if (isHigh) return at + 8 * (number - 4) + 1
  return at === S.S_GPR ? S.generalOffset(number) : at + plan.bytes * number
}

function numberOf(insn: Instruction, from: number): number {
  switch (from) {
    case FROM_REG:
      return insn.reg
    case FROM_OPCODE:
      return insn.opcodeReg
    case FROM_VVVV:
      return insn.vvvv
    case FROM_IMMEDIATE:
      return (insn.immLo >> 4) & (insn.mode === 64 ? 15 : 7)
    case FROM_INDEX:
      return insn.index
    case FROM_SECOND_IMMEDIATE:
      return insn.imm2
    default:
      return insn.rm
  }
}
