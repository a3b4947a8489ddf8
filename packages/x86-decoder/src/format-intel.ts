/** Intel syntax, as GNU as reads it with `.intel_syntax noprefix`. */
import type { CodeInfo } from './code-info.ts'
import type { DecodedInstruction, MemoryOperand, Operand } from './decode.ts'
import {
  absoluteField,
  displacementField,
  farOffsetField,
  immediateFields,
  memorySymbol,
  selectorField,
  targetField,
} from './fields.ts'
import type { FormatOptions, Token, Field, LineWriter } from './line-writer.ts'
import {
  commonOf,
  hasHiddenAddressSize,
  hasSegmentPrefix,
  hiddenOperandSize,
  nameOf,
  prefixWords,
  writeDecorations,
  writeOperands,
  writeSum,
  writingIn,
  writtenOperands,
} from './format-words.ts'
import type { Instruction } from './instruction.ts'
import { OperandKind } from './kinds.ts'
import { Syntax } from './line-cache.ts'
import { intelWriting } from './table/writing.ts'

const writingOf = /*#__PURE__*/ writingIn(intelWriting)

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

/** Returns the keywords before a memory operand; empty if the mnemonic implies the size. */
function sizeKeywords(info: CodeInfo, operand: MemoryOperand): readonly string[] {
  const name = SIZE_NAMES[operand.size]
  if (name === undefined) return []
  const writing = writingOf(info)
  if (writing.has('plain')) return []
  // A 32-bit far pointer has the size of a near one.
  return commonOf(info).has('far') && operand.size === 4 ? ['far', name, 'ptr'] : [name, 'ptr']
}

/** The text after RIP: a symbol, or the displacement. */
export const relativeFieldIntel: Field = (out) => {
  const symbol = out.options.symbols === undefined ? undefined : memorySymbol(out)
  if (symbol === undefined) displacementField(out)
  else {
    out.sign('+')
    out.add('symbol', symbol)
  }
}

function writeAddress(out: LineWriter, operand: MemoryOperand): void {
  const { base, address } = operand
  if (address !== undefined) {
    if (base === undefined) out.field(absoluteField)
    else {
      out.word('register', base)
      out.field(relativeFieldIntel)
    }
    return
  }
  writeSum(out, operand)
}

function writeMemory(out: LineWriter, operand: MemoryOperand): void {
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

function writeOperand(out: LineWriter, operand: Operand, position: number): void {
  switch (operand.kind) {
    case 'register':
      out.word('register', operand.name)
      break
    case 'memory':
      writeMemory(out, operand)
      break
    case 'branch':
      out.field(targetField)
      break
    case 'far-pointer':
      out.field(selectorField)
      out.punctuation(':')
      out.field(farOffsetField)
      break
    default:
      out.field(immediateFields[position]!)
  }
}

/** The mnemonic, with the letters that name the long forms of MOV. */
function spelling({ insn, info }: LineWriter): string {
  const isLong =
    info.mnemonic === 'MOV' &&
    info.operands.some(
      ({ kind }) => kind === OperandKind.IMM64 || (kind === OperandKind.MOFFS && insn.addressSize === 64),
    )
  return isLong ? 'movabs' : nameOf(info, writingOf(info))
}

/** Writes the line of an instruction. */
export function writeIntel(out: LineWriter): void {
  // The counter's size shows nowhere else.
  if (hasHiddenAddressSize(out)) out.wordAndBlank('prefix', `addr${out.insn.addressSize}`)
  if (out.insn.code !== 0) for (const word of prefixWords(out)) out.wordAndBlank('prefix', word)
  const operandSize = hiddenOperandSize(out)
  if (operandSize !== 0) out.wordAndBlank('prefix', operandSize === 64 ? 'rex.w' : `data${operandSize}`)
  out.word('mnemonic', spelling(out))
  writeOperands(out, writtenOperands(out), (operand, position, rounding) => {
    writeOperand(out, operand, position)
    writeDecorations(out, operand, position, '')
    if (rounding !== undefined) out.word('keyword', rounding)
  })
}

const intel: Syntax = /*#__PURE__*/ new Syntax(writeIntel)

/**
 * Returns the tokens of an instruction in Intel syntax: the pieces of what `formatIntel` prints.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function tokensIntel(target: DecodedInstruction | Instruction, options: FormatOptions = {}): readonly Token[] {
  return intel.tokens(target, options)
}

/**
 * Prints an instruction in Intel syntax: `lock add dword ptr [rbx+rcx*4+0x10], eax`.
 *
 * Numbers are hexadecimal; what the form sign-extends is printed with its sign.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function formatIntel(target: DecodedInstruction | Instruction, options: FormatOptions = {}): string {
  return intel.text(target, options)
}
