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
  hasHiddenAddressSize,
  hasSegmentPrefix,
  hiddenOperandSize,
  lowerCaseMnemonic,
  prefixWords,
  roundedOperand,
  roundingWord,
  writeDecorations,
  writeDefaultFlags,
} from './format-words.ts'
import type { Instruction } from './instruction.ts'
import { OperandKind } from './kinds.ts'
import { Syntax } from './line-cache.ts'
import { immediateHigh, immediateLow } from './operands.ts'

/** Mnemonics with another AT&T name, regardless of operands. */
const SPELLINGS: Readonly<Record<string, string>> = {
  INVALID: '(bad)',
  CBW: 'cbtw',
  CWDE: 'cwtl',
  CDQE: 'cltq',
  CWD: 'cwtd',
  CDQ: 'cltd',
  CQO: 'cqto',
  CALLF: 'lcall',
  JMPF: 'ljmp',
  RETF: 'lret',
  XLATB: 'xlat',
  PUSHFD: 'pushf',
  POPFD: 'popf',
  PUSHFQ: 'pushf',
  POPFQ: 'popf',
  PUSHF: 'pushfw',
  POPF: 'popfw',
  PUSHA: 'pushaw',
  POPA: 'popaw',
  PUSHAD: 'pusha',
  POPAD: 'popa',
  IRET: 'iretw',
  IRETD: 'iret',
  MOVSW: 'movsw',
  MOVSD: 'movsl',
  CMPSD: 'cmpsl',
  INSD: 'insl',
  OUTSD: 'outsl',
  STOSB: 'stos',
  STOSW: 'stos',
  STOSD: 'stos',
  STOSQ: 'stos',
  LODSB: 'lods',
  LODSW: 'lods',
  LODSD: 'lods',
  LODSQ: 'lods',
  SCASB: 'scas',
  SCASW: 'scas',
  SCASD: 'scas',
  SCASQ: 'scas',
}

/** In 16- and 32-bit segments the plain name is the segment's own size, and a letter says the other. */
const SIZED_BY_MODE: Readonly<Record<string, 16 | 32>> = {
  PUSHF: 16,
  PUSHFD: 32,
  POPF: 16,
  POPFD: 32,
  PUSHA: 16,
  PUSHAD: 32,
  POPA: 16,
  POPAD: 32,
  IRET: 16,
  IRETD: 32,
}

const PREFIX_SPELLINGS: Readonly<Record<string, string>> = { repe: 'repz', repne: 'repnz' }

/** A letter by size in bytes: of integers, of x87 numbers, of x87's integers. */
const INTEGER_SUFFIXES: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' }
const FLOAT_SUFFIXES: Readonly<Record<number, string>> = { 4: 's', 8: 'l', 10: 't' }
const X87_INTEGER_SUFFIXES: Readonly<Record<number, string>> = { 2: 's', 4: 'l', 8: 'll' }

/** The destination has a vector's or a mask's register whatever the length of what is read. */
const NARROWING =
  /^V(CVT(PD2PS|T?PD2U?DQ|TPD2U?DQS|U?QQ2PS|NEPS2BF16|PD2PH|PS2PHX|U?DQ2PH|U?QQ2PH|PH2[BH]F8S?)|FPCLASS(P[SDH]|BF16))$/
const VECTOR_SUFFIXES: Readonly<Record<number, string>> = { 16: 'x', 32: 'y', 64: 'z' }

/** Instructions with integers in memory that take a letter when no register says the size. */
const SUFFIXED: ReadonlySet<string> = /*#__PURE__*/ new Set(
  (
    'ADD OR ADC SBB AND SUB XOR CMP TEST MOV INC DEC NOT NEG MUL IMUL DIV IDIV ROL ROR RCL RCR SHL SHR SAR ' +
    'BT BTS BTR BTC NOP CVTSI2SS CVTSI2SD VCVTSI2SS VCVTSI2SD PTWRITE VCVTUSI2SS VCVTUSI2SD ' +
    'VCVTSI2SH VCVTUSI2SH'
  ).split(' '),
)
/** Instructions with a size suffix only if the size differs from the mode's default. */
const STACK: ReadonlySet<string> = /*#__PURE__*/ new Set(['PUSH', 'POP', 'CALL', 'JMP'])
const FLOATS: ReadonlySet<string> = /*#__PURE__*/ new Set(
  'FADD FMUL FCOM FCOMP FSUB FSUBR FDIV FDIVR FLD FST FSTP'.split(' '),
)
const X87_INTEGERS: ReadonlySet<string> = /*#__PURE__*/ new Set(
  'FIADD FIMUL FICOM FICOMP FISUB FISUBR FIDIV FIDIVR FILD FIST FISTP FISTTP'.split(' '),
)
/** Intel's order is kept. */
const UNREVERSED: ReadonlySet<string> = /*#__PURE__*/ new Set(['ENTER', 'BOUND'])
/** Names swapped by AT&T's assembler for destinations other than ST(0); all later assemblers kept this. */
const SWAPPED: Readonly<Record<string, string>> = {
  FSUB: 'fsubr',
  FSUBR: 'fsub',
  FDIV: 'fdivr',
  FDIVR: 'fdiv',
  FSUBP: 'fsubrp',
  FSUBRP: 'fsubp',
  FDIVP: 'fdivrp',
  FDIVRP: 'fdivp',
}

/** Size of the stack and of near branches where nothing says otherwise. */
function defaultBits({ insn, info }: LineWriter): number {
  return insn.mode === 64 && (info.default64 || info.force64) ? 64 : insn.mode
}

/** The letter that says the size of what is in memory, where no register does. */
function suffix(out: LineWriter): string {
  const { info, insn, operands } = out
  const { mnemonic } = info
  const memory = operands.find((operand) => operand.kind === 'memory')
  const integer = INTEGER_SUFFIXES[insn.operandSize >> 3] ?? ''
  if (STACK.has(mnemonic)) {
    if (operands[0]?.kind === 'branch') return ''
    const isRegister = operands[0]?.kind === 'register' && info.operands[0]?.kind !== OperandKind.FIXED_SEGMENT
    return isRegister || insn.operandSize === defaultBits(out) ? '' : integer
  }
  if (mnemonic === 'CALLF' || mnemonic === 'JMPF') {
    return insn.operandSize === Math.min(insn.mode, 32) ? '' : integer
  }
  if (mnemonic === 'RET' || mnemonic === 'RETF' || mnemonic === 'LEAVE' || mnemonic === 'ENTER') {
    return hiddenOperandSize(out) === 0 ? '' : integer
  }
  if (mnemonic === 'CRC32') return INTEGER_SUFFIXES[info.operands[1]?.size ?? 0] ?? ''
  if (memory === undefined) return ''
  if (FLOATS.has(mnemonic)) return FLOAT_SUFFIXES[memory.size] ?? ''
  if (X87_INTEGERS.has(mnemonic)) return X87_INTEGER_SUFFIXES[memory.size] ?? ''
  // The register has 16 bytes whatever is converted.
  if (NARROWING.test(mnemonic)) {
    const isHalf = info.operands[0]?.size === 32
    return memory.broadcast !== 0 || isHalf ? '' : (VECTOR_SUFFIXES[memory.size] ?? '')
  }
  // The four have a letter only for the size that is not the usual one.
  if (/^(FLDENV|FNSTENV|FRSTOR|FNSAVE)$/.test(mnemonic)) return ['', 's', 'l'][hiddenOperandSize(out) >> 4] ?? ''
  if ((!SUFFIXED.has(mnemonic) && info.condition < 0) || (insn.mode !== 64 && /^V?CVT/.test(mnemonic))) return ''
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
  if (first === OperandKind.STI && operands.length === 2 && SWAPPED[mnemonic] !== undefined) return SWAPPED[mnemonic]
  const bits = SIZED_BY_MODE[mnemonic]
  if (bits !== undefined && insn.mode !== 64) {
    const stem = SPELLINGS[mnemonic]!.replace(/w$/, '')
    return bits === insn.mode ? stem : stem + (bits === 16 ? 'w' : 'l')
  }
  if ((mnemonic === 'SYSEXIT' || mnemonic === 'SYSRET') && insn.mode === 64) return `${mnemonic.toLowerCase()}l`
  // MOVSD and CMPSD are string instructions and SSE2 instructions.
  if ((mnemonic === 'MOVSD' || mnemonic === 'CMPSD') && info.repeat === 'none') return mnemonic.toLowerCase()
  return (SPELLINGS[mnemonic] ?? lowerCaseMnemonic(info)) + suffix(out)
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
      if (isPort && /^(IN|OUT|INS.|OUTS.)$/.test(info.mnemonic)) {
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
  const order = operands.map((_, i) => i)
  // The manual writes FCOM ST(i): the table has ST(0) too.
  if (operands.length === 2 && (info.mnemonic === 'FCOM' || info.mnemonic === 'FCOMP')) order.shift()
  // A shift by one omits the count, unless it has a new data destination.
  if (info.operands[1]?.kind === OperandKind.ONE) order.pop()
  if (!UNREVERSED.has(info.mnemonic)) order.reverse()
  writeDefaultFlags(out)
  if (info.condition >= 0) order.splice(order.indexOf(0), 1)
  const rounding = roundingWord(out)
  const rounded = roundedOperand(out)
  order.forEach((position, i) => {
    if (i === 0) out.operandGap()
    else out.comma()
    const operand = operands[position]!
    const isRounded = rounding !== undefined && position === rounded
    // The rounding operand stands before a vector register, but after a general one.
    const isBefore = isRounded && info.operands[position]?.kind !== OperandKind.RM
    if (isBefore) {
      out.word('keyword', rounding)
      out.comma()
    }
    writeOperand(out, operand, position)
    writeDecorations(out, operand, position, '%')
    if (isRounded && !isBefore) {
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
