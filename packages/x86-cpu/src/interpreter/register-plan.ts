import {
  OperandKind,
  PREFIX_EVEX,
  PREFIX_REX,
  REGISTER_HIGH_BYTE,
  REGISTER_KINDS,
  type Instruction,
  type OperandClass,
  type OperandPlace,
  type OperandSpec,
} from '@retrap/x86-decoder'
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

const SOURCES: Readonly<Record<OperandPlace, number>> = {
  reg: FROM_REG,
  rm: FROM_RM_OR_MEMORY,
  'rm-register': FROM_RM,
  opcode: FROM_OPCODE,
  vvvv: FROM_VVVV,
  is4: FROM_IMMEDIATE,
  index: FROM_INDEX,
  fixed: FROM_NOTHING,
}

/** State offset of register 0 of a class, and bytes to the next register. Operands of other classes have no offset. */
const CLASSES: { readonly [Class in OperandClass]?: readonly [at: number, bytes: number] } = {
  general: [S.S_GPR, 8],
  segment: [S.S_SEGMENTS, S.SEG_BYTES],
  control: [0, 0],
  debug: [S.S_DR, 8],
  mmx: [S.S_FPR, 16],
  vector: [S.S_XMM, 64],
  mask: [S.S_OPMASK, 8],
  tile: [S.S_TMM, 1024],
}

/** Works out the plan of an operand. */
export function registerPlan({ kind, size, register }: OperandSpec): RegisterPlan {
  const [registerClass, place = 'fixed'] = REGISTER_KINDS[kind] ?? []
  const first = registerClass === undefined ? undefined : CLASSES[registerClass]
  if (first === undefined) {
    const [from, at, bytes] = kind === OperandKind.DFV ? [FROM_SECOND_IMMEDIATE, 16, 1] : [FROM_NOTHING, 0, 0]
    return { from, at, bytes, isByte: false, isControl: false }
  }
  const isHigh = place === 'fixed' && register >= REGISTER_HIGH_BYTE
  const number = place !== 'fixed' ? 0 : isHigh ? register - REGISTER_HIGH_BYTE - 4 : register
  const at = first[0] + first[1] * number + (isHigh ? 1 : 0)
  const isByte = at === S.S_GPR && size === 1
  return { from: SOURCES[place], at, bytes: first[1], isByte, isControl: registerClass === 'control' }
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
