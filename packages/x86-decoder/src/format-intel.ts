/** Intel syntax, as GNU as reads it with `.intel_syntax noprefix`. */
import type { CodeInfo } from './codes.ts'
import type { DecodedInstruction, MemoryOperand, Operand } from './decode.ts'
import {
  hasHiddenAddressSize,
  hasSegmentPrefix,
  hiddenOperandSize,
  lowerCaseMnemonic,
  prefixWords,
  roundedOperand,
  roundingWord,
  TokenWriter,
  writeDecorations,
  writeDefaultFlags,
  type FormatOptions,
  type Token,
} from './format-tokens.ts'
import type { Instruction } from './instruction.ts'
import { OperandKind } from './kinds.ts'

const SIZE_NAMES: Readonly<Record<number, string>> = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  6: 'fword',
  8: 'qword',
  10: 'tbyte',
  16: 'xmmword',
  32: 'ymmword',
  64: 'zmmword',
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

/** The keywords before a memory operand; none where the mnemonic says its size. */
function sizeKeywords(info: CodeInfo, operand: MemoryOperand): readonly string[] {
  const name = SIZE_NAMES[operand.size]
  if (name === undefined) return []
  switch (info.mnemonic) {
    case 'LEA':
    case 'LGDT':
    case 'LIDT':
    case 'SGDT':
    case 'SIDT':
    case 'BOUND':
    case 'BNDMOV':
    case 'BNDMK':
    case 'CLFLUSH':
    case 'CLFLUSHOPT':
    case 'CLWB':
    case 'LDTILECFG':
    case 'STTILECFG':
      return []
    case 'CALLF':
    case 'JMPF':
      // A 32-bit far pointer has the size of a near one.
      return operand.size === 4 ? ['far', name, 'ptr'] : [name, 'ptr']
    default:
      return [name, 'ptr']
  }
}

function writeAddress(out: TokenWriter, operand: MemoryOperand): void {
  const { base, index, scale, displacement, address } = operand
  const { insn } = out
  const symbol = address === undefined ? undefined : out.options.symbols?.(address)
  if (base !== undefined) out.word('register', base)
  if (symbol !== undefined) {
    if (base !== undefined) out.sign('+')
    out.add('symbol', symbol)
    return
  }
  if (address !== undefined && base === undefined) {
    out.number(BigInt.asUintN(insn.addressSize, displacement), 'address')
    return
  }
  if (index !== undefined) {
    if (base !== undefined) out.sign('+')
    out.word('register', index)
    // 16-bit addressing has no scale. Elsewhere it is always there, so that base and index cannot be confused.
    if (insn.addressSize !== 16) {
      out.punctuation('*')
      out.add('number', String(scale))
    }
  }
  if (insn.dispSize !== 0) out.displacement(displacement)
}

function writeMemory(out: TokenWriter, operand: MemoryOperand): void {
  for (const word of sizeKeywords(out.info, operand)) out.wordAndBlank('keyword', word)
  const { base, index, segment } = operand
  const isDestination = segment === 'es' && base !== undefined && out.info.repeat !== 'none'
  if (isDestination || hasSegmentPrefix(out, operand) || (base === undefined && index === undefined)) {
    out.word('register', segment)
    out.punctuation(':')
  }
  out.punctuation('[')
  writeAddress(out, operand)
  out.punctuation(']')
}

function writeOperand(out: TokenWriter, operand: Operand): void {
  switch (operand.kind) {
    case 'register':
      out.word('register', operand.name)
      break
    case 'memory':
      writeMemory(out, operand)
      break
    case 'branch':
      out.target(operand.target)
      break
    case 'far-pointer':
      out.number(BigInt(operand.selector))
      out.punctuation(':')
      out.number(BigInt(operand.offset), 'address')
      break
    default:
      out.number(operand.value)
  }
}

/** The mnemonic, with the letters that name the long forms of MOV. */
function spelling({ insn, info }: TokenWriter): string {
  const isLong =
    info.mnemonic === 'MOV' &&
    info.operands.some(
      ({ kind }) => kind === OperandKind.IMM64 || (kind === OperandKind.MOFFS && insn.addressSize === 64),
    )
  return isLong ? 'movabs' : (SPELLINGS[info.mnemonic] ?? lowerCaseMnemonic(info))
}

function writeIntel(out: TokenWriter): void {
  // The counter's size shows nowhere else.
  if (hasHiddenAddressSize(out)) out.wordAndBlank('prefix', `addr${out.insn.addressSize}`)
  if (out.insn.code !== 0) for (const word of prefixWords(out)) out.wordAndBlank('prefix', word)
  const operandSize = hiddenOperandSize(out)
  if (operandSize !== 0) out.wordAndBlank('prefix', operandSize === 64 ? 'rex.w' : `data${operandSize}`)
  out.word('mnemonic', spelling(out))
  const { operands, info } = out
  // The manual writes FCOM ST(i): the table has ST(0) too.
  writeDefaultFlags(out)
  const isShort = operands.length === 2 && (info.mnemonic === 'FCOM' || info.mnemonic === 'FCOMP')
  const first = isShort || info.condition >= 0 ? 1 : 0
  const rounding = roundingWord(out)
  const rounded = roundedOperand(out)
  for (let i = first; i < operands.length; i++) {
    if (i === first) out.operandGap()
    else out.comma()
    const operand = operands[i] as Operand
    writeOperand(out, operand)
    writeDecorations(out, operand, i, '')
    if (rounding !== undefined && i === rounded) out.word('keyword', rounding)
  }
}

/**
 * The tokens of an instruction in Intel syntax: what `formatIntel` prints, in pieces that a tool can colour or link.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function tokensIntel(target: DecodedInstruction | Instruction, options: FormatOptions = {}): readonly Token[] {
  const tokens: Token[] = []
  writeIntel(new TokenWriter(target, options, tokens))
  return tokens
}

/**
 * Prints an instruction in Intel syntax: `lock add dword ptr [rbx+rcx*4+0x10], eax`. Numbers are hexadecimal; what the form
 * sign-extends is printed with its sign.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function formatIntel(target: DecodedInstruction | Instruction, options: FormatOptions = {}): string {
  const out = new TokenWriter(target, options)
  writeIntel(out)
  return out.text
}
