/** Operands of a decoded instruction, as numbers. */
import type { CodeInfo } from './code-info.ts'
import { codeInfo } from './codes.ts'
import type { Instruction } from './instruction.ts'
import {
  OperandKind,
  type OperandPlace,
  PREFIX_EVEX,
  PREFIX_REX,
  REGISTER_HIGH_BYTE,
  REGISTER_KINDS,
  REGISTER_RIP,
} from './kinds.ts'

/** Byte registers 4 to 7 are AH to BH unless a REX, REX2 or EVEX prefix makes them SPL to DIL. */
function byteRegister(insn: Instruction, register: number): number {
  return register >= 4 && register < 8 && (insn.prefixes & (PREFIX_REX | PREFIX_EVEX)) === 0
    ? register | REGISTER_HIGH_BYTE
    : register
}

/**
 * The register that operand `i` is.
 *
 * @returns its number within its class (general, segment, control, debug, MMX, vector, x87); AH, CH, DH, BH are
 *   `REGISTER_AH` to `REGISTER_BH`; -1 if the operand is not a register (memory, immediate) or does not exist
 */
export function operandRegister(insn: Instruction, i: number): number {
  const operand = codeInfo(insn.code).operands[i]
  if (operand === undefined) return -1
  const found = REGISTER_KINDS[operand.kind]
  if (found === undefined) return -1
  const number = registerAt(insn, found[1], operand.register)
  const isByte = operand.size === 1 && found[0] === 'general' && found[1] !== 'fixed'
  return isByte ? byteRegister(insn, number) : number
}

function registerAt(insn: Instruction, place: OperandPlace, fixed: number): number {
  switch (place) {
    case 'reg':
      return insn.reg
    case 'rm':
      return insn.isMemory === 0 ? insn.rm : -1
    case 'rm-register':
      return insn.rm
    case 'opcode':
      return insn.opcodeReg
    case 'vvvv':
      return insn.vvvv
    case 'is4':
      return (insn.immLo >> 4) & (insn.mode === 64 ? 15 : 7)
    case 'fixed':
      return fixed
    default:
      return -1
  }
}

/** Whether operand `i` is in memory. */
export function operandIsMemory(insn: Instruction, i: number): boolean {
  const kind = codeInfo(insn.code).operands[i]?.kind
  switch (kind) {
    case undefined:
      return false
    case OperandKind.MEM:
    case OperandKind.VSIB:
    case OperandKind.MOFFS:
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
    case OperandKind.XLAT:
      return true
    default:
      return REGISTER_KINDS[kind]?.[1] === 'rm' && insn.isMemory !== 0
  }
}

/** The signed number that two words are. */
export function bigintOf(lo: number, hi: number): bigint {
  return hi === lo >> 31 ? BigInt(lo) : (BigInt(hi) << 32n) | BigInt(lo >>> 0)
}

/** Bits that a branch's target is cut to. XBEGIN's fallback address is not cut to 16. */
export function targetBits(insn: Instruction, { flow, operands }: CodeInfo): number {
  if (operands[0]?.kind === OperandKind.ABS64) return 64
  return flow === 'transaction' ? Math.max(insn.mode, 32) : insn.operandSize
}

/**
 * The offset in its code segment (EIP, RIP) that a relative branch goes to.
 *
 * @param insn - a branch with a `REL` operand, or JMPABS
 * @param address - offset of the instruction's first byte in its code segment
 * @returns the target, cut to the operand size; XBEGIN's fallback address, which is not cut to 16 bits
 */
export function branchTarget(insn: Instruction, address: bigint): bigint {
  const info = codeInfo(insn.code)
  const displacement = bigintOf(insn.immLo, insn.immHi)
  const isAbsolute = info.operands[0]?.kind === OperandKind.ABS64
  return BigInt.asUintN(
    targetBits(insn, info),
    isAbsolute ? displacement : address + BigInt(insn.length) + displacement,
  )
}

/**
 * The address of a memory operand that the instruction alone determines: RIP-relative or absolute.
 *
 * @param address - offset of the instruction's first byte in its code segment
 */
export function memoryAddress(insn: Instruction, address: bigint): bigint {
  const displacement = bigintOf(insn.dispLo, insn.dispHi)
  const isRelative = insn.base === REGISTER_RIP
  return BigInt.asUintN(insn.addressSize, isRelative ? address + BigInt(insn.length) + displacement : displacement)
}

/** Low word of the immediate that an operand of `kind` is, signed. */
export function immediateLow(insn: Instruction, kind: OperandKind): number {
  switch (kind) {
    case OperandKind.ONE:
      return 1
    case OperandKind.IMM4:
      return insn.immLo & 15
    case OperandKind.IMM8_SECOND:
    case OperandKind.DFV:
      return insn.imm2
    default:
      return insn.immLo
  }
}

/** High word of the immediate that an operand of `kind` is, signed. */
export function immediateHigh(insn: Instruction, kind: OperandKind): number {
  switch (kind) {
    case OperandKind.ONE:
    case OperandKind.IMM4:
    case OperandKind.IMM8_SECOND:
    case OperandKind.DFV:
      return 0
    default:
      return insn.immHi
  }
}

/** Whether the form sign-extends an immediate of `kind`, which is then shown with a sign. */
export function immediateIsSigned(kind: OperandKind): boolean {
  return kind === OperandKind.IMM8_SX || kind === OperandKind.IMM32_SX
}
