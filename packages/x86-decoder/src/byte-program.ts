/**
 * Lines as programs: a byte below 0x80 is a character of the line, one above is an operation, which writes a register's
 * name or a number. A line's program follows from the instruction's form alone, where a template of `line-cache.ts` has
 * register names in it too: a program has a tenth as many lines.
 */
import {
  absoluteField,
  displacementField,
  farOffsetField,
  immediateFields,
  selectorField,
  signedDisplacementField,
  targetField,
} from './fields.ts'
import type { Operand } from './decode.ts'
import { codeInfo } from './codes.ts'
import type { CodeInfo } from './code-info.ts'
import {
  OperandKind,
  type OperandPlace,
  PREFIX_EVEX,
  PREFIX_REX,
  REGISTER_HIGH_BYTE,
  REGISTER_KINDS,
  REGISTER_RIP,
} from './kinds.ts'
import { isIrregular } from './line-cache.ts'
import type { Field, Template } from './line-writer.ts'
import type { Instruction } from './instruction.ts'
import { immediateIsSigned, targetBits } from './operands.ts'
import { registerName } from './registers.ts'

/** The line is over. All operations from here to `OP_REGISTER` are numbers. */
export const OP_END = 0x80
/** A branch's target of 64 bits, or its symbol. */
export const OP_TARGET = 0x81
/** Writes an absolute address, or its symbol. */
export const OP_ABSOLUTE = 0x82
/** The text behind RIP: `+symbol`, or the displacement with its sign. */
export const OP_RELATIVE = 0x83
/** The text before RIP: a symbol, or the displacement. */
export const OP_RELATIVE_BEFORE = 0x84
/** A symbol, or the distance from the instruction's start: `$+0x10`. */
export const OP_RELATIVE_START = 0x85
/** Writes a displacement with its sign: `+0x10`. */
export const OP_DISPLACEMENT = 0x86
/** A displacement, with a sign if it is negative. */
export const OP_SIGNED_DISPLACEMENT = 0x87
/** An immediate of 64 bits, unsigned. */
export const OP_IMMEDIATE = 0x88
/** An immediate with a sign if it is negative. */
export const OP_SIGNED_IMMEDIATE = 0x89
/** The low 32, 16 and 8 bits of an immediate. */
export const OP_IMMEDIATE_32 = 0x8a
export const OP_IMMEDIATE_16 = 0x8b
export const OP_IMMEDIATE_8 = 0x8c
export const OP_SELECTOR = 0x8d
export const OP_FAR_OFFSET = 0x8e
/** Anything else, by the field whose index is the next byte. No such field asks for a symbol. */
export const OP_FIELD = 0x8f

/** As `OP_TARGET`, of 32 and 16 bits. */
export const OP_TARGET_32 = 0x90
export const OP_TARGET_16 = 0x91
/** Writes an immediate branch target, or its symbol. */
export const OP_TARGET_ABSOLUTE = 0x92

/** The first of the registers: by where the number is, and within that by class. */
export const OP_REGISTER = 0xa0
export const SOURCE_REG = 0
export const SOURCE_RM = 1
export const SOURCE_OPCODE = 2
export const SOURCE_VVVV = 3
export const SOURCE_BASE = 4
export const SOURCE_INDEX = 5

/** In a template's text this value plus an operation stands for a register gap. */
const MARK = 0xe000

const mark = (source: number, names: number): string =>
  String.fromCharCode(MARK + OP_REGISTER + source * NAME_CLASSES + names)

/** Fields of one syntax, with their operations. */
export type FieldOperations = readonly (readonly [Field, number])[]

const COMMON_FIELDS: FieldOperations = [
  [absoluteField, OP_ABSOLUTE],
  [displacementField, OP_DISPLACEMENT],
  [signedDisplacementField, OP_SIGNED_DISPLACEMENT],
  [selectorField, OP_SELECTOR],
  [farOffsetField, OP_FAR_OFFSET],
]

/** The inputs of a line's program. */
export const KIND_UNKNOWN = 0
/** On everything but numbers, registers among it. */
export const KIND_WHOLE = 1
/** On everything but numbers and registers. */
export const KIND_FORM = 2
/** As `KIND_FORM`, and there are byte registers, whose names depend on REX. */
export const KIND_BYTE_FORM = 3
/** On immediate bits too: it is not kept. */
export const KIND_IRREGULAR = 4
/** On nothing: no instruction. */
export const KIND_INVALID = 5

/** Kinds of operands without a marked register whose line does not depend on the numbers of registers. */
const PLAIN_KINDS: readonly OperandKind[] = [
  OperandKind.MEM,
  OperandKind.FIXED_REG,
  OperandKind.ONE,
  OperandKind.IMM8,
  OperandKind.IMM8_SX,
  OperandKind.IMM16,
  OperandKind.IMM32,
  OperandKind.IMM32_SX,
  OperandKind.IMM64,
  OperandKind.IMM8_SECOND,
  OperandKind.REL8,
  OperandKind.REL16,
  OperandKind.REL32,
]

const isPlain = (kind: OperandKind): boolean => PLAIN_KINDS.includes(kind) || sourceOf(kind) >= 0

/** Returns the inputs that lines of a code depend on: a `KIND_*`. */
export function lineKind(info: CodeInfo): number {
  if (info.code === 0) return KIND_INVALID
  if (isIrregular(info)) return KIND_IRREGULAR
  const { encoding, operands } = info
  const isForm = (encoding === 'legacy' || encoding === 'vex') && operands.every(({ kind }) => isPlain(kind))
  if (!isForm) return KIND_WHOLE
  return operands.some(({ kind, size }) => size === 1 && sourceOf(kind) >= 0) ? KIND_BYTE_FORM : KIND_FORM
}

const SOURCES: { readonly [Place in OperandPlace]?: number } = {
  reg: SOURCE_REG,
  rm: SOURCE_RM,
  'rm-register': SOURCE_RM,
  opcode: SOURCE_OPCODE,
  vvvv: SOURCE_VVVV,
}

/** Returns the source of an operand's register number; -1 if it has no marked register. */
function sourceOf(kind: OperandKind): number {
  const [registerClass, place] = REGISTER_KINDS[kind] ?? []
  const isMarked = registerClass === 'general' || registerClass === 'mmx' || registerClass === 'vector'
  return isMarked && place !== undefined ? (SOURCES[place] ?? -1) : -1
}

/** The class of an operand's register. */
function namesOf(kind: OperandKind, size: number, prefixes: number): number {
  const registerClass = REGISTER_KINDS[kind]?.[0]
  if (registerClass === 'mmx') return NAMES_MMX
  if (registerClass === 'vector') return size === 64 ? NAMES_ZMM : size === 32 ? NAMES_YMM : NAMES_XMM
  if (size === 1) return (prefixes & (PREFIX_REX | PREFIX_EVEX)) === 0 ? NAMES_BYTE : NAMES_LOW_BYTE
  return generalNames(size)
}

const generalNames = (size: number): number => (size === 8 ? NAMES_QWORD : size === 4 ? NAMES_DWORD : NAMES_WORD)

/** The operands of an instruction with marks in place of the names of registers. */
export function markRegisters(insn: Instruction, operands: readonly Operand[]): readonly Operand[] {
  const info = codeInfo(insn.code)
  const addressNames = generalNames(insn.addressSize >> 3)
  return operands.map((operand, i) => {
    const { kind, size } = info.operands[i]!
    if (operand.kind === 'register') {
      const source = sourceOf(kind)
      return source < 0 ? operand : { ...operand, name: mark(source, namesOf(kind, size, insn.prefixes)) }
    }
    // An index without a base stays literal: its syntax may depend on the register.
    if (operand.kind !== 'memory' || operand.base === undefined || insn.base === REGISTER_RIP) return operand
    const index = operand.index === undefined ? undefined : mark(SOURCE_INDEX, addressNames)
    return { ...operand, base: mark(SOURCE_BASE, addressNames), index }
  })
}

/** Returns the operation that writes a field; -1 if none. */
function operationOf(field: Field, own: FieldOperations, cut: readonly Field[], insn: Instruction): number {
  for (const [known, operation] of own) if (field === known) return operation
  for (const [known, operation] of COMMON_FIELDS) if (field === known) return operation
  const info = codeInfo(insn.code)
  const { operands } = info
  if (field === targetField) {
    if (operands[0]!.kind === OperandKind.ABS64) return OP_TARGET_ABSOLUTE
    const bits = targetBits(insn, info)
    return bits === 64 ? OP_TARGET : bits === 32 ? OP_TARGET_32 : OP_TARGET_16
  }
  const position = immediateFields.indexOf(field)
  const cutPosition = cut.indexOf(field)
  const kind = operands[Math.max(position, cutPosition)]?.kind
  switch (kind) {
    case OperandKind.IMM8:
    case OperandKind.IMM8_SX:
    case OperandKind.IMM16:
    case OperandKind.IMM32:
    case OperandKind.IMM32_SX:
    case OperandKind.IMM64:
      break
    default:
      return -1
  }
  if (position >= 0) return immediateIsSigned(kind) ? OP_SIGNED_IMMEDIATE : OP_IMMEDIATE
  if (insn.operandSize === 0 || insn.operandSize === 64) return OP_IMMEDIATE
  return insn.operandSize === 32 ? OP_IMMEDIATE_32 : insn.operandSize === 16 ? OP_IMMEDIATE_16 : OP_IMMEDIATE_8
}

/** The fields of a syntax's own. */
export interface ByteSyntax {
  /** Own fields and the operations for them. */
  readonly fields: FieldOperations
  /** Immediates truncated to the operand size, by position; default none. */
  readonly cut: readonly Field[]
}

/**
 * The program of a line.
 *
 * @param others - fields without an operation; new ones are added
 */
export function programOf(
  { texts, fields }: Template,
  insn: Instruction,
  syntax: ByteSyntax,
  others: Field[],
): readonly number[] {
  const program: number[] = []
  texts.forEach((text, i) => {
    for (let k = 0; k < text.length; k++) program.push(text.charCodeAt(k) & 0xff)
    const field = fields[i]
    if (field === undefined) return
    const operation = operationOf(field, syntax.fields, syntax.cut, insn)
    if (operation >= 0) program.push(operation)
    else {
      if (!others.includes(field)) others.push(field)
      program.push(OP_FIELD, others.indexOf(field))
    }
  })
  program.push(OP_END)
  return program
}

/** Classes of registers whose number alone says the name. */
const NAMES_LOW_BYTE = 0
/** Byte registers without REX: 4 to 7 are AH to BH. */
const NAMES_BYTE = 1
const NAMES_WORD = 2
const NAMES_DWORD = 3
const NAMES_QWORD = 4
const NAMES_MMX = 5
const NAMES_XMM = 6
const NAMES_YMM = 7
const NAMES_ZMM = 8
/** Number of classes. */
export const NAME_CLASSES = 9

const REGISTERS = 32
/** A name has at most five letters; its length is in the last byte of its place. */
export const NAME_BYTES = 8
export const NAME_LENGTH = 7
export const CLASS_BYTES: number = REGISTERS * NAME_BYTES

/** All names; that of register `r` of class `c` is at `c * CLASS_BYTES + r * NAME_BYTES`. */
export function makeNames(): Uint8Array {
  // Kind and size of an operand of each class.
  const classes: readonly (readonly [OperandKind, number])[] = [
    [OperandKind.REG, 1],
    [OperandKind.REG, 1],
    [OperandKind.REG, 2],
    [OperandKind.REG, 4],
    [OperandKind.REG, 8],
    [OperandKind.MMX_REG, 8],
    [OperandKind.XMM_REG, 16],
    [OperandKind.XMM_REG, 32],
    [OperandKind.XMM_REG, 64],
  ]
  const names = new Uint8Array(NAME_CLASSES * CLASS_BYTES)
  for (let at = 0; at < names.length; at += NAME_BYTES) {
    const nameClass = Math.floor(at / CLASS_BYTES)
    const register = (at / NAME_BYTES) % REGISTERS
    const [kind, size] = classes[nameClass]!
    const isHigh = nameClass === NAMES_BYTE && register >= 4 && register < 8
    const name = registerName(kind, size, isHigh ? register | REGISTER_HIGH_BYTE : register)
    for (let i = 0; i < name.length; i++) names[at + i] = name.charCodeAt(i)
    names[at + NAME_LENGTH] = name.length
  }
  return names
}
