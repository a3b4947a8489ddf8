/** Random instructions with registers and memory such that they access the window, and what ours makes of them. */
import * as decoder from '@retrap/arm-decoder'
import { ArmEmulator, DeviceOrder, type AccessStatus, STATUS_RETRY } from '../../src/index.ts'
import { EffectiveAddress, effectiveAddress } from '../../src/effective-address.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, FlatWorld, flatVcpu, type SeenAccess, snapshot } from './flat-world.ts'
import { WINDOW } from '@retrap/tooling/arm-native'

/** An instruction set whose instructions are compared. */
export type SetName = Lowercase<keyof typeof decoder.InstructionSet>

/** First byte of the window: it lies across the middle of the device's two pages. */
export const WINDOW_BASE: number = DEVICE_BASE + 4096 - WINDOW / 2

type Vcpu = ReturnType<typeof flatVcpu>

/** One instruction to be executed. */
export interface EmulationCase {
  readonly set: SetName
  readonly form: decoder.Form
  readonly word: number
  /** As it lies in memory, and what comes before or after it. */
  readonly code: readonly [number, number]
  readonly vcpu: Vcpu
  /** First byte that is accessed. */
  readonly address: number
  readonly bytes: number
  readonly window: Uint8Array
  readonly text: string
  /** Registers that the instruction before a store-exclusive changes. */
  readonly clobbered: readonly number[]
}

const insn: decoder.LoadStore = new decoder.LoadStore()
const effective: EffectiveAddress = new EffectiveAddress()

const FORMS: Readonly<Record<SetName, readonly decoder.Form[]>> = {
  a64: decoder.loadStoreFormsA64,
  a32: decoder.loadStoreFormsA32,
  t32: decoder.loadStoreFormsT32,
  t16: decoder.loadStoreFormsT16,
}

const decode = (set: SetName, word: number): boolean => {
  if (set === 'a64') return decoder.decodeLoadStoreA64(word, insn)
  if (set === 'a32') return decoder.decodeLoadStoreA32(word, insn)
  return set === 't32'
    ? decoder.decodeLoadStoreThumb(word >>> 16, word & 0xffff, insn)
    : decoder.decodeLoadStoreThumb(word, 0, insn)
}

/** What qemu-user cannot be given this way, each with the reason and what stands in for it. */
const NOT_COMPARED: readonly (readonly [(form: decoder.Form, set: SetName) => boolean, string])[] = [
  [
    ({ operation }) => operation === 'scalable' || operation === 'other',
    'recognised only: reported as such (emulator.test.ts)',
  ],
  [
    ({ operation }) => operation === 'prefetch' || operation === 'cache',
    'no access; prefetches never abort (reference.test.ts)',
  ],
  [({ attributes }) => attributes.has('literal'), 'the address is that of the code: computed (emulator.test.ts)'],
  [({ operation }) => operation === 'table-branch', 'branches away: computed (emulator.test.ts)'],
  [
    ({ attributes, mnemonic }) => mnemonic === 'POP' && attributes.has('link'),
    'branches away: computed (emulator.test.ts)',
  ],
  [({ attributes }) => attributes.has('return') || attributes.has('user'), 'privileged: computed (emulator.test.ts)'],
  [({ operation }) => operation === 'return' || operation === 'save', 'privileged: computed (emulator.test.ts)'],
  [({ attributes }) => attributes.has('pac'), 'needs keys: a caller authenticates (emulator.test.ts)'],
  [({ attributes }) => attributes.has('block'), 'alignment fault on a device: computed (reference.test.ts)'],
  [
    ({ operation }) => /^(tag|copy|fill|load-64b|store-64b)/.test(operation),
    "not in Debian's QEMU 7.2, or needs tag memory: computed (emulator.test.ts)",
  ],
  [({ attributes }) => attributes.has('tag'), 'needs tag memory: computed (emulator.test.ts)'],
  [
    ({ feature }) => !['', 'LSE', 'LOR', 'LRCPC', 'LRCPC2', 'FP16'].includes(feature),
    "not in Debian's QEMU 7.2: as the forms of the base architecture",
  ],
  [({ mnemonic }, set) => mnemonic.startsWith('SWP') && set === 'a32', 'left Armv8: as the other atomics'],
]

/** A line for each reason: how many forms, which, and what stands in for them. */
export function notCompared(set: SetName): string[] {
  return [...new Set(NOT_COMPARED.map(([, reason]) => reason))].flatMap((reason) => {
    const forms = FORMS[set].filter((form) => whyNotCompared(form, set) === reason)
    const names = [...new Set(forms.map(({ mnemonic }) => mnemonic))].toSorted()
    return forms.length === 0 ? [] : [`${set}: ${forms.length} forms (${names.join(' ')}): ${reason}`]
  })
}

/** Why a form is not compared; '' if it is. */
const whyNotCompared = (form: decoder.Form, set: SetName): string =>
  NOT_COMPARED.find(([applies]) => applies(form, set))?.[1] ?? ''

/**
 * Random cases of every form that qemu-user can run.
 *
 * @param perForm - cases of each
 */
export function emulationCases(set: SetName, perForm: number, next: () => number): EmulationCase[] {
  const cases: EmulationCase[] = []
  for (const form of FORMS[set]) {
    if (whyNotCompared(form, set) !== '') continue
    let made = 0
    for (let tries = 0; tries < perForm * 100 && made < perForm; tries++) {
      const each = set === 'a64' ? case64(form, next) : case32(set, form, next)
      if (each === undefined) continue
      cases.push(each)
      made++
    }
    if (made === 0) throw new Error(`no case of ${set} ${form.mnemonic} ${form.operands}`)
  }
  return cases
}

const isExclusive = (): boolean => /exclusive|atomic|swap/.test(insn.form.operation) || insn.acquire || insn.release

const randomWindow = (next: () => number): Uint8Array => Uint8Array.from({ length: WINDOW }, next)

/** A random address of the window at which `bytes` fit, aligned. */
function place(bytes: number, align: number, next: () => number): number {
  const address = WINDOW_BASE + (next() % (WINDOW - bytes))
  return address - (address % align)
}

function case64(form: decoder.Form, next: () => number): EmulationCase | undefined {
  const word = ((next() & ~form.mask) | form.value) >>> 0
  if (!decode('a64', word) || insn.form !== form) return undefined
  if (constrained64()) return undefined
  const vcpu = flatVcpu(false)
  for (let i = 0; i < 62; i++) vcpu.x[i] = next()
  for (let i = 0; i < 128; i++) vcpu.v[i] = next()
  vcpu.sp[0] = next() & ~15
  vcpu.sp[1] = next()
  const bytes = insn.elementSize * insn.elements
  const free = (next() & 1) !== 0 ? 1 : insn.elementSize
  const address = place(bytes, insn.rn === 31 ? Math.max(16, bytes) : isExclusive() ? bytes : free, next)
  // The base is moved so that the address comes out as wanted.
  effectiveAddress(vcpu, insn, effective)
  const registers = insn.rn === 31 ? vcpu.sp : vcpu.x
  const at = insn.rn === 31 ? 0 : insn.rn * 2
  const difference = BigInt(address) - join(effective.lo, effective.hi)
  const base = BigInt.asUintN(64, join(registers[at] as number, registers[at + 1] as number) + difference)
  registers[at] = Number(base & 0xffff_ffffn)
  registers[at + 1] = Number(base >> 32n)
  if (insn.rn === 31 && (base & 15n) !== 0n) return undefined
  effectiveAddress(vcpu, insn, effective)
  if (effective.lo !== address || effective.hi !== 0) return undefined
  const window = randomWindow(next)
  if (form.operation === 'compare-and-swap' && (next() & 1) !== 0) makeEqual(vcpu, window, address)
  let code: [number, number] = [word, 0xd503_201f]
  const clobbered: number[] = []
  if (form.operation === 'store-exclusive') {
    const size = Math.log2(insn.elementSize)
    const pair = form.attributes.has('pair')
    if (pair && [insn.rt, insn.rt2, insn.rs, insn.rn].includes(30)) return undefined
    if (pair) clobbered.push(30)
    const first = pair ? 0x087f_0000 | (30 << 10) : 0x085f_7c00
    code = [((size << 30) | first | (insn.rn << 5) | 31) >>> 0, word]
  }
  return { set: 'a64', form, word, code, vcpu, address, bytes, window, text: decoder.formatLoadStore(insn), clobbered }
}

const join = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)

/** Encodings that are constrained unpredictable, where QEMU may choose otherwise. */
function constrained64(): boolean {
  const { form, rt, rt2, rs, rn, rm, addressing } = insn
  if (rm >= 0 && rm === rn) return true
  const writeback = addressing === 1 || addressing === 2
  if (!insn.vector && writeback && rn !== 31 && (rt === rn || rt2 === rn)) return true
  if (form.operation.startsWith('load') && form.attributes.has('pair') && rt === rt2) return true
  return form.operation === 'store-exclusive' && (rs === rt || rs === rt2 || (rs === rn && rn !== 31))
}

/** Gives a compare and swap the value that is in memory. */
function makeEqual(vcpu: Vcpu, window: Uint8Array, address: number): void {
  for (let element = 0; element < insn.elements; element++) {
    const register = (insn.rs + element) & 31
    if (register === 31 || register === insn.rn) continue
    const bytes = new Uint8Array(8)
    const from = address - WINDOW_BASE + element * insn.elementSize
    bytes.set(window.subarray(from, from + insn.elementSize))
    const view = new DataView(bytes.buffer)
    vcpu.x[register * 2] = view.getUint32(0, true)
    vcpu.x[register * 2 + 1] = view.getUint32(4, true)
  }
}

function case32(set: SetName, form: decoder.Form, next: () => number): EmulationCase | undefined {
  let word = ((next() & ~form.mask) | form.value) >>> 0
  if (set === 't16') word &= 0xffff
  if (form.fields.has('c')) word = ((word & 0x0fff_ffff) | 0xe000_0000) >>> 0
  if (!decode(set, word) || insn.form !== form || constrained32(set)) return undefined
  const vcpu = flatVcpu(true)
  vcpu.pstate = set === 'a32' ? 0x10 : 0x30
  for (let i = 0; i < 15; i++) vcpu.x[i * 2] = next()
  for (let i = 0; i < 128; i++) vcpu.v[i] = next()
  if (insn.rm >= 0) vcpu.x[insn.rm * 2] = next() & 0xfff
  const bytes = insn.elementSize * insn.elements
  const address = place(bytes, alignment32(bytes, next), next)
  effectiveAddress(vcpu, insn, effective)
  vcpu.x[insn.rn * 2] = (vcpu.x[insn.rn * 2] as number) + (address - effective.lo)
  effectiveAddress(vcpu, insn, effective)
  if (effective.lo !== address) return undefined
  const nop = set === 'a32' ? 0xe1a0_0000 : 0xbf00_bf00
  const stored = set === 't16' ? (word | 0xbf00_0000) >>> 0 : set === 't32' ? swapHalves(word) : word
  let code: [number, number] = [stored, nop]
  const clobbered: number[] = []
  if (form.operation === 'store-exclusive') {
    const scratch = freePair()
    clobbered.push(scratch, scratch + 1)
    code = [loadExclusive(set, scratch), stored]
  }
  return {
    set,
    form,
    word,
    code,
    vcpu,
    address,
    bytes,
    window: randomWindow(next),
    text: decoder.formatLoadStore(insn),
    clobbered,
  }
}

const swapHalves = (word: number): number => ((word >>> 16) | (word << 16)) >>> 0

function alignment32(bytes: number, next: () => number): number {
  if (insn.form.registers !== 0) return Math.max(insn.alignment, insn.elementSize)
  if (isExclusive()) return bytes
  if (insn.elements > 1 || insn.vector || insn.list !== 0) return Math.max(4, insn.elementSize)
  return (next() & 1) !== 0 ? 1 : insn.elementSize
}

function constrained32(set: SetName): boolean {
  const { form, rt, rt2, rs, rn, rm, vector, list } = insn
  const writeback = insn.addressing === 1 || insn.addressing === 2
  const thumb = set !== 'a32'
  if (vector ? rn === 15 || rm === 15 : [rt, rt2, rs, rn, rm].includes(15)) return true
  if (list !== 0 && !vector) {
    return (list & 0x8000) !== 0 || (writeback && (list & (1 << rn)) !== 0) || (set === 't32' && insn.elements < 2)
  }
  if (form.registers !== 0) return rm >= 0 && rm === rn
  if (rm >= 0 && rm === rn) return true
  if (writeback && !vector && (rt === rn || rt2 === rn)) return true
  if (!vector && insn.elements === 2 && rt === rt2) return true
  if (form.operation === 'store-exclusive' && [rt, rt2, rn].includes(rs)) return true
  if (form.attributes.has('couple') && rm >= 0 && (rm === rt || rm === rt2)) return true
  return thumb && !vector && [rt, rt2, rs, rm].includes(13)
}

/** Two registers that the instruction does not use. */
function freePair(): number {
  const used = [insn.rt, insn.rt2, insn.rs, insn.rn]
  let register = 0
  while (used.includes(register) || used.includes(register + 1)) register += 2
  return register
}

/** The load-exclusive that lets the store-exclusive pass. */
function loadExclusive(set: SetName, register: number): number {
  const { rn, elementSize } = insn
  const pair = insn.elements === 2
  if (set === 'a32') {
    const kind = pair ? 1 : elementSize === 4 ? 0 : elementSize === 1 ? 2 : 3
    return (0xe190_0f9f | (kind << 21) | (rn << 16) | (register << 12)) >>> 0
  }
  const start = (rn << 16) | (register << 12)
  if (pair) return swapHalves((0xe8d0_007f | start | ((register + 1) << 8)) >>> 0)
  if (elementSize === 4)
    return swapHalves((0xe850_0f00 | start | (insn.form.immediateScale !== 0 ? insn.offset / 4 : 0)) >>> 0)
  return swapHalves((0xe8d0_0f0f | start | (elementSize === 1 ? 0x40 : 0x50)) >>> 0)
}

/** What became of a case. */
export interface Emulated {
  readonly outcome: AccessStatus
  readonly vcpu: Vcpu
  readonly seen: readonly SeenAccess[]
  readonly window: Uint8Array
  readonly snapshot: string
}

const world: FlatWorld = new FlatWorld()
const codeView: DataView = new DataView(world.ram.buffer)

/** Executes a case by an emulated abort, with a device that answers at once or later. */
export function emulate(each: EmulationCase, late: boolean): Emulated {
  const vcpu = flatVcpu(each.set !== 'a64')
  vcpu.pstate = each.vcpu.pstate
  vcpu.x.set(each.vcpu.x)
  vcpu.sp.set(each.vcpu.sp)
  vcpu.v.set(each.vcpu.v)
  if (each.set === 't32') {
    codeView.setUint16(CODE_BASE, each.word >>> 16, true)
    codeView.setUint16(CODE_BASE + 2, each.word & 0xffff, true)
  } else codeView.setUint32(CODE_BASE, each.word, true)
  world.late = late
  world.seen.length = 0
  world.contents.set(each.window, WINDOW_BASE - DEVICE_BASE)
  const order = new DeviceOrder(1)
  const { operation } = each.form
  if (operation === 'store-exclusive') order.setMonitor(0, each.address, 0, each.bytes)
  const emulator = new ArmEmulator(vcpu, world, order)
  const write = /^(store|zero)|^atomic$/.test(operation)
  let outcome = emulator.handle(abortAt(each.address, write))
  while (outcome === STATUS_RETRY) {
    world.perform(emulator.log, emulator.log.pending)
    emulator.answer()
    outcome = emulator.resume()
  }
  const from = WINDOW_BASE - DEVICE_BASE
  return {
    outcome,
    vcpu,
    seen: [...world.seen],
    window: world.contents.slice(from, from + WINDOW),
    snapshot: snapshot(vcpu),
  }
}

/** Length of a case's instruction. */
export const lengthOf = (set: SetName): number => (set === 't16' ? 2 : 4)
