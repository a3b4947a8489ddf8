/** Kinds of operands as small numbers, to find the forms that could take them without matching each. */
import type { Slot } from './form.ts'
import type { Operand } from './operands.ts'
import type { RegisterClass } from './register.ts'

const KIND_VALUE = 1
const KIND_IMMEDIATE = 2
const KIND_TARGET = 3
const KIND_FAR = 4
const KIND_MEMORY = 5
const KIND_BROADCAST = 6
const KIND_ROUNDING = 7
const KIND_FLAGS = 30
/** Added to the kind of an operand that is written under a mask. */
const MASKED = 32
/** More than there are kinds; with six operands the key is still a whole number that is exact. */
const KINDS = 64

const REGISTER_KINDS: { readonly [Class in RegisterClass]: number } = {
  gp8: 8,
  gp8High: 9,
  gp16: 10,
  gp32: 11,
  gp64: 12,
  segment: 13,
  control: 14,
  debug: 15,
  x87: 16,
  mmx: 17,
  xmm: 18,
  ymm: 19,
  mask: 20,
  tile: 21,
  zmm: 22,
  xmmHigh: 23,
  ymmHigh: 24,
  bound: 25,
}

/** Classes of which some registers are a class of their own. */
export const HIGH_CLASSES: { readonly [Class in RegisterClass]?: RegisterClass } = {
  gp8: 'gp8High',
  xmm: 'xmmHigh',
  ymm: 'ymmHigh',
}

const TYPE_KINDS: Readonly<Record<Exclude<(Operand & object)['type'], 'register' | 'masked'>, number>> = {
  memory: KIND_MEMORY,
  broadcast: KIND_BROADCAST,
  rounding: KIND_ROUNDING,
  dfv: KIND_FLAGS,
  label: KIND_VALUE,
  expression: KIND_VALUE,
  immediate: KIND_IMMEDIATE,
  target: KIND_TARGET,
  far: KIND_FAR,
}

function kindOf(operand: Operand): number {
  if (typeof operand !== 'object') return KIND_VALUE
  if (operand.type === 'register') return REGISTER_KINDS[operand.class]
  return operand.type === 'masked' ? MASKED + kindOf(operand.operand) : TYPE_KINDS[operand.type]
}

/** One number for the kinds of all operands. */
export function kindsOf(operands: readonly Operand[]): number {
  let key = 0
  for (const operand of operands) key = key * KINDS + kindOf(operand)
  return key
}

/** The kinds of operands that slots without a register take. */
const SLOT_KINDS: Readonly<Record<Exclude<Slot['kind'], 'register' | 'fixed' | 'rm'>, readonly number[]>> = {
  memory: [KIND_MEMORY],
  moffs: [KIND_MEMORY],
  implied: [KIND_MEMORY],
  one: [KIND_VALUE],
  nibble: [KIND_VALUE],
  immediate: [KIND_VALUE, KIND_IMMEDIATE],
  relative: [KIND_VALUE, KIND_TARGET],
  far: [KIND_FAR],
  absolute: [KIND_VALUE],
  flags: [KIND_FLAGS],
}

function takesKind(slot: Slot, operand: Operand): boolean {
  const kind = kindOf(operand) % MASKED
  if (slot.kind !== 'register' && slot.kind !== 'fixed' && slot.kind !== 'rm')
    return SLOT_KINDS[slot.kind].includes(kind)
  if (kind === KIND_MEMORY || kind === KIND_BROADCAST) return slot.kind === 'rm'
  const high = HIGH_CLASSES[slot.class]
  return kind === REGISTER_KINDS[slot.class] || (high !== undefined && kind === REGISTER_KINDS[high])
}

/** Returns true if slots and operands are equal in number and each slot accepts its operand. */
export function takesKinds(slots: readonly Slot[], operands: readonly Operand[]): boolean {
  return (
    slots.length === operands.length &&
    slots.every((slot, index) => {
      const operand = operands[index]
      return operand !== undefined && takesKind(slot, operand)
    })
  )
}
