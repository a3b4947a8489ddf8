import { Immediate, OperandKind, type CodeInfo } from '@retrap/x86-decoder'
import { isRelative, isStringForm } from './code-forms.ts'
import { OP_SYSTEM } from '../state/record.ts'
import { registerPlan, type RegisterPlan } from './register-plan.ts'
import type { Form } from '../state/form.ts'

/** The code that executes a form: the interpreter's, a TypeScript handler's, or #UD. */
export interface FormCode {
  readonly op: number
  readonly fn: number
}

/** The immediate as it is encoded. */
export const IMMEDIATE_PLAIN = 0
/** The constant 1. */
export const IMMEDIATE_ONE = 1
/** Sign-extended from 8 bits. */
export const IMMEDIATE_BYTE = 2
/** Sign-extended from 16 bits. */
export const IMMEDIATE_WORD = 3
/** As it is encoded, with an upper half of 0: the count of RET. */
export const IMMEDIATE_UNSIGNED = 4
/** Sign-extended from 32 bits. */
export const IMMEDIATE_DOUBLE = 5
/** The second immediate in the upper half. */
export const IMMEDIATE_TWO = 6
/** The state offset of the register that its upper bits name. */
export const IMMEDIATE_REGISTER = 7

/** Immediates of two numbers. */
const TWO_NUMBERS: readonly Immediate[] = [Immediate.U16_U8, Immediate.FAR16, Immediate.FAR32, Immediate.U8_U8]

/** How the record of a form is written, and the code that executes it. */
export interface LoweredForm extends FormCode {
  /** One of the kinds above. */
  readonly immediate: number
  /** Whether the immediate is the number of an x87 register, unless an operand is in memory. */
  readonly isStack: boolean
  /** Whether control never falls through; the bytes that follow are more often data or padding than code. */
  readonly endsRun: boolean
  /** Whether it branches to another page at a fixed distance. */
  readonly isFarBranch: boolean
  /** Whether the record has the fields of EVEX. */
  readonly isEvex: boolean
}

/** Works out how the records of a form are written. */
export function lowerForm(info: CodeInfo, form: Form, { op, fn }: FormCode): LoweredForm {
  return {
    op,
    fn,
    immediate: immediateOf(info, form, op),
    isStack: form.operands.some(({ kind }) => kind === 'st'),
    endsRun: endsRun(info, op),
    isFarBranch: form.operands[0]?.kind === 'rel',
    isEvex: form.evex !== undefined,
  }
}

function endsRun(info: CodeInfo, op: number): boolean {
  switch (info.flow) {
    case 'jump':
    case 'indirect-jump':
    case 'return':
    case 'exception':
      return true
    default:
      return op === OP_SYSTEM && info.mnemonic === 'HLT'
  }
}

function immediateOf(info: CodeInfo, form: Form, op: number): number {
  // A fourth register operand has the place of the immediate that it is encoded in, or that others have.
  if (form.operands[3] !== undefined && form.operands[3].kind !== 'imm') return IMMEDIATE_REGISTER
  const i = form.operands.findIndex(({ kind }) => kind === 'imm')
  const spec = info.operands[i]
  if (spec?.kind === OperandKind.ONE) return IMMEDIATE_ONE
  if (TWO_NUMBERS.includes(info.immediate)) return IMMEDIATE_TWO
  if (spec === undefined || op === OP_SYSTEM) return IMMEDIATE_PLAIN
  switch (form.operands[i]?.size ?? 8) {
    case 1:
      return IMMEDIATE_BYTE
    case 2:
      return form.operands.length > 1 ? IMMEDIATE_WORD : IMMEDIATE_UNSIGNED
    case 4:
      return IMMEDIATE_DOUBLE
    default:
      return IMMEDIATE_PLAIN
  }
}

/** The facts that all forms of a code share, as far as their records depend on them. */
export interface CodePlan {
  readonly info: CodeInfo
  /** Whether the form is a branch to a relative target. */
  readonly isRelative: boolean
  readonly isString: boolean
  /** Whether the index of its address is a vector register. */
  readonly isVsib: boolean
  /** Bytes to add to the displacement: POP computes its operand's address after the stack pointer has moved (SDM vol. 2B, POP). */
  readonly popBytes: number
  readonly isX87: boolean
  /** The registers that the operands name. */
  readonly registers: readonly RegisterPlan[]
  /** Count of the operands whose registers the record names. */
  readonly registerFields: number
  /** Its forms that have been lowered, by what they differ in. */
  readonly forms: (LoweredForm | undefined)[]
}

/** Works out the plan of a code. */
export function codePlan(info: CodeInfo): CodePlan {
  const { operands, map, opcode, mnemonic, operandSize } = info
  return {
    info,
    isRelative: operands[0] !== undefined && isRelative(operands[0].kind),
    isString: isStringForm(info),
    isVsib: operands.some(({ kind }) => kind === OperandKind.VSIB),
    popBytes: mnemonic === 'POP' ? operandSize >> 3 : 0,
    isX87: map === 0 && (opcode & 0xf8) === 0xd8,
    registers: operands.map(registerPlan),
    registerFields: Math.min(operands.length, 3),
    forms: [],
  }
}
