import type { X86Vcpu } from '@retrap/hvm'
import { inspectVcpu, restoreVcpu, type SavedCpu } from '@retrap/x86-cpu'

/** Makes a change of a saved state; undefined where the register cannot be written. */
type Change = (saved: SavedCpu, value: bigint) => SavedCpu | undefined

/** A register of a saved state. */
interface Access {
  readonly read: (saved: SavedCpu) => bigint | undefined
  readonly write?: Change
}

const hex = (value: bigint): string => `0x${value.toString(16)}`

/** A field of `registers` whose value has the same form in both widths. */
function register(field: string, change: (value: bigint, saved: SavedCpu) => bigint = (value) => value): Access {
  return {
    read: ({ registers }) => BigInt(registers[field]!),
    write: (saved, value) => ({ ...saved, registers: { ...saved.registers, [field]: hex(change(value, saved)) } }),
  }
}

/** The program counter. Writing a new value ends an interrupted string instruction. */
const PROGRAM_COUNTER: Access = {
  read: ({ registers }) => BigInt(registers['rip']!),
  write: (saved, value) => ({
    ...saved,
    registers: { ...saved.registers, rip: hex(value) },
    pending: { ...saved.pending, repeating: '0x0', shadow: '0x0' },
  }),
}

function segmentBase(name: string): Access {
  return {
    read: ({ segments }) => BigInt(segments[name]!.base),
    write: (saved, value) => ({
      ...saved,
      segments: { ...saved.segments, [name]: { ...saved.segments[name]!, base: hex(value) } },
    }),
  }
}

const CR0_PE = 1n
const FLAG_VM = 1n << 17n

function selector(name: string): Access {
  return {
    read: ({ segments }) => BigInt(segments[name]!.selector),
    write: (saved, value) => {
      // In protected mode a segment register needs its descriptor, which only an instruction loads.
      const { cr0, rflags } = saved.registers
      if ((BigInt(cr0!) & CR0_PE) !== 0n && (BigInt(rflags!) & FLAG_VM) === 0n) return undefined
      const segment = {
        ...saved.segments[name]!,
        selector: Number(value & 0xffffn),
        base: hex((value & 0xffffn) << 4n),
      }
      return { ...saved, segments: { ...saved.segments, [name]: segment } }
    },
  }
}

function limit(name: string): Access {
  return {
    read: ({ segments }) => BigInt(segments[name]!.limit),
    write: (saved, value) => ({
      ...saved,
      segments: { ...saved.segments, [name]: { ...saved.segments[name]!, limit: Number(value & 0xffffn) } },
    }),
  }
}

/** Little-endian bytes in hexadecimal. */
function bytesOf(text: string): bigint {
  let value = 0n
  for (let at = text.length - 2; at >= 0; at -= 2)
    value = (value << 8n) | BigInt(Number.parseInt(text.slice(at, at + 2), 16))
  return value
}

function textOf(value: bigint, bytes: number): string {
  let text = ''
  for (let i = 0n; i < BigInt(bytes); i++) text += ((value >> (8n * i)) & 0xffn).toString(16).padStart(2, '0')
  return text
}

/** A half of a YMM register. @param half - 0: XMM */
function vector(i: number, half: 0 | 1): Access {
  const from = 32 * half
  return {
    read: ({ ymm }) => bytesOf(ymm[i]!.slice(from, from + 32)),
    write: (saved, value) => {
      const old = saved.ymm[i]!
      const text = `${old.slice(0, from)}${textOf(value, 16)}${old.slice(from + 32)}`
      return { ...saved, ymm: saved.ymm.with(i, text) }
    },
  }
}

/** Fields of `SavedCpu.extended`: the feature that they come with, and their bytes. */
const EXTENDED = {
  masks: ['AVX512F', 64],
  zmmUpper: ['AVX512F', 512],
  zmm16: ['AVX512F', 1024],
  generalRegisters: ['APX_F', 128],
  tiles: ['AMX_TILE', 8192],
  tileConfiguration: ['AMX_TILE', 64],
} as const

/** A register in bytes `at` and up of a field of extended registers, which a state has where they are not zero. */
function extended(field: keyof typeof EXTENDED, at: number, bytes: number): Access {
  const [feature, whole] = EXTENDED[field]
  const textIn = ({ model, extended: fields }: SavedCpu): string | undefined =>
    model?.features.includes(feature) === true ? (fields?.[field] ?? '00'.repeat(whole)) : undefined
  return {
    read: (saved) => {
      const text = textIn(saved)
      return text === undefined ? undefined : bytesOf(text.slice(2 * at, 2 * (at + bytes)))
    },
    write: (saved, value) => {
      const old = textIn(saved)
      if (old === undefined) return undefined
      const text = `${old.slice(0, 2 * at)}${textOf(value, bytes)}${old.slice(2 * (at + bytes))}`
      return { ...saved, extended: { ...saved.extended, [field]: text } }
    },
  }
}

const TOP_SHIFT = 11n
const TOP_MASK = 7n << TOP_SHIFT

function physicalNumber({ x87 }: SavedCpu, i: number): number {
  return (Number(BigInt(x87['top']!)) + i) & 7
}

/** A register of the x87 stack; one that is written is not empty any more. */
function stack(i: number): Access {
  return {
    read: (saved) => bytesOf(saved.x87Registers[physicalNumber(saved, i)]!),
    write: (saved, value) => {
      const at = physicalNumber(saved, i)
      const empty = BigInt(saved.x87['empty']!) & ~(1n << BigInt(at))
      return {
        ...saved,
        x87: { ...saved.x87, empty: hex(empty) },
        x87Registers: saved.x87Registers.with(at, textOf(value, 10)),
      }
    },
  }
}

function x87Word(field: string): Access {
  return {
    read: ({ x87 }) => BigInt(x87[field]!) & 0xffff_ffffn,
    write: (saved, value) => ({ ...saved, x87: { ...saved.x87, [field]: hex(value) } }),
  }
}

const STATUS: Access = {
  read: ({ x87 }) => (BigInt(x87['status']!) & ~TOP_MASK) | (BigInt(x87['top']!) << TOP_SHIFT),
  write: (saved, value) => ({
    ...saved,
    x87: {
      ...saved.x87,
      status: hex(value & 0xffffn & ~TOP_MASK),
      top: hex((value & TOP_MASK) >> TOP_SHIFT),
    },
  }),
}

const EXPONENT = 0x7fffn
const INTEGER_BIT = 1n << 63n

/** Two bits for each physical register: valid, zero, special, empty (SDM vol. 1, "x87 FPU Tag Word"). */
const TAGS: Access = {
  read: ({ x87, x87Registers }) => {
    const empty = Number(BigInt(x87['empty']!))
    let tags = 0n
    for (const [i, text] of x87Registers.entries()) {
      const value = bytesOf(text)
      const exponent = (value >> 64n) & EXPONENT
      const isSpecial = exponent === EXPONENT || (value & INTEGER_BIT) === 0n
      const isZero = exponent === 0n && BigInt.asUintN(64, value) === 0n
      const tag = (empty >> i) & 1 ? 3n : isZero ? 1n : isSpecial ? 2n : 0n
      tags |= tag << BigInt(2 * i)
    }
    return tags
  },
  write: (saved, value) => {
    let empty = 0
    for (let i = 0; i < 8; i++) if (((value >> BigInt(2 * i)) & 3n) === 3n) empty |= 1 << i
    return { ...saved, x87: { ...saved.x87, empty: hex(BigInt(empty)) } }
  },
}

const ACCESSES = new Map<string, Access>()

for (const name of ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'bp', 'sp']) {
  ACCESSES.set(`r${name}`, register(`r${name}`))
  ACCESSES.set(`e${name}`, register(`r${name}`))
}
for (let i = 8; i < 16; i++) ACCESSES.set(`r${i}`, register(`r${i}`))
ACCESSES.set('rip', PROGRAM_COUNTER)
ACCESSES.set('eip', PROGRAM_COUNTER)
ACCESSES.set(
  'eflags',
  register('rflags', (value) => (value & 0x3f_7fd7n) | 2n),
)
for (const name of ['cs', 'ss', 'ds', 'es', 'fs', 'gs']) {
  ACCESSES.set(name, selector(name))
  ACCESSES.set(`${name}_base`, segmentBase(name))
}
for (const name of ['tr', 'ldtr']) {
  ACCESSES.set(name, { read: ({ segments }) => BigInt(segments[name]!.selector) })
  ACCESSES.set(`${name}_base`, segmentBase(name))
}
for (const name of ['gdtr', 'idtr']) {
  ACCESSES.set(`${name}_base`, segmentBase(name))
  ACCESSES.set(`${name}_limit`, limit(name))
}
for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'])
  ACCESSES.set(name, register(name))
ACCESSES.set('k_gs_base', register('kernelGsBase'))
for (let i = 0; i < 8; i++) ACCESSES.set(`st${i}`, stack(i))
ACCESSES.set('fctrl', x87Word('control'))
ACCESSES.set('fstat', STATUS)
ACCESSES.set('ftag', TAGS)
ACCESSES.set('fiseg', x87Word('instructionSelector'))
ACCESSES.set('fioff', x87Word('instruction'))
ACCESSES.set('foseg', x87Word('dataSelector'))
ACCESSES.set('fooff', x87Word('data'))
ACCESSES.set('fop', x87Word('opcode'))
ACCESSES.set('mxcsr', x87Word('mxcsr'))
for (let i = 0; i < 16; i++) {
  ACCESSES.set(`xmm${i}`, vector(i, 0))
  ACCESSES.set(`ymm${i}h`, vector(i, 1))
  ACCESSES.set(`zmm${i}h`, extended('zmmUpper', 32 * i, 32))
  ACCESSES.set(`xmm${16 + i}`, extended('zmm16', 64 * i, 16))
  ACCESSES.set(`ymm${16 + i}h`, extended('zmm16', 64 * i + 16, 16))
  ACCESSES.set(`zmm${16 + i}h`, extended('zmm16', 64 * i + 32, 32))
  ACCESSES.set(`r${16 + i}`, extended('generalRegisters', 8 * i, 8))
}
for (let i = 0; i < 8; i++) {
  ACCESSES.set(`k${i}`, extended('masks', 8 * i, 8))
  ACCESSES.set(`tmm${i}`, extended('tiles', 1024 * i, 1024))
}
ACCESSES.set('tilecfg', { read: extended('tileConfiguration', 0, 64).read })

/** The registers of a vCPU that stands still, by the names that gdb has for them. */
export class X86State {
  readonly #vcpu: X86Vcpu
  #saved: SavedCpu | undefined
  /** Value of `cost` of {@link X86Vcpu.cpu} at the last save: a replay may run without notice. */
  #at = -1

  constructor(vcpu: X86Vcpu) {
    this.#vcpu = vcpu
  }

  /** Called when the vCPU resumes. */
  forget(): void {
    this.#saved = undefined
  }

  /** Reads a register; undefined for a name that does not exist. */
  read(name: string): bigint | undefined {
    if (name === 'cr8') return BigInt(this.#vcpu.apic.cr8)
    return ACCESSES.get(name)?.read(this.#inspect())
  }

  #inspect(): SavedCpu {
    const { cpu } = this.#vcpu
    if (this.#saved === undefined || this.#at !== cpu.cost) this.#saved = inspectVcpu(cpu)
    this.#at = cpu.cost
    return this.#saved
  }

  /** Writes a register. @returns false for an unknown register, or while an instruction waits for a device */
  write(name: string, value: bigint): boolean {
    const { cpu } = this.#vcpu
    if (cpu.busy) return false
    const change = ACCESSES.get(name)?.write
    const changed = change?.(this.#inspect(), value)
    if (changed === undefined) return false
    restoreVcpu(cpu, changed)
    this.#saved = undefined
    return true
  }
}
