import { writableSize, type Form, type Slot } from './form.ts'
import type { Operand } from './operands.ts'
import { takesBroadcast } from './match.ts'
import { HIGH_CLASSES } from './operand-kinds.ts'
import { registerOf } from './registers.ts'
import type { RegisterClass } from './register.ts'

const CLASS_NAMES: { readonly [Class in RegisterClass]: string } = {
  gp8: 'r8',
  gp8High: 'r8',
  gp16: 'r16',
  gp32: 'r32',
  gp64: 'r64',
  segment: 'sreg',
  control: 'cr',
  debug: 'dr',
  x87: 'st',
  mmx: 'mm',
  xmm: 'xmm',
  xmmHigh: 'xmm',
  ymm: 'ymm',
  ymmHigh: 'ymm',
  zmm: 'zmm',
  mask: 'k',
  tile: 'tmm',
  bound: 'bnd',
}

function memoryName(size: number): string {
  return size === 0 ? 'm' : `m${size * 8}`
}

/** Names of slots in the manuals' notation. */
const SLOT_NAMES: { readonly [Kind in Slot['kind']]: (slot: Extract<Slot, { kind: Kind }>) => string } = {
  register: (slot) => CLASS_NAMES[slot.class],
  rm: (slot) =>
    slot.class.startsWith('gp') && slot.size * 8 === Number(slot.class.slice(2))
      ? `r/m${slot.size * 8}`
      : `${CLASS_NAMES[slot.class]}/${memoryName(slot.size)}`,
  memory: ({ size, index }) => (index === undefined ? memoryName(size) : `vm${size * 8}${index[0]}`),
  fixed: (slot) => registerOf(slot.class, slot.number)?.name ?? CLASS_NAMES[slot.class],
  one: () => '1',
  immediate: ({ size }) => `imm${size * 8}`,
  nibble: () => 'imm4',
  relative: ({ size }) => `rel${size * 8}`,
  far: ({ bits }) => `ptr16:${bits}`,
  moffs: ({ size }) => `moffs${size * 8}`,
  absolute: () => 'target64',
  flags: () => 'dfv',
  implied: ({ base }) => `[${base === 6 ? 'rsi' : base === 7 ? 'rdi' : 'rbx'}]`,
}

/** A slot as messages name it: `r/m32`, `imm8`, `xmm`. */
export function describeSlot(slot: Slot): string {
  return (SLOT_NAMES[slot.kind] as (slot: Slot) => string)(slot)
}

/** The operands of a form in the manuals' notation: `zmm {k}{z}, zmm, zmm/m512/m32bcst {er}`. */
export function describeSlots(form: Form): string {
  const named = form.slots.map((slot, index) => {
    const mask =
      index > 0 || form.masking === 'none' ? '' : form.masking === 'zero' && slot.kind !== 'memory' ? ' {k}{z}' : ' {k}'
    const isBroadcast = form.broadcast !== 0 && takesBroadcast(slot)
    return describeSlot(slot) + (isBroadcast ? `/m${form.broadcast * 8}bcst` : '') + mask
  })
  const rounding = form.rounding === 'none' ? '' : form.rounding === 'sae' ? ' {sae}' : ' {er}'
  return named.join(', ') + rounding
}

/** An operand without its mask or broadcast. */
function plainOperand(operand: Operand): Operand {
  if (typeof operand !== 'object') return operand
  return operand.type === 'masked' ? operand.operand : operand.type === 'broadcast' ? operand.memory : operand
}

/** Returns 2 for the same class, 1 for another class of general or vector registers, otherwise 0. */
function suitsClass(wanted: RegisterClass, given: RegisterClass): number {
  if (given === wanted || HIGH_CLASSES[wanted] === given) return 2
  const familyOf = (kind: RegisterClass): string => (kind.startsWith('gp') ? 'gp' : kind.slice(1, 3))
  return familyOf(wanted) === familyOf(given) ? 1 : 0
}

/** How well an operand suits a slot, for choosing a suggestion: 2 yes, 1 the right kind, 0 no. */
function suits(slot: Slot, given: Operand): number {
  const operand = plainOperand(given)
  const type = typeof operand === 'number' || typeof operand === 'bigint' ? 'value' : operand.type
  switch (slot.kind) {
    case 'register':
    case 'fixed':
      if (typeof operand !== 'object' || operand.type !== 'register') return 0
      return suitsClass(slot.class, operand.class)
    case 'rm':
      if (typeof operand !== 'object') return 0
      if (operand.type === 'memory') return operand.size === slot.size ? 2 : 1
      if (operand.type !== 'register') return 0
      return suitsClass(slot.class, operand.class)
    case 'memory':
    case 'moffs':
    case 'implied':
      if (typeof operand !== 'object' || operand.type !== 'memory') return 0
      return slot.kind === 'implied' || operand.size === writableSize(slot.size) ? 2 : 1
    case 'one':
      return operand === 1 || operand === 1n ? 2 : 0
    case 'nibble':
      return type === 'value' ? 2 : 0
    case 'immediate':
      return type === 'value' || type === 'immediate' || type === 'label' || type === 'expression' ? 2 : 0
    case 'relative':
      return type === 'target' || type === 'label' || type === 'expression' || type === 'value' ? 2 : 0
    case 'far':
      return type === 'far' ? 2 : 0
    case 'absolute':
      return type === 'label' || type === 'expression' || type === 'value' ? 2 : 0
    case 'flags':
      return type === 'dfv' ? 2 : 0
  }
}

/** A form in words, and how near it comes to the operands: higher is nearer. */
export function describeForm(
  form: Form,
  operands: readonly Operand[],
): { readonly text: string; readonly score: number } {
  const text = `${form.mnemonic.toLowerCase()} ${describeSlots(form)}`.trimEnd()
  let score = -3 * Math.abs(form.slots.length - operands.length)
  for (const [index, slot] of form.slots.entries()) {
    const operand = operands[index]
    if (operand !== undefined) score += suits(slot, operand)
  }
  return { text, score }
}

/** Number of letters to insert, remove or change to turn one word into the other. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [above, letter] of Array.from(one).entries()) {
    const next = [above + 1]
    for (let index = 0; index < other.length; index++) {
      const changed = (row[index] ?? 0) + (letter === other[index] ? 0 : 1)
      next.push(Math.min(changed, (row[index + 1] ?? 0) + 1, (next[index] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}

/** At most three of `names` that differ from `name` by no more than a slip of the pen, the nearest first. */
export function nearestNames(name: string, names: Iterable<string>): string[] {
  const most = name.length < 4 ? 1 : 2
  return [...names]
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .filter(({ distance }) => distance <= most)
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate)
}
