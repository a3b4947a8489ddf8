// Random operands for a form: what a slot takes, with registers and addresses that the mode has.
import * as x86 from '../../src/index.ts'
import type * as X from '../../src/index.ts'
import { far16, far32 } from '../../src/index.ts'
import type { Form, Slot } from '../../src/form.ts'
import { takesBroadcast } from '../../src/match.ts'

/** A small generator of repeatable pseudo-random numbers (xorshift32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed === 0 ? 1 : seed | 0
  }

  /** An integer from 0 to `bound` - 1. */
  below(bound: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % bound
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }
}

type Mode = 16 | 32 | 64

const CONSTRUCTORS: Readonly<Record<number, (place: X.Place, options?: X.MemoryOptions) => X.Memory>> = {
  0: x86.ptr,
  1: x86.byte,
  2: x86.word,
  4: x86.dword,
  6: x86.fword,
  8: x86.qword,
  10: x86.tbyte,
  16: x86.xmmword,
  32: x86.ymmword,
  64: x86.zmmword,
}

function memoryOf(size: number, place: X.Place, options?: X.MemoryOptions): X.Memory {
  return (CONSTRUCTORS[size] ?? x86.ptr)(place, options)
}

/** Registers of a class that a mode has; with `evex` also those that only EVEX can name, with `apx` those of APX. */
function registersOf(kind: X.RegisterClass, mode: Mode, evex = false, apx = false): X.Register[] {
  const out: X.Register[] = []
  if (apx && kind.startsWith('gp')) {
    for (let number = 16; number < 32; number++) {
      const found = x86.registerOf(kind, number)
      if (found !== undefined) out.push(found)
    }
  }
  if (evex && mode === 64 && /^[xyz]mm/.test(kind)) {
    for (let number = 16; number < 32; number++) {
      const found = x86.registerOf(kind, number) ?? x86.registerOf(kind === 'xmm' ? 'xmmHigh' : 'ymmHigh', number)
      if (found !== undefined) out.push(found)
    }
  }
  for (let number = 0; number < (mode === 64 ? 16 : 8); number++) {
    const found = x86.registerOf(kind, number)
    if (found === undefined) continue
    if (kind === 'gp8' && mode !== 64 && number >= 4) continue
    out.push(found)
  }
  return out
}

const DISPLACEMENTS = [0, 1, 127, -128, 128, -129, 0x1234, 0x7fff]

/** `scale`: what an 8-bit displacement is multiplied by. */
function randomDisplacement(random: Random, scale: number): number {
  return scale > 1 && random.below(2) === 0
    ? scale * random.pick([1, -1, 127, -128, 128, -129])
    : random.pick(DISPLACEMENTS)
}

/** `scale`: what an 8-bit displacement is multiplied by. */
function randomMemory(
  size: number,
  mode: Mode,
  random: Random,
  { addressSize: forced }: Form,
  scale: number,
  apx: boolean,
): X.Memory {
  const segment = random.below(4) === 0 ? x86.registerOf('segment', 4 + random.below(2)) : undefined
  const common: { segment?: X.SegmentRegister; disp?: number } = segment === undefined ? {} : { segment }
  const disp = randomDisplacement(random, scale)
  const shape = forced === 0 ? random.below(8) : forced === mode ? 4 : 2
  if (shape === 0) {
    return memoryOf(
      size,
      mode === 64 ? x86.abs(random.below(0x7fff_ffff)) : random.below(mode === 16 ? 0xffff : 0x7fff_ffff),
      common,
    )
  }
  if (shape === 1 && mode === 64) return memoryOf(size, x86.rip(0x1000 + random.below(0x1000)), common)
  const bits = mode === 64 ? (shape === 2 ? 32 : 64) : shape === 2 ? (mode === 16 ? 32 : 16) : mode
  if (bits === 16) {
    const [base, index] = random.pick([
      ['bx', 'si'],
      ['bx', 'di'],
      ['bp', 'si'],
      ['bp', 'di'],
      ['si', ''],
      ['di', ''],
      ['bp', ''],
      ['bx', ''],
    ] as const)
    const numbers = { bx: 3, bp: 5, si: 6, di: 7 }
    const place = x86.registerOf('gp16', numbers[base]) as X.AddressRegister
    const second = index === '' ? undefined : (x86.registerOf('gp16', numbers[index]) as X.AddressRegister)
    return memoryOf(size, place, { ...common, disp, ...(second === undefined ? {} : { index: second }) })
  }
  const kind = bits === 32 ? 'gp32' : 'gp64'
  const base = random.pick(registersOf(kind, mode, false, apx)) as X.AddressRegister
  if (random.below(2) === 0) return memoryOf(size, base, { ...common, disp })
  let index = random.pick(registersOf(kind, mode, false, apx)) as X.AddressRegister
  if (index.number === 4) index = x86.registerOf(kind, 5) as X.AddressRegister
  // An index without base, in the scales that cannot be said another way.
  if (shape === 3)
    return memoryOf(size, random.below(0x1000), { ...common, index, scale: random.pick([4, 8] as const) })
  return memoryOf(size, base, { ...common, disp, index, scale: random.pick([1, 2, 4, 8] as const) })
}

/** Memory with a vector register as index, with and without a base. */
function randomGather(size: number, index: 'xmm' | 'ymm' | 'zmm', mode: Mode, random: Random, form: Form): X.Memory {
  const options: X.MemoryOptions = {
    index: random.pick(registersOf(index, mode, form.encoding === 'evex')) as X.VectorIndex,
    scale: random.pick([1, 2, 4, 8] as const),
  }
  const wide = mode === 64 && random.below(4) !== 0
  if (random.below(4) === 0) {
    return memoryOf(size, x86.abs(random.below(0x7fff_ffff)), { ...options, addressBits: mode === 64 ? 64 : 32 })
  }
  const base = random.pick(registersOf(wide ? 'gp64' : 'gp32', mode)) as X.AddressRegister
  return memoryOf(size, base, { ...options, disp: randomDisplacement(random, form.disp8Scale) })
}

/** Values that fit in `bits`, and, sign-extended, in no fewer than 8 more than the next narrower field. */
function randomImmediate(slot: Extract<Slot, { kind: 'immediate' }>, random: Random): number | bigint {
  const bits = slot.size * 8
  if (slot.extendTo !== 0 || slot.size === 1) {
    const half = 2 ** (bits - 1)
    const value = random.below(half)
    // Of a sign-extended field both halves; of a plain byte the upper half unsigned.
    return random.below(2) === 0 ? value : slot.extendTo !== 0 ? value - half : value + half
  }
  if (slot.size === 8) return (BigInt(random.below(2 ** 31)) << 32n) | 0x1_0000_0000n | BigInt(random.below(2 ** 31))
  return 2 ** (bits - 2) + random.below(2 ** (bits - 2))
}

/** The branch target that random operands have: so near that every displacement reaches it. */
export const BRANCH_TARGET = 0x1000 + 64

/** The destination as it is, or, where the form may have one, under a mask. */
function underMask(operand: X.Operand, form: Form, random: Random): X.Operand {
  if (form.masking === 'none' || (form.masking !== 'required' && random.below(2) === 0)) return operand
  if (typeof operand !== 'object' || (operand.type !== 'register' && operand.type !== 'memory')) return operand
  const mask = x86.registerOf('mask', 1 + random.below(7)) as X.MaskRegister
  if (operand.type === 'memory') return operand.k(mask)
  const masked = (operand as X.MaskableRegister).k(mask)
  return form.masking === 'zero' && random.below(2) === 0 ? masked.z() : masked
}

/** Random operands for a form, with what EVEX can add to them, and with the registers of APX if that is asked for. */
export function randomOperands(form: Form, mode: Mode, random: Random, apx = false): X.Operand[] {
  const operands = form.slots.map((slot) => randomOperand(slot, form, mode, random, apx))
  const [first] = operands
  if (form.encoding === 'evex' && first !== undefined) operands[0] = underMask(first, form, random)
  const isRegisters = form.slots.every(({ kind }, index) => {
    const operand = operands[index]
    return kind === 'immediate' || (typeof operand === 'object' && /^(register|masked)$/.test(operand.type))
  })
  if (form.rounding !== 'none' && isRegisters && random.below(2) === 0) {
    const rounding = form.rounding === 'sae' ? x86.sae : random.pick([x86.rnSae, x86.rdSae, x86.ruSae, x86.rzSae])
    const immediates = form.slots.filter(({ kind }) => kind === 'immediate').length
    operands.splice(operands.length - immediates, 0, rounding)
  }
  return operands
}

function randomOperand(slot: Slot, form: Form, mode: Mode, random: Random, apx: boolean): X.Operand {
  const evex = form.encoding === 'evex'
  switch (slot.kind) {
    case 'register':
      return random.pick(registersOf(slot.class, mode, evex, apx))
    case 'rm': {
      const shape = random.below(4)
      if (shape < 2) return random.pick(registersOf(slot.class, mode, evex, apx))
      if (shape === 2 && form.broadcast !== 0 && takesBroadcast(slot)) {
        const element = randomMemory(form.broadcast, mode, random, form, form.broadcast, apx)
        return element.bcst((slot.size / form.broadcast) as 2 | 4 | 8 | 16 | 32)
      }
      return randomMemory(slot.size, mode, random, form, form.disp8Scale, apx)
    }
    case 'memory':
      return slot.index === undefined
        ? randomMemory(slot.size, mode, random, form, form.disp8Scale, apx)
        : randomGather(slot.size, slot.index, mode, random, form)
    case 'fixed':
      return x86.registerOf(slot.class, slot.number) as X.Register
    case 'one':
      return 1
    case 'immediate':
      return randomImmediate(slot, random)
    case 'nibble':
      return random.below(16)
    case 'absolute':
      return 0x1234_5678_9abc_def0n
    case 'flags':
      return x86.dfv(...(['of', 'sf', 'zf', 'cf'] as const).filter(() => random.below(2) === 0))
    case 'relative':
      return BRANCH_TARGET
    case 'far':
      return slot.bits === 16
        ? far16(random.below(0x10000), random.below(0x10000))
        : far32(random.below(0x10000), random.below(0x7fff_ffff))
    case 'moffs':
      return memoryOf(
        slot.size,
        x86.abs(mode === 64 ? 0x1234_5678_9abc_def0n : random.below(mode === 16 ? 0xffff : 0x7fff_ffff)),
      )
    case 'implied':
      return memoryOf(
        slot.size,
        x86.registerOf(mode === 64 ? 'gp64' : mode === 32 ? 'gp32' : 'gp16', slot.base) as X.AddressRegister,
      )
  }
}
