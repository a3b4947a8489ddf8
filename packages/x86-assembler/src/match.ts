import { AssemblerError } from './checks.ts'
import { fitsEither, fitsSignExtended } from './fixups.ts'
import type { DefaultFlags } from './flags.ts'
import type { Field, Form, Slot } from './form.ts'
import { asExpression, Label, LabelExpression } from './labels.ts'
import type { Rounding } from './masked.ts'
import { HIGH_CLASSES } from './operand-kinds.ts'
import { formatOperand, type BranchTarget, type FarPointer, type Operand } from './operands.ts'
import { changedMemory, isVectorIndex, type Broadcast, type Memory } from './memory.ts'
import { asValue } from './values.ts'
import type { Register, RegisterClass } from './register.ts'

/** A value field after ModRM, in the order of encoding. */
export interface Trailer {
  readonly kind: 'absolute' | 'signed' | 'relative'
  readonly size: 1 | 2 | 4 | 8
  readonly value: bigint | LabelExpression
  /** For `signed`: the width that it is extended to. */
  readonly extendTo: 16 | 32 | 64
}

/** The fields that matching operands against the slots of a form has found. */
export interface Fields {
  reg: number
  rm: number
  /** `rm` is a general register: EVEX has its fifth bit elsewhere than a vector register's. */
  rmIsGeneral: boolean
  opcodeReg: number
  vvvv: number
  /** OF, SF, ZF and CF of CCMP and CTEST. */
  defaultFlags: number
  memory: Memory | undefined
  /** EVEX.aaa, EVEX.z, EVEX.b. */
  mask: number
  zeroing: boolean
  broadcast: boolean
  rounding: Rounding['mode'] | undefined
  /** Memory that the instruction finds by itself; only its address size and segment are encoded. */
  implied: Memory | undefined
  moffs: Memory | undefined
  needsRex: boolean
  forbidsRex: boolean
  guessedSize: number
  /** The operands are of the right kinds, but one has a value that the form cannot hold. */
  problem: (() => AssemblerError) | undefined
  readonly trailers: Trailer[]
}

/** An operand with numbers as bigints. */
type WholeOperand = bigint | Exclude<Operand, number>

/**
 * Matches the operands against the slots of a form.
 *
 * @returns what is to be encoded, or undefined where the form does not take operands of these kinds
 * @throws AssemblerError `ERR_OPERAND` on a number that is not whole
 */
export function matchForm(form: Form, given: readonly Operand[], bits: 16 | 32 | 64): Fields | undefined {
  const rounding = form.encoding === 'evex' ? roundingOf(given, form) : undefined
  if (rounding !== undefined && form.rounding !== (rounding === 'sae' ? 'sae' : 'rounding')) return undefined
  const operands = rounding === undefined ? given : withoutRounding(given)
  const slots = form.slots.length === operands.length ? form.slots : form.requiredSlots
  if (slots.length !== operands.length) return undefined
  const fields: Fields = {
    reg: Math.max(form.extension, 0),
    rm: 0,
    rmIsGeneral: false,
    opcodeReg: 0,
    vvvv: 0,
    defaultFlags: 0,
    memory: undefined,
    mask: 0,
    zeroing: false,
    broadcast: false,
    rounding,
    implied: undefined,
    moffs: undefined,
    needsRex: false,
    forbidsRex: false,
    guessedSize: 0,
    problem: undefined,
    trailers: [],
  }
  for (let index = 0; index < slots.length; index++) {
    const slot = slots[index]
    const operand = operands[index]
    if (slot === undefined || operand === undefined) return undefined
    let whole = typeof operand === 'number' ? (asValue(operand) as bigint) : operand
    if (form.encoding === 'evex') {
      if (typeof whole === 'object' && whole.type === 'masked') {
        if (index > 0) return undefined
        fields.mask = whole.mask.number
        fields.zeroing = whole.zeroing
        whole = whole.operand
      }
      if (typeof whole === 'object' && whole.type === 'broadcast') {
        if (!allowsBroadcast(form, slot, whole)) return undefined
        fields.broadcast = true
        fields.memory = whole.memory
        continue
      }
    }
    if (!matchSlot(slot, whole, form, bits, fields)) return undefined
  }
  if (form.encoding === 'evex' && !allowsMask(form, fields)) return undefined
  // With rounding EVEX.L'L is no length, and there is no memory operand.
  return rounding !== undefined && fields.memory !== undefined ? undefined : fields
}

const isRounding = (operand: Operand): operand is Rounding => typeof operand === 'object' && operand.type === 'rounding'

/** Returns the rounding mode, if given in its place: after the registers, before an immediate. */
function roundingOf(operands: readonly Operand[], form: Form): Rounding['mode'] | undefined {
  const registers = form.slots.filter(({ kind }) => kind !== 'immediate').length
  const operand = operands[registers]
  return operand !== undefined && isRounding(operand) ? operand.mode : undefined
}

/** Returns the operands without a rounding operand. */
export function withoutRounding(operands: readonly Operand[]): readonly Operand[] {
  return operands.filter((operand) => !isRounding(operand))
}

/** Returns whether a slot's memory may be a broadcast element. */
export function takesBroadcast(slot: Slot): boolean {
  return slot.kind === 'rm' && /^[xyz]mm/.test(slot.class)
}

function allowsBroadcast(form: Form, slot: Slot, { memory, count }: Broadcast): boolean {
  if (form.broadcast === 0 || slot.kind !== 'rm' || !takesBroadcast(slot)) return false
  if (memory.size !== 0 && memory.size !== form.broadcast) return false
  return count * form.broadcast === slot.size && !isVectorIndex(memory.index)
}

/** Source: Intel SDM vol. 2A, "Opmask Register Encoding" and "Opmask Register to Predicate Vector Data Processing". */
function allowsMask(form: Form, fields: Fields): boolean {
  if (fields.mask === 0) return form.masking !== 'required'
  if (form.masking === 'none') return false
  return !fields.zeroing || (form.masking === 'zero' && !(fields.memory !== undefined && writesMemory(form)))
}

function writesMemory(form: Form): boolean {
  const [first] = form.slots
  return first?.kind === 'rm' || first?.kind === 'memory'
}

/** Tells whether a form has bits for the registers from 16 on: EVEX, and for general registers REX2. */
function reachesHigh({ encoding }: Form, kind: RegisterClass): boolean {
  return encoding === 'evex' || ((encoding === 'legacy' || encoding === 'rex2') && kind.startsWith('gp'))
}

function matchRegister(register: Register, kind: RegisterClass, fields: Fields, form: Form, bits: number): boolean {
  if (register.class !== kind && HIGH_CLASSES[kind] !== register.class) return false
  if (register.number > 7 && bits !== 64) return false
  if (register.number > 15 && !reachesHigh(form, kind)) return false
  if (register.class === 'gp8High') fields.forbidsRex = true
  if (register.class === 'gp8' && register.number >= 4 && register.number < 8) {
    if (bits !== 64) return false
    fields.needsRex = true
  }
  return true
}

function place(fields: Fields, field: Field, { class: kind, number }: Register): void {
  if (field === 'reg') fields.reg = number
  else if (field === 'rm') {
    fields.rm = number
    fields.rmIsGeneral = kind.startsWith('gp')
  } else if (field === 'opcode') fields.opcodeReg = number
  else if (field === 'vvvv') fields.vvvv = number
  else fields.trailers.push({ kind: 'absolute', size: 1, value: BigInt(number << 4), extendTo: 64 })
}

function matchMemory(memory: Memory, size: number, form: Form, fields: Fields, index?: RegisterClass): boolean {
  if (isVectorIndex(memory.index)) {
    if (index === undefined) return false
    if (memory.index.class !== index && memory.index.class !== HIGH_CLASSES[index]) return false
    if (memory.index.number > 15 && form.encoding !== 'evex') return false
  } else if (index !== undefined) return false
  if (memory.size === 0) fields.guessedSize = size
  return size === 0 || memory.size === 0 || memory.size === size
}

function matchSlot(slot: Slot, operand: WholeOperand, form: Form, bits: 16 | 32 | 64, fields: Fields): boolean {
  const type = typeof operand === 'bigint' ? 'value' : operand.type
  switch (slot.kind) {
    case 'register':
      if (type !== 'register') return false
      if (!matchRegister(operand as Register, slot.class, fields, form, bits)) return false
      place(fields, slot.field, operand as Register)
      return true
    case 'rm':
      if (type === 'register') {
        if (!matchRegister(operand as Register, slot.class, fields, form, bits)) return false
        place(fields, 'rm', operand as Register)
        return true
      }
      if (type !== 'memory' || !matchMemory(operand as Memory, slot.size, form, fields)) return false
      fields.memory = operand as Memory
      return true
    case 'memory':
      if (type !== 'memory' || !matchMemory(operand as Memory, slot.size, form, fields, slot.index)) return false
      fields.memory = operand as Memory
      return true
    case 'moffs': {
      if (type !== 'memory' || !matchMemory(operand as Memory, slot.size, form, fields)) return false
      const memory = operand as Memory
      if (memory.base !== undefined || memory.index !== undefined) return false
      if (memory.reference === 'rip') return false
      // A label in 64-bit mode is meant relative; only a number or an absolute label has 64-bit offsets to gain from.
      if (memory.reference === 'mode' && bits === 64) return false
      fields.moffs = memory
      return true
    }
    case 'fixed': {
      if (type !== 'register') return false
      const register = operand as Register
      return register.class === slot.class && register.number === slot.number
    }
    case 'one':
      return operand === 1n
    case 'immediate':
      return matchImmediate(slot, operand, form, fields)
    case 'nibble':
      return matchNibble(operand, form, fields)
    case 'relative':
      return matchRelative(slot.size, operand, fields)
    case 'absolute': {
      const target = valueOf(operand)
      if (target === undefined) return false
      fields.trailers.push({ kind: 'absolute', size: 8, value: target, extendTo: 64 })
      return true
    }
    case 'flags':
      if (type !== 'dfv') return false
      fields.defaultFlags = (operand as DefaultFlags).bits
      return true
    case 'far': {
      if (type !== 'far') return false
      const pointer = operand as FarPointer
      if (pointer.bits !== 0 ? pointer.bits !== slot.bits : slot.bits !== bits) return false
      fields.trailers.push(
        { kind: 'absolute', size: slot.bits === 16 ? 2 : 4, value: pointer.offset, extendTo: 64 },
        { kind: 'absolute', size: 2, value: pointer.selector, extendTo: 64 },
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
        fields.implied ??= changedMemory(memory, { segment: undefined })
        return true
      }
      fields.implied = memory
      return true
    }
  }
}

/** The value that an operand stands for where a number may stand, or undefined. */
function valueOf(operand: WholeOperand): bigint | LabelExpression | undefined {
  if (typeof operand === 'bigint') return operand
  return operand instanceof Label || operand instanceof LabelExpression ? asExpression(operand) : undefined
}

function matchImmediate(
  slot: Extract<Slot, { kind: 'immediate' }>,
  operand: WholeOperand,
  form: Form,
  fields: Fields,
): boolean {
  const width = slot.size * 8
  let value = valueOf(operand)
  if (value === undefined) {
    if (typeof operand === 'bigint' || operand.type !== 'immediate' || operand.bits !== width) return false
    value = operand.value
  }
  if (typeof value === 'bigint') {
    const fits = slot.extendTo === 0 ? fitsEither(value, width) : fitsSignExtended(value, width, slot.extendTo)
    if (!fits) {
      const number = value
      const extension = slot.extendTo === 0 ? '' : ` sign-extended to ${slot.extendTo}`
      fields.problem ??= () =>
        new AssemblerError(
          'ERR_RANGE',
          `${form.mnemonic.toLowerCase()}: ${formatOperand(number)} does not fit in ${width} bits${extension}`,
        )
    }
  }
  fields.trailers.push(
    slot.extendTo === 0
      ? { kind: 'absolute', size: slot.size, value, extendTo: 64 }
      : { kind: 'signed', size: slot.size, value, extendTo: slot.extendTo },
  )
  return true
}

/** Four bits that share a byte with the register of `is4`, which stands before them in the operands. */
function matchNibble(operand: WholeOperand, form: Form, fields: Fields): boolean {
  const register = fields.trailers.at(-1)
  if (typeof operand !== 'bigint' || typeof register?.value !== 'bigint') return false
  if (operand < 0n || operand > 15n) {
    fields.problem ??= () =>
      new AssemblerError(
        'ERR_RANGE',
        `${form.mnemonic.toLowerCase()}: ${formatOperand(operand)} does not fit in 4 bits`,
      )
  }
  fields.trailers[fields.trailers.length - 1] = { ...register, value: register.value | operand }
  return true
}

function matchRelative(size: 1 | 2 | 4, operand: WholeOperand, fields: Fields): boolean {
  let value = valueOf(operand)
  let reach: BranchTarget['reach'] | undefined
  if (value === undefined) {
    if (typeof operand === 'bigint' || operand.type !== 'target') return false
    value = operand.target
    reach = operand.reach
  }
  if (reach !== undefined && (reach === 'short') !== (size === 1)) return false
  fields.trailers.push({ kind: 'relative', size, value, extendTo: 64 })
  return true
}
