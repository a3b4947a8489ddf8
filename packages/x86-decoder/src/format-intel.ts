/** Intel syntax, as GNU as reads it with `.intel_syntax noprefix`. */
import { codes, type CodeInfo } from './codes.ts'
import { operandsOf, type DecodedInstruction, type MemoryOperand, type Operand } from './decode.ts'
import { Instruction } from './instruction.ts'
import { OperandKind, PREFIX_ADDRESS_SIZE, PREFIX_LOCK, PREFIX_REP, PREFIX_REPNE_LAST } from './kinds.ts'
import { segmentRegisterName } from './registers.ts'

/** How to print. */
export interface FormatOptions {
  /** Offset of the first byte in its code segment; taken from a `DecodedInstruction` unless given. */
  readonly address?: bigint
  /** Name of an address, as `symbol` or `symbol+0x10`, or undefined if it has none. */
  readonly symbols?: (address: bigint) => string | undefined
}

const SIZE_NAMES: Readonly<Record<number, string>> = {
  1: 'byte ptr ',
  2: 'word ptr ',
  4: 'dword ptr ',
  6: 'fword ptr ',
  8: 'qword ptr ',
  10: 'tbyte ptr ',
  16: 'xmmword ptr ',
  32: 'ymmword ptr ',
}

/** Mnemonics that assemblers spell differently. */
const SPELLINGS: Readonly<Record<string, string>> = {
  INVALID: '(bad)',
  CALLF: 'call',
  JMPF: 'jmp',
  PUSHF: 'pushfw',
  POPF: 'popfw',
  PUSHA: 'pushaw',
  POPA: 'popaw',
  IRET: 'iretw',
}

function hex(value: bigint): string {
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`
}

/** Memory whose size the mnemonic or the other operand says, so that no keyword stands before it. */
function sizeKeyword(info: CodeInfo, operand: MemoryOperand): string {
  switch (info.mnemonic) {
    case 'LEA':
    case 'LGDT':
    case 'LIDT':
    case 'SGDT':
    case 'SIDT':
    case 'BOUND':
    case 'CLFLUSH':
    case 'CLFLUSHOPT':
    case 'CLWB':
      return ''
    case 'CALLF':
    case 'JMPF':
      // A 32-bit far pointer has the size of a near one.
      return operand.size === 4 ? 'far dword ptr ' : (SIZE_NAMES[operand.size] ?? '')
    default:
      return SIZE_NAMES[operand.size] ?? ''
  }
}

function formatMemory(insn: Instruction, info: CodeInfo, operand: MemoryOperand, options: FormatOptions): string {
  const { base, index, scale, displacement, address } = operand
  const isDestination = operand.segment === 'es' && base !== undefined && info.repeat !== 'none'
  const explicit =
    isDestination || (insn.segmentOverride >= 0 && segmentRegisterName(insn.segmentOverride) === operand.segment)
  let text = ''
  if (address !== undefined) {
    const symbol = options.symbols?.(address)
    if (symbol !== undefined) text = base === undefined ? symbol : `${base}+${symbol}`
    else if (base === undefined) text = hex(BigInt.asUintN(insn.addressSize, displacement))
  }
  if (text === '') {
    text = base ?? ''
    if (index !== undefined) {
      text += `${text === '' ? '' : '+'}${index}`
      // 16-bit addressing has no scale. Elsewhere it is always there, so that base and index cannot be confused.
      if (insn.addressSize !== 16) text += `*${scale}`
    }
    if (insn.dispSize !== 0) {
      text += displacement < 0n ? hex(displacement) : `+${hex(displacement)}`
    }
  }
  const prefix = explicit || (base === undefined && index === undefined) ? `${operand.segment}:` : ''
  return `${sizeKeyword(info, operand)}${prefix}[${text}]`
}

function formatOperand(insn: Instruction, info: CodeInfo, operand: Operand, options: FormatOptions): string {
  switch (operand.kind) {
    case 'register':
      return operand.name
    case 'memory':
      return formatMemory(insn, info, operand, options)
    case 'branch':
      return options.symbols?.(operand.target) ?? hex(operand.target)
    case 'far-pointer':
      return `0x${operand.selector.toString(16)}:0x${operand.offset.toString(16)}`
    default:
      return hex(operand.value)
  }
}

/** Features whose instructions came to AVX-512 first. */
const SHARED_WITH_EVEX: ReadonlySet<string> = new Set(['AVX_VNNI', 'AVX_IFMA', 'AVX_NE_CONVERT'])

/** Prefixes that are worth a word: those that change what the instruction does, or hint at it. */
function prefixText(insn: Instruction, info: CodeInfo): string {
  let text = ''
  const { prefixes } = insn
  const repne = (prefixes & PREFIX_REPNE_LAST) !== 0
  const rep = !repne && (prefixes & PREFIX_REP) !== 0
  const mandatory = info.prefix === 'F2' || info.prefix === 'F3'
  const memory = insn.isMemory !== 0
  if (!mandatory && (rep || repne)) {
    if (info.repeat === 'rep') text += repne ? 'repne ' : 'rep '
    else if (info.repeat === 'repe') text += repne ? 'repne ' : 'repe '
    else if (memory && ((prefixes & PREFIX_LOCK) !== 0 || info.mnemonic === 'XCHG') && info.lockable) {
      text += repne ? 'xacquire ' : 'xrelease '
    } else if (
      repne &&
      (info.flow === 'branch' || info.flow.endsWith('jump') || info.flow.endsWith('call') || info.mnemonic === 'RET')
    ) {
      text += 'bnd '
    }
  }
  if (insn.segmentOverride === 3 && info.flow.startsWith('indirect')) text = `notrack ${text}`
  // AVX-512 has instructions of the same names, which assemblers prefer.
  if (info.encoding === 'vex' && SHARED_WITH_EVEX.has(info.feature)) text += '{vex} '
  // Before MOV CR0 it is part of CR8's encoding.
  if ((prefixes & PREFIX_LOCK) !== 0 && info.lockable) text += 'lock '
  return text
}

/**
 * Prints an instruction in Intel syntax: `lock add dword ptr [rbx+rcx*4+0x10], eax`. Numbers are hexadecimal; what the form
 * sign-extends is printed with its sign.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function formatIntel(target: DecodedInstruction | Instruction, options: FormatOptions = {}): string {
  const insn = target instanceof Instruction ? target : target.instruction
  const info = codes[insn.code] as CodeInfo
  const spelling = SPELLINGS[info.mnemonic] ?? info.mnemonic.toLowerCase()
  if (insn.code === 0) return spelling
  const address = options.address ?? (target instanceof Instruction ? 0n : target.address)
  const operands = operandsOf(insn, address)
  let name = prefixText(insn, info) + spelling
  if (
    info.operands.some(
      ({ kind }) => kind === OperandKind.IMM64 || (kind === OperandKind.MOFFS && insn.addressSize === 64),
    )
  ) {
    name = name.replace('mov', 'movabs')
  }
  if ((insn.prefixes & PREFIX_ADDRESS_SIZE) !== 0 && info.mnemonic.startsWith('LOOP')) {
    // The counter's size shows nowhere else.
    name = `addr${insn.addressSize} ${name}`
  }
  // The manual writes FCOM ST(i): the table has ST(0) too.
  if (operands.length === 2 && (info.mnemonic === 'FCOM' || info.mnemonic === 'FCOMP')) operands.shift()
  if (operands.length === 0) return name
  return `${name} ${operands.map((operand) => formatOperand(insn, info, operand, options)).join(', ')}`
}
