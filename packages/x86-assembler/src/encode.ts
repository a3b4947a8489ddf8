import { addressBitsOf, defaultSegment, encodeAddress } from './address.ts'
import type { AddressEncoding } from './address.ts'
import { AssemblerError } from './errors.ts'
import { fitsEither, fitsSignExtended, pushValue } from './fixups.ts'
import type { Encoding, Fixup } from './fixups.ts'
import type { Field, Form, Slot } from './form.ts'
import { asExpression, Label, LabelExpression } from './labels.ts'
import { asValue, formatOperand, isVectorIndex } from './operands.ts'
import type { BranchTarget, FarPointer, Memory, Operand, SizedImmediate } from './operands.ts'
import type { Register } from './registers.ts'

/** What an instruction is encoded under, besides its operands. */
export interface EncodeContext {
  readonly bits: 16 | 32 | 64
  readonly lock: boolean
  readonly repeat: 0 | 0xf2 | 0xf3
  /** Operand size that was insisted on, or 0. */
  readonly operandSize: 0 | 16 | 32 | 64
  /** Address size that was insisted on for forms without a memory operand to tell it, or 0. */
  readonly addressSize: 0 | 16 | 32 | 64
}

/** A form with its operands filled in. */
export interface EncodedForm extends Encoding {
  /** Memory size of the form where the operand stated none and it makes a difference; else 0. */
  readonly guessedSize: number
  /** Bytes of immediates, which decide between forms of one length. */
  readonly immediateBytes: number
  /** Bytes of the field that waits for a label and may turn out too small for it; 0 if there is none. */
  readonly waitingBytes: number
}

const PREFIX_OF_SEGMENT = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
const SEGMENT_CS = 1
const SEGMENT_DS = 3

/** 0F 0F: the opcode stands after the operands. */
const MAP_3DNOW = 4

/** A value field after ModRM, in the order of encoding. */
interface Trailer {
  readonly kind: 'absolute' | 'signed' | 'relative'
  readonly size: 1 | 2 | 4 | 8
  readonly value: bigint | LabelExpression
  /** For `signed`: the width that it is extended to. */
  readonly extendTo: 16 | 32 | 64
  /** A wider form of the instruction may take its place. */
  readonly mayWiden: boolean
}

/** What matching the operands against the slots has found so far. */
interface Fields {
  reg: number
  rm: number
  opcodeReg: number
  vvvv: number
  memory: Memory | undefined
  /** Memory that the instruction finds by itself; only its address size and segment are encoded. */
  implied: Memory | undefined
  impliedDefaultSegment: number
  moffs: Memory | undefined
  needsRex: boolean
  forbidsRex: boolean
  guessedSize: number
  readonly trailers: Trailer[]
}

/**
 * Encodes one form with the operands given.
 *
 * @returns the encoding, or undefined where the form does not take operands of these kinds
 * @throws AssemblerError where the kinds are right but a value is not
 */
export function encodeForm(form: Form, operands: readonly Operand[], context: EncodeContext): EncodedForm | undefined {
  const { bits } = context
  if (form.sizing[bits] === undefined) return undefined
  if (context.operandSize !== 0 && form.operandSize !== context.operandSize) return undefined
  const slots = slotsTaken(form, operands)
  if (slots === undefined) return undefined
  const fields: Fields = {
    reg: Math.max(form.extension, 0),
    rm: 0,
    opcodeReg: 0,
    vvvv: 0,
    memory: undefined,
    implied: undefined,
    impliedDefaultSegment: SEGMENT_DS,
    moffs: undefined,
    needsRex: false,
    forbidsRex: false,
    guessedSize: 0,
    trailers: [],
  }
  for (const [index, slot] of slots.entries()) {
    const operand = operands[index]
    if (operand === undefined || !matchSlot(slot, operand, form, context, fields)) return undefined
  }
  // MOV to CS is no instruction (SDM vol. 2B, MOV).
  if (form.mnemonic === 'MOV' && slots[0]?.kind === 'register' && slots[0].class === 'segment') {
    if (fields.reg === SEGMENT_CS) return undefined
  }
  // 90 is NOP and not XCHG of the accumulator with itself, which in 64-bit mode would clear its upper half.
  if (form.map === 0 && form.opcode === 0x90 && form.mnemonic === 'XCHG' && fields.opcodeReg === 0) {
    return undefined
  }
  if (form.distinct) {
    const index = fields.memory === undefined ? fields.rm : fields.memory.index?.number
    if (index === fields.reg || index === fields.vvvv || fields.reg === fields.vvvv) return undefined
  }
  return emit(form, fields, context)
}

/**
 * The slots that may be left out, all together: memory that the instruction finds by itself with the accumulator or DX
 * beside it (STOSB, OUTSB), and the implied XMM0.
 */
export function slotsOptional(form: Form): ReadonlySet<Slot> {
  const isString = form.slots.some((slot) => slot.kind === 'implied')
  return new Set(
    form.slots.filter((slot) => slot.kind === 'implied' || (slot.kind === 'fixed' && (slot.optional || isString))),
  )
}

/** The slots that the operands stand for: all, or those that must be written. */
function slotsTaken(form: Form, operands: readonly Operand[]): readonly Slot[] | undefined {
  if (form.slots.length === operands.length) return form.slots
  const optional = slotsOptional(form)
  if (form.slots.length - optional.size !== operands.length) return undefined
  return form.slots.filter((slot) => !optional.has(slot))
}

function matchRegister(register: Register, kind: string, fields: Fields, bits: number): boolean {
  if (register.class !== kind && !(kind === 'gp8' && register.class === 'gp8High')) return false
  if (register.number > 7 && bits !== 64) return false
  if (register.class === 'gp8High') fields.forbidsRex = true
  if (register.class === 'gp8' && register.number >= 4 && register.number < 8) {
    if (bits !== 64) return false
    fields.needsRex = true
  }
  return true
}

function place(fields: Fields, field: Field, number: number): void {
  if (field === 'reg') fields.reg = number
  else if (field === 'rm') fields.rm = number
  else if (field === 'opcode') fields.opcodeReg = number
  else if (field === 'vvvv') fields.vvvv = number
  else fields.trailers.push(trailer('absolute', 1, BigInt(number << 4)))
}

function matchMemory(memory: Memory, size: number, fields: Fields, index?: 'xmm' | 'ymm'): boolean {
  if ((isVectorIndex(memory.index) ? memory.index.class : undefined) !== index) return false
  if (memory.size === 0) fields.guessedSize = size
  return size === 0 || memory.size === 0 || memory.size === size
}

/** Throws `ERR_OPERAND` on a fraction, and on what a number does not hold exactly. */
function wholeNumber(value: number): bigint {
  return asValue(value) as bigint
}

function matchSlot(slot: Slot, operand: Operand, form: Form, context: EncodeContext, fields: Fields): boolean {
  const value = typeof operand === 'number' ? wholeNumber(operand) : operand
  const type = typeof value === 'bigint' ? 'value' : value.type
  switch (slot.kind) {
    case 'register':
      if (type !== 'register') return false
      if (!matchRegister(operand as Register, slot.class, fields, context.bits)) return false
      place(fields, slot.field, (operand as Register).number)
      return true
    case 'rm':
      if (type === 'register') {
        if (!matchRegister(operand as Register, slot.class, fields, context.bits)) return false
        fields.rm = (operand as Register).number
        return true
      }
      if (type !== 'memory' || !matchMemory(operand as Memory, slot.size, fields)) return false
      fields.memory = operand as Memory
      return true
    case 'memory':
      if (type !== 'memory' || !matchMemory(operand as Memory, slot.size, fields, slot.index)) return false
      fields.memory = operand as Memory
      return true
    case 'moffs': {
      if (type !== 'memory' || !matchMemory(operand as Memory, slot.size, fields)) return false
      const memory = operand as Memory
      if (memory.base !== undefined || memory.index !== undefined) return false
      if (memory.reference === 'rip') return false
      // A label in 64-bit mode is meant relative; only a number or an absolute label has 64-bit offsets to gain from.
      if (memory.reference === 'mode' && context.bits === 64) return false
      fields.moffs = memory
      return true
    }
    case 'fixed': {
      if (type !== 'register') return false
      const register = operand as Register
      return register.class === slot.class && register.number === slot.number
    }
    case 'one':
      return value === 1n
    case 'immediate':
      return matchImmediate(slot, value as bigint | Exclude<Operand, number>, form, fields)
    case 'nibble':
      return matchNibble(value as bigint | Exclude<Operand, number>, form, fields)
    case 'relative':
      return matchRelative(slot.size, value as bigint | Exclude<Operand, number>, fields)
    case 'far': {
      if (type !== 'far') return false
      const pointer = operand as FarPointer
      if (pointer.bits !== 0 ? pointer.bits !== slot.bits : slot.bits !== context.bits) return false
      fields.trailers.push(
        trailer('absolute', slot.bits === 16 ? 2 : 4, pointer.offset),
        trailer('absolute', 2, pointer.selector),
      )
      return true
    }
    case 'implied': {
      if (type !== 'memory') return false
      const memory = operand as Memory
      if (memory.base?.number !== slot.base || memory.index !== undefined || memory.disp !== 0n) {
        return false
      }
      if (slot.size !== 0 && memory.size !== 0 && memory.size !== slot.size) return false
      if (!slot.overridable) {
        // ES:rDI: a prefix would change nothing, so asking for another segment is a mistake.
        if (memory.segment !== undefined && memory.segment.number !== 0) return false
        fields.implied ??= { ...memory, segment: undefined }
        return true
      }
      fields.implied = memory
      return true
    }
  }
}

function trailer(
  kind: 'absolute' | 'signed' | 'relative',
  size: 1 | 2 | 4 | 8,
  value: bigint | LabelExpression,
): Trailer {
  return { kind, size, value, extendTo: 64, mayWiden: false }
}

function matchImmediate(
  slot: Extract<Slot, { kind: 'immediate' }>,
  operand: bigint | Exclude<Operand, number>,
  form: Form,
  fields: Fields,
): boolean {
  let value: bigint | LabelExpression
  const sized = typeof operand !== 'bigint' && operand.type === 'immediate'
  if (typeof operand === 'bigint') value = operand
  else if (operand instanceof Label || operand instanceof LabelExpression) value = asExpression(operand)
  else if (sized) {
    const immediate: SizedImmediate = operand
    if (immediate.bits !== slot.size * 8) return false
    value = immediate.value
  } else return false
  const width = slot.size * 8
  if (typeof value === 'bigint') {
    const fits = slot.extendTo === 0 ? fitsEither(value, width) : fitsSignExtended(value, width, slot.extendTo)
    if (!fits) {
      throw new AssemblerError(
        'ERR_RANGE',
        `${form.mnemonic.toLowerCase()}: ${formatOperand(value)} does not fit in ${width} bits${slot.extendTo === 0 ? '' : ` sign-extended to ${slot.extendTo}`}`,
      )
    }
  }
  const extended = slot.extendTo !== 0
  fields.trailers.push({
    kind: extended ? 'signed' : 'absolute',
    size: slot.size,
    value,
    extendTo: slot.extendTo === 0 ? 64 : slot.extendTo,
    mayWiden: extended && !sized,
  })
  return true
}

/** Four bits that share a byte with the register of `is4`, which stands before them in the operands. */
function matchNibble(operand: bigint | Exclude<Operand, number>, form: Form, fields: Fields): boolean {
  const register = fields.trailers.at(-1)
  if (typeof operand !== 'bigint' || typeof register?.value !== 'bigint') return false
  if (operand < 0n || operand > 15n) {
    throw new AssemblerError(
      'ERR_RANGE',
      `${form.mnemonic.toLowerCase()}: ${formatOperand(operand)} does not fit in 4 bits`,
    )
  }
  fields.trailers[fields.trailers.length - 1] = { ...register, value: register.value | operand }
  return true
}

function matchRelative(size: 1 | 2 | 4, operand: bigint | Exclude<Operand, number>, fields: Fields): boolean {
  let value: bigint | LabelExpression
  let reach: BranchTarget['reach'] | undefined
  if (typeof operand === 'bigint') value = operand
  else if (operand instanceof Label || operand instanceof LabelExpression) value = asExpression(operand)
  else if (operand.type === 'target') {
    value = operand.target
    reach = operand.reach
  } else return false
  if (reach !== undefined && (reach === 'short') !== (size === 1)) return false
  fields.trailers.push({
    kind: 'relative',
    size,
    value,
    extendTo: 64,
    mayWiden: size === 1 && reach === undefined,
  })
  return true
}

/** Prefixes, REX or VEX, opcode, ModRM, SIB, displacement, immediates: SDM vol. 2A, "Instruction Format". */
function emit(form: Form, fields: Fields, context: EncodeContext): EncodedForm | undefined {
  const { bits } = context
  const memory = fields.memory
  const addressed = memory ?? fields.moffs ?? fields.implied
  const bytes: number[] = []
  const fixups: Fixup[] = []

  let addressBits: 16 | 32 | 64 = bits
  if (addressed !== undefined) addressBits = addressBitsOf(addressed, bits)
  else if (form.addressSize !== 0) addressBits = form.addressSize
  else if (context.addressSize !== 0) addressBits = context.addressSize
  if (form.addressSize !== 0 && form.addressSize !== addressBits) return undefined

  if (context.lock) {
    if (!form.lockable || memory === undefined) {
      throw new AssemblerError('ERR_PREFIX', `${form.mnemonic} cannot be locked with these operands`)
    }
    bytes.push(0xf0)
  }
  if (context.repeat !== 0) {
    if (!form.repeatable) throw new AssemblerError('ERR_PREFIX', `${form.mnemonic} does not repeat`)
    bytes.push(context.repeat)
  }
  const segment = addressed?.segment
  if (segment !== undefined && addressed !== undefined) {
    const usual = memory === undefined ? SEGMENT_DS : defaultSegment(memory)
    if (segment.number !== usual) bytes.push(PREFIX_OF_SEGMENT[segment.number] ?? 0)
  }
  if (addressBits !== bits) bytes.push(0x67)

  const address = memory === undefined ? undefined : encodeAddress(memory, bits, addressBits, form.sib)
  if (!emitOpcode(form, fields, address, bits, bytes)) return undefined

  let waitingBytes = 0
  if (address !== undefined) {
    bytes.push((address.mod << 6) | ((fields.reg & 7) << 3) | address.rm)
    if (address.sib >= 0) bytes.push(address.sib)
    if (address.dispBytes !== 0) {
      fieldInto(bytes, fixups, {
        kind: address.ripRelative ? 'relative' : addressBits === 64 ? 'signed' : 'absolute',
        size: address.dispBytes,
        value: address.disp,
        addressBits: address.ripRelative ? 64 : addressBits,
      })
    }
  } else if (form.hasModrm) {
    bytes.push(form.fixedModrm >= 0 ? form.fixedModrm : 0xc0 | ((fields.reg & 7) << 3) | (fields.rm & 7))
  }
  if (fields.moffs !== undefined) {
    const size = addressBits === 16 ? 2 : addressBits === 32 ? 4 : 8
    const { disp } = fields.moffs
    if (typeof disp === 'bigint' && !fitsEither(disp, size * 8)) return undefined
    if (fields.moffs.dispBits !== 0 && fields.moffs.dispBits !== size * 8) return undefined
    fieldInto(bytes, fixups, { kind: 'absolute', size, value: disp, addressBits })
  }
  for (const trailer of fields.trailers) {
    if (trailer.mayWiden && typeof trailer.value !== 'bigint') waitingBytes = trailer.size
    if (trailer.kind === 'relative' && trailer.mayWiden) waitingBytes = trailer.size
    const wraps = form.operandSize === 16 ? 16 : bits === 64 ? 64 : 32
    fieldInto(bytes, fixups, {
      kind: trailer.kind,
      size: trailer.size,
      value: trailer.value,
      addressBits: trailer.kind === 'relative' ? wraps : trailer.extendTo,
    })
  }
  if (form.map === MAP_3DNOW) bytes.push(form.opcode)
  if (bytes.length > 15) {
    throw new AssemblerError('ERR_OPERAND', `${form.mnemonic}: longer than 15 bytes`)
  }
  // Distances count from the end of the instruction, which is known only now.
  const settled = fixups.map((fixup) => ({ ...fixup, origin: bytes.length }))
  const immediateBytes = fields.trailers.reduce((sum, { size }) => sum + size, 0)
  return { bytes, fixups: settled, guessedSize: fields.guessedSize, immediateBytes, waitingBytes }
}

function fieldInto(
  bytes: number[],
  fixups: Fixup[],
  field: {
    readonly kind: 'absolute' | 'signed' | 'relative'
    readonly size: 1 | 2 | 4 | 8
    readonly value: bigint | LabelExpression
    readonly addressBits: 16 | 32 | 64
  },
): void {
  if (field.kind !== 'relative' && typeof field.value === 'bigint') {
    pushValue(bytes, field.value, field.size)
    return
  }
  fixups.push({ ...field, offset: bytes.length, origin: 0 })
  pushValue(bytes, 0n, field.size)
}

/** Size and mandatory prefixes, REX or VEX, and the opcode. False: the form cannot be had with these registers. */
function emitOpcode(
  form: Form,
  fields: Fields,
  address: AddressEncoding | undefined,
  bits: 16 | 32 | 64,
  bytes: number[],
): boolean {
  const w = form.vexW || form.sizing[bits] === 'w'
  const r = fields.reg >> 3
  const x = address?.rexX ?? 0
  const b = address?.rexB ?? (fields.rm >> 3 || fields.opcodeReg >> 3)
  const opcode = form.opcode | (fields.opcodeReg & 7)
  if (form.vex) {
    if (fields.forbidsRex) return false
    const pp = form.prefix === 0x66 ? 1 : form.prefix === 0xf3 ? 2 : form.prefix === 0xf2 ? 3 : 0
    const low = ((~fields.vvvv & 15) << 3) | (form.vexL << 2) | pp
    // The two-byte prefix has R alone and map 0F.
    if (!form.xop && form.map === 1 && !w && x === 0 && b === 0) bytes.push(0xc5, ((r ^ 1) << 7) | low)
    else {
      bytes.push(form.xop ? 0x8f : 0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | form.map)
      bytes.push((w ? 0x80 : 0) | low)
    }
    bytes.push(opcode)
    return true
  }
  if (form.sizing[bits] === '66' && form.prefix !== 0x66) bytes.push(0x66)
  if (form.prefix !== 0) bytes.push(form.prefix)
  const rex = (w ? 8 : 0) | (r << 2) | (x << 1) | b
  if (rex !== 0 || fields.needsRex) {
    if (bits !== 64) return false
    if (fields.forbidsRex) {
      throw new AssemblerError('ERR_OPERAND', `${form.mnemonic}: AH, BH, CH and DH cannot stand beside a REX prefix`)
    }
    bytes.push(0x40 | rex)
  }
  if (form.map !== 0) bytes.push(0x0f)
  if (form.map === 2) bytes.push(0x38)
  else if (form.map === 3) bytes.push(0x3a)
  bytes.push(form.map === MAP_3DNOW ? 0x0f : opcode)
  return true
}
