import {
  codeInfo,
  codesByMnemonic,
  MODE_16,
  MODE_32,
  MODE_64,
  OperandKind,
  REGISTER_KINDS,
  type CodeInfo,
  type OperandSpec,
} from '@retrap/x86-decoder'
import { aliasesOf, sizesOf } from './aliases.ts'
import { writableSize, type Form, type SizePrefix, type Slot } from './form.ts'
import { allowsEncoding, type EncodingKind } from './prefixes.ts'
import { withoutRounding } from './match.ts'
import { kindsOf, takesKinds } from './operand-kinds.ts'
import type { Operand } from './operands.ts'
import type { RegisterClass } from './register.ts'

/** The class of general registers of `size` bytes. */
function generalClass(size: number): RegisterClass {
  return size === 1 ? 'gp8' : size === 2 ? 'gp16' : size === 4 ? 'gp32' : 'gp64'
}

function vectorClass(size: number): 'xmm' | 'ymm' | 'zmm' {
  return size === 64 ? 'zmm' : size === 32 ? 'ymm' : 'xmm'
}

const NUMBER_BX = 3
const NUMBER_SI = 6
const NUMBER_DI = 7

/** Operands whose kind says all. */
const WHOLE_SLOTS: ReadonlyMap<OperandKind, Slot> = new Map<OperandKind, Slot>([
  [OperandKind.ONE, { kind: 'one' }],
  [OperandKind.XMM_FIXED, { kind: 'fixed', class: 'xmm', number: 0, optional: true }],
  [OperandKind.ST0, { kind: 'fixed', class: 'x87', number: 0, optional: false }],
  [OperandKind.IMM4, { kind: 'nibble' }],
  [OperandKind.IMM8, { kind: 'immediate', size: 1, extendTo: 0 }],
  [OperandKind.IMM8_SECOND, { kind: 'immediate', size: 1, extendTo: 0 }],
  [OperandKind.IMM16, { kind: 'immediate', size: 2, extendTo: 0 }],
  [OperandKind.IMM32, { kind: 'immediate', size: 4, extendTo: 0 }],
  [OperandKind.IMM32_SX, { kind: 'immediate', size: 4, extendTo: 64 }],
  [OperandKind.IMM64, { kind: 'immediate', size: 8, extendTo: 0 }],
  [OperandKind.REL8, { kind: 'relative', size: 1 }],
  [OperandKind.REL16, { kind: 'relative', size: 2 }],
  [OperandKind.REL32, { kind: 'relative', size: 4 }],
  [OperandKind.ABS64, { kind: 'absolute' }],
  [OperandKind.DFV, { kind: 'flags' }],
])

/** One operand of the table as a slot. */
function slotOf(operand: OperandSpec, row: CodeInfo): Slot {
  const { kind, size, memorySize, register } = operand
  const [operandClass = 'general', place = 'fixed'] = REGISTER_KINDS[kind] ?? []
  if (place !== 'fixed' && place !== 'index') {
    const registerClass =
      operandClass === 'general' ? generalClass(size) : operandClass === 'vector' ? vectorClass(size) : operandClass
    if (place === 'rm') return { kind: 'rm', class: registerClass, size: memorySize }
    return { kind: 'register', class: registerClass, field: place === 'rm-register' ? 'rm' : place }
  }
  switch (kind) {
    case OperandKind.MEM:
      return { kind: 'memory', size: writableSize(memorySize) }
    case OperandKind.VSIB:
      return { kind: 'memory', size: writableSize(memorySize), index: vectorClass(size) }
    case OperandKind.FIXED_REG:
      return { kind: 'fixed', class: generalClass(size), number: register, optional: false }
    case OperandKind.FIXED_SEGMENT:
      return { kind: 'fixed', class: 'segment', number: register, optional: false }
    case OperandKind.IMM8_SX:
      return { kind: 'immediate', size: 1, extendTo: row.operandSize === 8 ? 0 : row.operandSize }
    case OperandKind.FAR_POINTER:
      return { kind: 'far', bits: row.operandSize === 16 ? 16 : 32 }
    case OperandKind.MOFFS:
      return { kind: 'moffs', size: memorySize }
    case OperandKind.STRING_SOURCE:
      return { kind: 'implied', size: memorySize, base: NUMBER_SI, overridable: true }
    case OperandKind.STRING_DESTINATION:
      return { kind: 'implied', size: memorySize, base: NUMBER_DI, overridable: false }
    case OperandKind.XLAT:
      return { kind: 'implied', size: memorySize, base: NUMBER_BX, overridable: true }
    default:
      return WHOLE_SLOTS.get(kind)!
  }
}

/** The part of an encoding that says the operand size in one mode: `CodeInfo.sizeClass` as a rule for writing. */
function sizingOf(row: CodeInfo, bits: 16 | 32 | 64): SizePrefix | undefined {
  const bit = bits === 16 ? MODE_16 : bits === 32 ? MODE_32 : MODE_64
  if ((row.modes & bit) === 0) return undefined
  if (row.sizeClass === '') return 'none'
  const size = row.operandSize
  if (bits !== 64) return row.sizeClass === 'y' || size === bits ? 'none' : '66'
  if (row.force64) return size === 64 ? 'none' : undefined
  if (row.default64) return size === 64 ? 'none' : size === 16 ? '66' : undefined
  return size === 64 ? 'w' : size === 16 ? '66' : 'none'
}

const PREFIXES: Readonly<Record<string, 0 | 0x66 | 0xf2 | 0xf3>> = { '66': 0x66, F2: 0xf2, F3: 0xf3 }

function formOf(row: CodeInfo): Form {
  const slots = row.operands.map((operand) => slotOf(operand, row))
  const optional = optionalSlots(slots)
  return {
    ...row,
    slots,
    requiredSlots: optional.size === 0 ? slots : slots.filter((slot) => !optional.has(slot)),
    sizing: { 16: sizingOf(row, 16), 32: sizingOf(row, 32), 64: sizingOf(row, 64) },
    operandSize: row.operandSize === 8 ? 0 : row.operandSize,
    // EVEX.b with registers means 512 bits, or a scalar.
    rounding: row.vexL === 0 || row.vexL === 1 ? 'none' : row.rounding,
    newDestination: row.evexNd === 1,
    vexW: row.vexW === 1,
    prefix: PREFIXES[row.prefix] ?? 0,
    // Intel APX Architecture Specification, "PUSH2 and POP2".
    noStackPointer: /^(PUSH|POP)2/.test(row.mnemonic),
    rex2: hasRex2(row),
    repeatable: row.repeat !== 'none',
  }
}

/**
 * Tells whether REX2 can stand before an opcode: it has bits for the one-byte map and that of 0F, but not for rows that
 * were left out, nor for the instructions that save and restore the state of the processor.
 *
 * Source: Intel APX Architecture Specification, "REX2 Prefix".
 */
function hasRex2({ encoding, map, opcode, mnemonic }: CodeInfo): boolean {
  if (encoding !== 'legacy') return encoding === 'rex2'
  if (/^(XSAVE|XRSTOR)/.test(mnemonic)) return false
  const row = opcode >> 4
  return map === 0 ? row !== 4 && row !== 7 && row !== 0xa && row !== 0xe : map === 1 && row !== 3 && row !== 8
}

/**
 * The slots that may be left out, all together: memory that the instruction finds by itself with the accumulator or DX
 * beside it (STOSB, OUTSB), and the implied XMM0.
 */
function optionalSlots(slots: readonly Slot[]): ReadonlySet<Slot> {
  const isString = slots.some((slot) => slot.kind === 'implied')
  return new Set(
    slots.filter((slot) => slot.kind === 'implied' || (slot.kind === 'fixed' && (slot.optional || isString))),
  )
}

/** Forms, made on first use: a program uses few. */
const formsByCode: (Form | undefined)[] = []

/** The codes of the table's mnemonics. */
const index: ReadonlyMap<string, readonly number[]> = codesByMnemonic()

/** The form of a `code` of the decoder; undefined for 0, the invalid instruction, and for an unknown code. */
export function formOfCode(code: number): Form | undefined {
  const row = codeInfo(code)
  return row.code === 0 ? undefined : (formsByCode[code] ??= formOf(row))
}

/** The names in the table that a mnemonic in capitals stands for. */
function namesOf(mnemonic: string): readonly string[] {
  const sizes = sizesOf.get(mnemonic)
  if (sizes !== undefined) return sizes
  return [index.has(mnemonic) ? mnemonic : (aliasesOf.get(mnemonic) ?? mnemonic)]
}

const formsByMnemonic = new Map<string, readonly Form[]>()

/** Returns all forms of an upper-case mnemonic in the table's order; empty if unknown. */
export function formsOf(mnemonic: string): readonly Form[] {
  let forms = formsByMnemonic.get(mnemonic)
  if (forms === undefined) {
    forms = namesOf(mnemonic)
      .flatMap((name) => index.get(name) ?? [])
      .map((code) => formOfCode(code))
      .filter((form) => form !== undefined)
    formsByMnemonic.set(mnemonic, forms)
  }
  return forms
}

const candidates = new Map<string, Map<number, readonly Form[]>>()

/**
 * The forms of a mnemonic that take operands of these kinds, as far as kinds alone can tell. Remembered, so that not
 * every MOV goes through all forms of MOV.
 */
export function formsFor(mnemonic: string, operands: readonly Operand[]): readonly Form[] {
  let byKinds = candidates.get(mnemonic)
  if (byKinds === undefined) {
    byKinds = new Map()
    candidates.set(mnemonic, byKinds)
  }
  const key = kindsOf(operands)
  let forms = byKinds.get(key)
  if (forms === undefined) {
    forms = formsOf(mnemonic).filter((form) => !form.alias && couldTake(form, operands))
    byKinds.set(key, forms)
  }
  return forms
}

function couldTake(form: Form, operands: readonly Operand[]): boolean {
  if (form.rounding !== 'none') return takesKinds(form.slots, withoutRounding(operands))
  const direct = takesKinds(form.slots, operands) || takesKinds(form.requiredSlots, operands)
  return direct || (COMMUTATIVE.has(form.mnemonic) && takesKinds(form.slots, operands.toReversed()))
}

/** The code of a form by its name, `CodeInfo.form`; of several with one name the first that is no alias. */
export function codeOfForm(name: string, encoding: EncodingKind | undefined): number | undefined {
  const named = formsOf(name.split(' ', 1)[0] ?? '').filter(
    (form) => codeInfo(form.code).form === name && allowsEncoding(form, encoding),
  )
  return (named.find((form) => !form.alias) ?? named[0])?.code
}

/** Mnemonics with aliases, by the name of the builder's method. */
export const mnemonicOfMethod: ReadonlyMap<string, string> = new Map(
  [...index.keys(), ...aliasesOf.keys()]
    .filter((mnemonic) => index.has(mnemonic) || index.has(aliasesOf.get(mnemonic) ?? ''))
    .map((mnemonic) => [mnemonic.toLowerCase(), mnemonic]),
)

/** The far branches that are written as `jmp` and `call` with a far pointer. */
export const FAR_BRANCHES: ReadonlyMap<string, string> = new Map([
  ['JMP', 'JMPF'],
  ['CALL', 'CALLF'],
])

/** Two-operand instructions whose operands may be swapped. */
export const COMMUTATIVE: ReadonlySet<string> = new Set(['XCHG', 'TEST'])
