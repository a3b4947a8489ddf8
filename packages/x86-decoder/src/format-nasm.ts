/** The syntax of NASM, the Netwide Assembler. */
import type { DecodedInstruction, MemoryOperand, Operand } from './decode.ts'
import * as fields from './fields.ts'
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
import { OperandKind, PREFIX_ADDRESS_SIZE } from './kinds.ts'
import { Syntax } from './line-cache.ts'
import { intelWriting, nasmWriting } from './table/writing.ts'
import { segmentRegisterName } from './registers.ts'

const writingOf = /*#__PURE__*/ writingIn(intelWriting, nasmWriting)

const SIZE_NAMES: Readonly<Record<number, string>> = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  8: 'qword',
  10: 'tword',
  16: 'oword',
  32: 'yword',
  64: 'zword',
}
const BITS_NAMES: Readonly<Record<number, string>> = { 8: 'byte', 16: 'word', 32: 'dword', 64: 'qword' }

function isString({ info }: LineWriter): boolean {
  return info.repeat !== 'none' || info.mnemonic === 'XLATB'
}

function writeSize(out: LineWriter, operand: MemoryOperand): void {
  const { info, insn } = out
  const writing = writingOf(info)
  if (commonOf(info).has('far')) {
    out.wordAndBlank('keyword', BITS_NAMES[insn.operandSize]!)
    out.wordAndBlank('keyword', 'far')
    return
  }
  const name = SIZE_NAMES[operand.size]
  if (name !== undefined && !writing.has('bare') && (!writing.has('plain') || writing.has('sized')))
    out.wordAndBlank('keyword', name)
}

/** A symbol, or the distance from the instruction's start. */
export const relativeFieldNasm: Field = (out) => {
  const symbol = out.options.symbols === undefined ? undefined : fields.memorySymbol(out)
  if (symbol !== undefined) {
    out.add('symbol', symbol)
    return
  }
  // REL makes an absolute operand of a plain number; $ is where the instruction starts.
  out.punctuation('$')
  const distance = out.insn.dispLo + out.insn.length
  out.displacement(distance | 0, distance < 0 ? -1 : 0)
}

function writeMemory(out: LineWriter, operand: MemoryOperand): void {
  const { base, index, scale, address } = operand
  const { insn } = out
  writeSize(out, operand)
  out.punctuation('[')
  const isRelative = base === 'rip' || base === 'eip'
  if (address !== undefined) {
    // If no register shows the address size, a keyword before the address does.
    if ((insn.mode !== 64 && insn.addressSize !== insn.mode) || insn.dispSize === 8) {
      out.wordAndBlank('keyword', BITS_NAMES[insn.addressSize]!)
    }
    if (isRelative) out.wordAndBlank('keyword', 'rel')
  }
  // NASM would make a base of it, and with that SS the segment.
  if (base === undefined && index === 'ebp' && scale <= 2) out.wordAndBlank('keyword', 'nosplit')
  if (hasSegmentPrefix(out, operand)) {
    out.word('register', operand.segment)
    out.punctuation(':')
  }
  if (isRelative) out.field(relativeFieldNasm)
  else if (address !== undefined) out.field(fields.absoluteField)
  else writeSum(out, operand)
  out.punctuation(']')
}

/** Writes a keyword before a target or an immediate of unusual size. */
function writeOperandSize(out: LineWriter): void {
  const bits = hiddenOperandSize(out)
  if (bits !== 0) out.wordAndBlank('keyword', BITS_NAMES[bits]!)
}

/** A 64-bit immediate. Without the keywords a number that fits in 32 bits would make the shorter form. */
const longImmediateField: Field = (out) => {
  const { insn } = out
  if (insn.immHi === insn.immLo >> 31) {
    out.wordAndBlank('keyword', 'strict')
    out.wordAndBlank('keyword', 'qword')
  }
  out.words(insn.immLo, insn.immHi)
}

function writeImmediate(out: LineWriter, position: number): void {
  const { info } = out
  if (info.operands[position]!.kind === OperandKind.IMM64) {
    out.field(longImmediateField)
    return
  }
  if (info.mnemonic === 'PUSH') writeOperandSize(out)
  out.field(fields.immediateFields[position]!)
}

/** NASM does not always find the shortest displacement to a plain number. */
function writeDistance(out: LineWriter, size: number): void {
  const { info } = out
  // LOOP and JCXZ have 8-bit displacements alone, and no keyword before the target.
  if (commonOf(out.info).has('counter') || info.flow === 'transaction') return
  if (size === 1) out.wordAndBlank('keyword', 'short')
  else if (info.flow === 'branch' && hiddenOperandSize(out) !== 0) out.wordAndBlank('keyword', 'near')
  if (size !== 1) writeOperandSize(out)
}

function writeOperand(out: LineWriter, operand: Operand, position: number): void {
  switch (operand.kind) {
    case 'register':
      // st(1) is st1 here, and the top is st0.
      out.word('register', operand.name.replace(/^st$/, 'st0').replace(/^st\((\d)\)$/, 'st$1'))
      break
    case 'memory':
      writeMemory(out, operand)
      break
    case 'branch':
      writeDistance(out, operand.size)
      out.field(fields.targetField)
      break
    case 'far-pointer':
      writeOperandSize(out)
      out.field(fields.selectorField)
      out.punctuation(':')
      out.field(fields.farOffsetField)
      break
    default:
      writeImmediate(out, position)
  }
}

/** Sizes and segments of operands that are not written. */
function writeHiddenPrefixes(out: LineWriter): void {
  const { insn, info, operands } = out
  // In 64-bit mode the size of an address without registers is a prefix too.
  const isAbsolute =
    insn.mode === 64 && operands.some((operand) => operand.kind === 'memory' && operand.address !== undefined)
  const addressSize = (insn.prefixes & PREFIX_ADDRESS_SIZE) !== 0 && (isString(out) || isAbsolute)
  if (addressSize || hasHiddenAddressSize(out)) out.wordAndBlank('prefix', `a${insn.addressSize}`)
  if (isString(out) && insn.segmentOverride >= 0 && insn.segmentOverride === insn.segment) {
    out.wordAndBlank('prefix', segmentRegisterName(insn.segment))
  }
  if (writingOf(info).has('o64')) out.wordAndBlank('prefix', 'o64')
  const operandSize = hiddenOperandSize(out)
  const isOperand =
    operands[0]?.kind === 'branch' || operands[0]?.kind === 'far-pointer' || operands[0]?.kind === 'immediate'
  const isShort = operands[0]?.kind === 'branch' && operands[0].size === 1
  if (operandSize !== 0 && (!isOperand || isShort || commonOf(info).has('hidden'))) {
    out.wordAndBlank('prefix', `o${operandSize}`)
  }
}

/** Writes the line of an instruction. */
export function writeNasm(out: LineWriter): void {
  const { insn, info, operands } = out
  if (insn.code !== 0) {
    for (const word of prefixWords(out)) {
      // There is no word for it but the segment's, which a memory operand may show already.
      if (word !== 'notrack') out.wordAndBlank('prefix', word)
      else if (!operands.some((operand) => operand.kind === 'memory' && hasSegmentPrefix(out, operand))) {
        out.wordAndBlank('prefix', 'ds')
      }
    }
    writeHiddenPrefixes(out)
  }
  out.word('mnemonic', nameOf(info, writingOf(info)))
  if (isString(out)) return
  writeOperands(out, writtenOperands(out), (operand, position, rounding) => {
    writeOperand(out, operand, position)
    writeDecorations(out, operand, position, '')
    if (rounding !== undefined) {
      out.comma()
      out.word('keyword', rounding)
    }
  })
}

const nasm: Syntax = /*#__PURE__*/ new Syntax(writeNasm)

/**
 * Returns the tokens of an instruction in NASM's syntax: the pieces of what `formatNasm` prints.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function tokensNasm(target: DecodedInstruction | Instruction, options: FormatOptions = {}): readonly Token[] {
  return nasm.tokens(target, options)
}

/**
 * Prints an instruction as NASM reads it: `lock add dword [rbx+rcx*4+0x10], eax`.
 *
 * RIP-relative operands are a symbol or `$+0x10` after `rel`; string instructions have no operands.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 */
export function formatNasm(target: DecodedInstruction | Instruction, options: FormatOptions = {}): string {
  return nasm.text(target, options)
}
