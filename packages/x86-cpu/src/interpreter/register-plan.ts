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

const CONTROL_OFFSETS: Readonly<Record<number, number>> = { 0: S.S_CR0, 2: S.S_CR2, 3: S.S_CR3, 4: S.S_CR4, 8: S.S_CR8 }

/** By kind of operand: where its number comes from, the state offset of register 0, and bytes to the next register. */
const PLACES: readonly (readonly [kind: number, from: number, at: number, bytes: number])[] = [
  [OperandKind.REG, FROM_REG, S.S_GPR, 8],
  [OperandKind.RM, FROM_RM_OR_MEMORY, S.S_GPR, 8],
  [OperandKind.RM_REG, FROM_RM, S.S_GPR, 8],
  [OperandKind.OPCODE_REG, FROM_OPCODE, S.S_GPR, 8],
  [OperandKind.VVVV_REG, FROM_VVVV, S.S_GPR, 8],
  [OperandKind.SEGMENT_REG, FROM_REG, S.S_SEGMENTS, S.SEG_BYTES],
  [OperandKind.CONTROL_REG, FROM_REG, 0, 0],
  [OperandKind.DEBUG_REG, FROM_REG, S.S_DR, 8],
  [OperandKind.MMX_REG, FROM_REG, S.S_FPR, 16],
  [OperandKind.MMX_RM, FROM_RM_OR_MEMORY, S.S_FPR, 16],
  [OperandKind.MMX_RM_REG, FROM_RM, S.S_FPR, 16],
  [OperandKind.XMM_REG, FROM_REG, S.S_XMM, 64],
  [OperandKind.XMM_RM, FROM_RM_OR_MEMORY, S.S_XMM, 64],
  [OperandKind.XMM_RM_REG, FROM_RM, S.S_XMM, 64],
  [OperandKind.XMM_VVVV, FROM_VVVV, S.S_XMM, 64],
  [OperandKind.XMM_IS4, FROM_IMMEDIATE, S.S_XMM, 64],
  [OperandKind.VSIB, FROM_INDEX, S.S_XMM, 64],
  [OperandKind.MASK_REG, FROM_REG, S.S_OPMASK, 8],
  [OperandKind.MASK_RM, FROM_RM_OR_MEMORY, S.S_OPMASK, 8],
  [OperandKind.MASK_RM_REG, FROM_RM, S.S_OPMASK, 8],
  [OperandKind.MASK_VVVV, FROM_VVVV, S.S_OPMASK, 8],
  [OperandKind.TILE_REG, FROM_REG, S.S_TMM, 1024],
  [OperandKind.TILE_RM_REG, FROM_RM, S.S_TMM, 1024],
  [OperandKind.TILE_VVVV, FROM_VVVV, S.S_TMM, 1024],
  [OperandKind.DFV, FROM_SECOND_IMMEDIATE, 16, 1],
]

/** Works out the plan of an operand. */
export function registerPlan({ kind, size, register }: OperandSpec): RegisterPlan {
  const [, from = FROM_NOTHING, at = fixedOffset(kind, register), bytes = 0] = PLACES.find(([of]) => of === kind) ?? []
  return { from, at, bytes, isByte: at === S.S_GPR && size === 1, isControl: kind === OperandKind.CONTROL_REG }
}

/** State offset of a register that the operand itself names; 0 for memory and immediates. */
function fixedOffset(kind: number, register: number): number {
  if (kind === OperandKind.FIXED_SEGMENT) return S.S_SEGMENTS + S.SEG_BYTES * register
  if (kind === OperandKind.XMM_FIXED) return S.S_XMM + 64 * register
  if (kind !== OperandKind.FIXED_REG) return 0
  return register >= REGISTER_HIGH_BYTE ? S.S_GPR + 8 * (register - REGISTER_HIGH_BYTE - 4) + 1 : S.S_GPR + 8 * register
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
