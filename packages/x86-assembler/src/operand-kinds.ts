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

function kindOf(operand: Operand): number {
  if (typeof operand !== 'object') return KIND_VALUE
  switch (operand.type) {
    case 'register':
      return REGISTER_KINDS[operand.class]
    case 'memory':
      return KIND_MEMORY
    case 'masked':
      return MASKED + kindOf(operand.operand)
    case 'broadcast':
      return KIND_BROADCAST
    case 'rounding':
      return KIND_ROUNDING
    case 'dfv':
      return KIND_FLAGS
    case 'label':
    case 'expression':
      return KIND_VALUE
    case 'immediate':
      return KIND_IMMEDIATE
    case 'target':
      return KIND_TARGET
    case 'far':
      return KIND_FAR
  }
}

/** One number for the kinds of all operands. */
export function kindsOf(operands: readonly Operand[]): number {
  let key = 0
  for (const operand of operands) key = key * KINDS + kindOf(operand)
  return key
}

function takesKind(slot: Slot, operand: Operand): boolean {
  const kind = kindOf(operand) % MASKED
  switch (slot.kind) {
    case 'register':
    case 'fixed':
    case 'rm': {
      if (kind === KIND_MEMORY || kind === KIND_BROADCAST) return slot.kind === 'rm'
      const high = HIGH_CLASSES[slot.class]
      return kind === REGISTER_KINDS[slot.class] || (high !== undefined && kind === REGISTER_KINDS[high])
    }
    case 'memory':
    case 'moffs':
    case 'implied':
      return kind === KIND_MEMORY
    case 'one':
    case 'nibble':
      return kind === KIND_VALUE
    case 'immediate':
      return kind === KIND_VALUE || kind === KIND_IMMEDIATE
    case 'relative':
      return kind === KIND_VALUE || kind === KIND_TARGET
    case 'far':
      return kind === KIND_FAR
    case 'absolute':
      return kind === KIND_VALUE
    case 'flags':
      return kind === KIND_FLAGS
  }
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
