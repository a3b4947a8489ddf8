/** AT&T syntax, as GNU as reads it and `objdump -d` prints it. */
import type { DecodedInstruction, MemoryOperand, Operand } from './decode.ts'
import {
  absoluteField,
  farOffsetField,
  memorySymbol,
  selectorField,
  signedDisplacementField,
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
  writingIn,
  writtenOperands,
} from './format-words.ts'
import type { Instruction } from './instruction.ts'
import { OperandKind } from './kinds.ts'
import { Syntax } from './line-cache.ts'
import { attWriting } from './table/writing.ts'
import { immediateHigh, immediateLow } from './operands.ts'

const writingOf = /*#__PURE__*/ writingIn(attWriting)

const PREFIX_SPELLINGS: Readonly<Record<string, string>> = { repe: 'repz', repne: 'repnz' }

/** A letter by size in bytes: of integers, of x87 numbers, of x87's integers. */
const INTEGER_SUFFIXES: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' }
const FLOAT_SUFFIXES: Readonly<Record<number, string>> = { 4: 's', 8: 'l', 10: 't' }
const X87_INTEGER_SUFFIXES: Readonly<Record<number, string>> = { 2: 's', 4: 'l', 8: 'll' }

const VECTOR_SUFFIXES: Readonly<Record<number, string>> = { 16: 'x', 32: 'y', 64: 'z' }

/** Size of the stack and of near branches where nothing says otherwise. */
function defaultBits({ insn, info }: LineWriter): number {
  return insn.mode === 64 && (info.default64 || info.force64) ? 64 : insn.mode
}

/** The letter that says the size of what is in memory, where no register does. */
function suffix(out: LineWriter): string {
  const { info, insn, operands } = out
  const writing = writingOf(info)
  const memory = operands.find((operand) => operand.kind === 'memory')
  const integer = INTEGER_SUFFIXES[insn.operandSize >> 3] ?? ''
  if (writing.has('stack')) {
    if (operands[0]?.kind === 'branch') return ''
    const isRegister = operands[0]?.kind === 'register' && info.operands[0]?.kind !== OperandKind.FIXED_SEGMENT
    return isRegister || insn.operandSize === defaultBits(out) ? '' : integer
  }
  if (commonOf(info).has('far')) {
    return insn.operandSize === Math.min(insn.mode, 32) ? '' : integer
  }
  // The four have a letter only for the size that is not the usual one.
  if (writing.has('env')) return ['', 's', 'l'][hiddenOperandSize(out) >> 4] ?? ''
  if (commonOf(info).has('hidden')) return hiddenOperandSize(out) === 0 ? '' : integer
  if (info.mnemonic === 'CRC32') return INTEGER_SUFFIXES[info.operands[1]?.size ?? 0] ?? ''
  if (memory === undefined) return ''
  if (writing.has('fp')) return FLOAT_SUFFIXES[memory.size] ?? ''
  if (writing.has('int')) return X87_INTEGER_SUFFIXES[memory.size] ?? ''
  // The register has 16 bytes whatever is converted.
  if (writing.has('narrow')) {
    const isHalf = info.operands[0]?.size === 32
    return memory.broadcast !== 0 || isHalf ? '' : (VECTOR_SUFFIXES[memory.size] ?? '')
  }
  // Conversions of integers have vector registers, and a letter in 64-bit mode alone.
  const isConversion = info.operands[0]?.kind === OperandKind.XMM_REG
  if ((!writing.has('s') && info.condition < 0) || (insn.mode !== 64 && isConversion)) return ''
  const isSized = info.operands.some(
    ({ kind }) =>
      kind === OperandKind.REG ||
      kind === OperandKind.VVVV_REG ||
      kind === OperandKind.SEGMENT_REG ||
      (kind === OperandKind.FIXED_REG && !isShift(out)),
  )
  return isSized ? '' : (INTEGER_SUFFIXES[memory.size] ?? '')
}

/** CL counts, and says nothing of the size. */
function isShift({ info }: LineWriter): boolean {
  return (info.map === 0 || info.map === 4) && (info.opcode === 0xd2 || info.opcode === 0xd3)
}

/** `movzbl` and its like: both sizes are in the name. */
function extension({ info }: LineWriter): string | undefined {
  const stem =
    info.mnemonic === 'MOVZX' ? 'movz' : info.mnemonic === 'MOVSX' || info.mnemonic === 'MOVSXD' ? 'movs' : ''
  const [to, from] = info.operands
  if (stem === '' || to === undefined || from === undefined) return undefined
  if (info.mnemonic === 'MOVSXD' && to.size !== 8) return undefined
  return `${stem}${INTEGER_SUFFIXES[from.memorySize] ?? ''}${INTEGER_SUFFIXES[to.size] ?? ''}`
}

function spelling(out: LineWriter): string {
  const { insn, info, operands } = out
  const { mnemonic } = info
  if (insn.code === 0) return '(bad)'
  const isLong = info.operands.some(
    ({ kind }) => kind === OperandKind.IMM64 || (kind === OperandKind.MOFFS && insn.addressSize === 64),
  )
  if (isLong) return 'movabs'
  const extended = extension(out)
  if (extended !== undefined) return extended
  const first = info.operands[0]?.kind
  const writing = writingOf(info)
  const swapped = writing.get('swap')
  if (first === OperandKind.STI && operands.length === 2 && swapped !== undefined) return swapped
  const name = nameOf(info, writing)
  const bits = writing.has('m16') ? 16 : writing.has('m32') ? 32 : 0
  if (bits !== 0 && insn.mode !== 64) {
    const stem = name.replace(/w$/, '')
    return bits === insn.mode ? stem : stem + (bits === 16 ? 'w' : 'l')
  }
  if (writing.has('l64') && insn.mode === 64) return `${name}l`
  // MOVSD and CMPSD are string instructions and SSE2 instructions.
  if ((mnemonic === 'MOVSD' || mnemonic === 'CMPSD') && info.repeat === 'none') return mnemonic.toLowerCase()
  return name + suffix(out)
}

function writeRegister(out: LineWriter, name: string): void {
  out.punctuation('%')
  out.word('register', name)
}

/** The text before (%rip): a symbol, or the displacement. */
export const relativeFieldAtt: Field = (out) => {
  const symbol = out.options.symbols === undefined ? undefined : memorySymbol(out)
  if (symbol === undefined) signedDisplacementField(out)
  else out.add('symbol', symbol)
}

function writeMemory(out: LineWriter, operand: MemoryOperand): void {
  const { base, index, scale, address, segment } = operand
  const { insn } = out
  if (out.info.repeat !== 'none' || out.info.mnemonic === 'XLATB' || hasSegmentPrefix(out, operand)) {
    writeRegister(out, segment)
    out.punctuation(':')
  }
  if (base === undefined && index === undefined) out.field(absoluteField)
  else if (address !== undefined) out.field(relativeFieldAtt)
  else if (insn.dispSize !== 0) out.field(signedDisplacementField)
  if (base === undefined && index === undefined) return
  out.punctuation('(')
  if (base !== undefined) writeRegister(out, base)
  if (index !== undefined) {
    out.punctuation(',')
    writeRegister(out, index)
    if (insn.addressSize !== 16) {
      out.punctuation(',')
      out.add('number', String(scale))
    }
  }
  out.punctuation(')')
}

/** A sign-extended immediate is shown in the operand size. */
function writeCut(out: LineWriter, position: number): void {
  const { insn } = out
  const kind = out.info.operands[position]!.kind
  const lo = immediateLow(insn, kind)
  if (insn.operandSize === 0 || insn.operandSize === 64) out.words(lo, immediateHigh(insn, kind))
  else out.number(insn.operandSize === 32 ? lo >>> 0 : lo & ((1 << insn.operandSize) - 1))
}

/** Immediates, cut to the operand size, by the operand's position. */
export const immediateCutFields: readonly Field[] = [
  (out) => writeCut(out, 0),
  (out) => writeCut(out, 1),
  (out) => writeCut(out, 2),
  (out) => writeCut(out, 3),
  (out) => writeCut(out, 4),
]

function writeOperand(out: LineWriter, operand: Operand, position: number): void {
  const { info } = out
  switch (operand.kind) {
    case 'register': {
      // DX is a port's address.
      const isPort = info.operands[position]?.kind === OperandKind.FIXED_REG && operand.register === 2
      if (isPort && writingOf(info).has('port')) {
        out.punctuation('(')
        writeRegister(out, operand.name)
        out.punctuation(')')
        return
      }
      if (info.flow.startsWith('indirect')) out.punctuation('*')
      // Of two x87 registers, the explicit one keeps its number, or the order would be lost.
      const isNumbered = info.operands[position]?.kind === OperandKind.STI && operand.register === 0
      // Debug registers are %db0 and on, as in the first assemblers for the 80386.
      const isDebug = info.operands[position]?.kind === OperandKind.DEBUG_REG
      writeRegister(out, isNumbered ? 'st(0)' : isDebug ? `db${operand.register}` : operand.name)
      break
    }
    case 'memory':
      if (info.flow.startsWith('indirect')) out.punctuation('*')
      writeMemory(out, operand)
      break
    case 'branch':
      // JMPABS has an immediate.
      if (info.operands[0]?.kind === OperandKind.ABS64) out.punctuation('$')
      out.field(targetField)
      break
    case 'far-pointer':
      out.punctuation('$')
      out.field(selectorField)
      out.comma()
      out.punctuation('$')
      out.field(farOffsetField)
      break
    default:
      out.punctuation('$')
      out.field(immediateCutFields[position]!)
  }
}

/** Writes the line of an instruction. */
export function writeAtt(out: LineWriter): void {
  const { insn, info, operands } = out
  // The counter's size shows nowhere else.
  if (hasHiddenAddressSize(out)) out.wordAndBlank('prefix', `addr${insn.addressSize}`)
  if (insn.code !== 0) for (const word of prefixWords(out)) out.wordAndBlank('prefix', PREFIX_SPELLINGS[word] ?? word)
  // All other instructions show the size by a suffix.
  const operandSize = operands[0]?.kind === 'branch' ? hiddenOperandSize(out) : 0
  if (operandSize !== 0) out.wordAndBlank('prefix', `data${operandSize}`)
  out.word('mnemonic', spelling(out))
  const order = writtenOperands(out)
  // A shift by one omits the count, unless it has a new data destination.
  if (info.operands[1]?.kind === OperandKind.ONE) order.pop()
  if (!writingOf(info).has('kept')) order.reverse()
  writeOperands(out, order, (operand, position, rounding) => {
    // The rounding operand stands before a vector register, but after a general one.
    const isBefore = info.operands[position]?.kind !== OperandKind.RM
    if (rounding !== undefined && isBefore) {
      out.word('keyword', rounding)
      out.comma()
    }
    writeOperand(out, operand, position)
    writeDecorations(out, operand, position, '%')
    if (rounding !== undefined && !isBefore) {
      out.comma()
      out.word('keyword', rounding)
    }
  })
}

const att: Syntax = /*#__PURE__*/ new Syntax(writeAtt, true)

/**
 * Returns the tokens of an instruction in AT&T syntax: the pieces of what `formatAtt` prints.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 * @param options - `hex` has no effect: the syntax knows `0x` alone
 */
export function tokensAtt(target: DecodedInstruction | Instruction, options: FormatOptions = {}): readonly Token[] {
  return att.tokens(target, options)
}

/**
 * Prints an instruction in AT&T syntax: `lock add %eax, 0x10(%rbx,%rcx,4)`.
 *
 * A letter at the mnemonic says the size where no register does.
 *
 * @param target - what `decode` returned, or a record that `decodeInto` filled in
 * @param options - `hex` has no effect: the syntax knows `0x` alone
 */
export function formatAtt(target: DecodedInstruction | Instruction, options: FormatOptions = {}): string {
  return att.text(target, options)
}
