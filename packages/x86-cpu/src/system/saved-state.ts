import {
  EVENT_STOP,
  S_CR0,
  S_CR2,
  S_CR3,
  S_CR4,
  S_CR8,
  S_CSTAR,
  S_DEBUGCTL,
  S_DR,
  S_EFER,
  S_EVENTS,
  S_FCS,
  S_FCW,
  S_FDP,
  S_FDS,
  S_FIP,
  S_FOP,
  S_FPR,
  S_FSW,
  S_FTAG_EMPTY,
  S_FTOP,
  S_GPR,
  S_KERNEL_GS_BASE,
  S_LSTAR,
  S_MONITOR_ADDRESS,
  S_MONITOR_LINE,
  S_MXCSR,
  S_PAT,
  S_PDPTE,
  S_PKRS,
  S_PKRU,
  S_RIP,
  S_SEGMENTS,
  S_SFMASK,
  S_SHADOW,
  S_STAR,
  S_SYSENTER_CS,
  S_SYSENTER_EIP,
  S_SYSENTER_ESP,
  S_TSC_AUX,
  S_TSC_OFFSET,
  S_XCR0,
  S_XMM,
  S_XSS,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_BYTES,
  SEG_LIMIT,
  SEG_SELECTOR,
} from '../state/state-layout.ts'
import { X86CpuError } from '../errors.ts'
import { openSegmentsForRealMode, setSegment, setTableRegister } from './segments/segment-cache.ts'
import type { System } from './system.ts'
import {
  MC_BANKS,
  MTRR_FIXED_COUNT,
  MTRR_VARIABLE_COUNT,
  S_ACTIVITY,
  S_BIOS_SIGN_ID,
  S_MCG_STATUS,
  S_MC_ADDR,
  S_MC_CTL,
  S_MC_MISC,
  S_MISC_ENABLE,
  S_HWCR,
  S_MTRR_DEF_TYPE,
  S_MTRR_FIXED,
  S_MTRR_VARIABLE,
  S_NMI_BLOCKED,
  S_PENDING_DEBUG,
  S_PENDING_FAULT,
  S_PENDING_FAULT_ADDRESS,
  S_PENDING_FAULT_ERROR,
  S_PENDING_FAULT_HAS_ERROR,
  S_IGNNE,
  S_IO_ADDRESS,
  S_IO_COUNT,
  S_IO_INDEX,
  S_IO_RIP,
  S_IO_STATE,
  S_SMBASE,
  S_SMM,
  S_MWAIT_EXTENSIONS,
  S_REPEATING,
  S_SIPI_VECTOR,
  S_STEPPING,
  S_STEP_SUPPRESSED,
  S_SYSCFG,
  S_TSC_ADJUST,
} from '../state/system-state.ts'

/** A 64-bit value, as `0x` and hexadecimal digits: it survives JSON. */
export type Hex = string

/** A segment register with its hidden part. */
export interface SavedSegment {
  /** The visible selector. */
  readonly selector: number
  /** Linear address of its first byte. */
  readonly base: Hex
  /** In bytes. */
  readonly limit: number
  /** Bits 15:0 as bits 55:40 of a descriptor. */
  readonly attributes: number
}

/** The CPU model that a state belongs to, in what decides which state there is. */
export interface SavedModel {
  /** For people, as in `CpuModel`. */
  readonly name: string
  /** The vendor, as in `CpuModel`. */
  readonly vendor: string
  /** Names of all features, in alphabetical order. */
  readonly features: readonly string[]
  /** Bits of guest-physical addresses. */
  readonly physicalAddressBits: number
}

/** The architectural state of a processor, as plain data. Field names are the registers'. */
export interface SavedCpu {
  /** Layout of the state. */
  readonly version: 4
  /** The processor's model; states that were saved before it was recorded have none, and any model takes them. */
  readonly model?: SavedModel
  /** RAX … R15, RIP, RFLAGS, CR0 … CR8, XCR0, DR0 … DR7 and model-specific registers. */
  readonly registers: Readonly<Record<string, Hex>>
  /** Segment and descriptor-table registers, by name. */
  readonly segments: Readonly<Record<string, SavedSegment>>
  /** x87 words; `empty`: one bit for each physical register. */
  readonly x87: Readonly<Record<string, Hex>>
  /** R0–R7 of the x87 unit, physical order, 10 bytes each, the first byte first. */
  readonly x87Registers: readonly string[]
  /** YMM0–YMM15, 32 bytes each, the first byte first. */
  readonly ymm: readonly string[]
  /** The events that wait, and those that are held off. */
  readonly pending: Readonly<Record<string, Hex>>
}

type Fields = readonly (readonly [name: string, offset: number, bytes: 4 | 8])[]

const wide = (names: readonly string[], offset: number): Fields => names.map((name, i) => [name, offset + 8 * i, 8])
const numbered = (name: string, count: number, offset: number): Fields =>
  wide(
    Array.from({ length: count }, (_, i) => `${name}${i}`),
    offset,
  )

const REGISTERS: Fields = [
  ...wide('rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' '), S_GPR),
  ['rip', S_RIP, 8],
  ['cr0', S_CR0, 8],
  ['cr2', S_CR2, 8],
  ['cr3', S_CR3, 8],
  ['cr4', S_CR4, 8],
  ['cr8', S_CR8, 8],
  ['xcr0', S_XCR0, 8],
  ...numbered('dr', 4, S_DR),
  ['dr6', S_DR + 48, 8],
  ['dr7', S_DR + 56, 8],
  ...numbered('pdpte', 4, S_PDPTE),
  ['efer', S_EFER, 8],
  ['star', S_STAR, 8],
  ['lstar', S_LSTAR, 8],
  ['cstar', S_CSTAR, 8],
  ['fmask', S_SFMASK, 8],
  ['kernelGsBase', S_KERNEL_GS_BASE, 8],
  ['sysenterCs', S_SYSENTER_CS, 8],
  ['sysenterEsp', S_SYSENTER_ESP, 8],
  ['sysenterEip', S_SYSENTER_EIP, 8],
  ['pat', S_PAT, 8],
  ['tscOffset', S_TSC_OFFSET, 8],
  ['tscAdjust', S_TSC_ADJUST, 8],
  ['tscAux', S_TSC_AUX, 8],
  ['xss', S_XSS, 8],
  ['pkru', S_PKRU, 4],
  ['pkrs', S_PKRS, 4],
  ['debugctl', S_DEBUGCTL, 8],
  ['miscEnable', S_MISC_ENABLE, 8],
  ['biosSignId', S_BIOS_SIGN_ID, 8],
  ['mcgStatus', S_MCG_STATUS, 8],
  ['syscfg', S_SYSCFG, 8],
  ['hwcr', S_HWCR, 8],
  ['mtrrDefType', S_MTRR_DEF_TYPE, 8],
  ...numbered('mtrrFixed', MTRR_FIXED_COUNT, S_MTRR_FIXED),
  ...numbered('mtrrVariable', 2 * MTRR_VARIABLE_COUNT, S_MTRR_VARIABLE),
  ...numbered('mcCtl', MC_BANKS, S_MC_CTL),
  ...numbered('mcAddr', MC_BANKS, S_MC_ADDR),
  ...numbered('mcMisc', MC_BANKS, S_MC_MISC),
]

const X87: Fields = [
  ['control', S_FCW, 4],
  ['status', S_FSW, 4],
  ['top', S_FTOP, 4],
  ['empty', S_FTAG_EMPTY, 4],
  ['opcode', S_FOP, 4],
  ['instruction', S_FIP, 8],
  ['instructionSelector', S_FCS, 4],
  ['data', S_FDP, 8],
  ['dataSelector', S_FDS, 4],
  ['mxcsr', S_MXCSR, 4],
]

const PENDING: Fields = [
  ['activity', S_ACTIVITY, 4],
  ['events', S_EVENTS, 4],
  ['shadow', S_SHADOW, 4],
  ['nmiBlocked', S_NMI_BLOCKED, 4],
  ['debugConditions', S_PENDING_DEBUG, 4],
  ['fault', S_PENDING_FAULT, 4],
  ['faultError', S_PENDING_FAULT_ERROR, 4],
  ['faultHasError', S_PENDING_FAULT_HAS_ERROR, 4],
  ['faultAddress', S_PENDING_FAULT_ADDRESS, 8],
  ['stepping', S_STEPPING, 4],
  ['repeating', S_REPEATING, 4],
  ['ignne', S_IGNNE, 4],
  ['startupVector', S_SIPI_VECTOR, 4],
  ['monitorAddress', S_MONITOR_ADDRESS, 8],
  ['mwaitExtensions', S_MWAIT_EXTENSIONS, 4],
  ['systemManagement', S_SMM, 4],
  ['smbase', S_SMBASE, 4],
  ['ioState', S_IO_STATE, 4],
  ['ioRip', S_IO_RIP, 8],
  ['ioAddress', S_IO_ADDRESS, 8],
  ['ioCount', S_IO_COUNT, 8],
  ['ioIndex', S_IO_INDEX, 8],
]

const SEGMENTS: readonly string[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr', 'gdtr', 'idtr']
/** The first of those that have no selector and no attributes. */
const FIRST_TABLE = 8

/** Numbers alone: recordings have all registers every few million instructions. */
function hex(low: number, high = 0): Hex {
  const digits = (low >>> 0).toString(16)
  return high === 0 ? `0x${digits}` : `0x${(high >>> 0).toString(16)}${digits.padStart(8, '0')}`
}

function hexAt(s: System, offset: number, bytes: number): Hex {
  return hex(s.get(offset), bytes === 4 ? 0 : s.get(offset + 4))
}

function collect(s: System, fields: Fields): Record<string, Hex> {
  const collected: Record<string, Hex> = {}
  for (const [name, offset, bytes] of fields) collected[name] = hexAt(s, offset, bytes)
  return collected
}

/** The digits of each byte: all registers are written whenever a machine is forked. */
const BYTE_DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const BYTES = new Map(BYTE_DIGITS.map((digits, byte) => [digits, byte]))

function bytesOf(s: System, offset: number, count: number): string {
  let digits = ''
  for (let at = offset; at < offset + count; at++) digits += BYTE_DIGITS[s.u8[at]!]
  return digits
}

function modelOf(s: System): SavedModel {
  const { name, vendor, features, physicalAddressBits } = s.cpu.processor.model
  return { name, vendor, features: [...features].toSorted(), physicalAddressBits }
}

/** @throws X86CpuError `ERR_STATE_MODEL` where the processor is of another model; `ERR_SAVED_STATE` */
function checkModel(s: System, saved: SavedModel): void {
  if (!Array.isArray(saved.features)) {
    throw new X86CpuError('ERR_SAVED_STATE', `features of the saved model: ${String(saved.features)}, expected a list`)
  }
  const here = modelOf(s)
  const only = (of: SavedModel, other: SavedModel): string[] =>
    of.features.filter((name) => !other.features.includes(name)).map((name) => name.toLowerCase())
  const differences: string[] = []
  if (saved.vendor !== here.vendor) differences.push(`vendor ${saved.vendor}, expected ${here.vendor}`)
  if (saved.physicalAddressBits !== here.physicalAddressBits) {
    differences.push(`${saved.physicalAddressBits} physical address bits, expected ${here.physicalAddressBits}`)
  }
  const [extra, missing] = [only(saved, here), only(here, saved)]
  if (extra.length > 0) differences.push(`with ${extra.join(', ')}`)
  if (missing.length > 0) differences.push(`without ${missing.join(', ')}`)
  if (differences.length === 0) return
  const message = `saved state of CPU model '${saved.name}' on a processor of '${here.name}': ${differences.join('; ')}`
  throw new X86CpuError('ERR_STATE_MODEL', message)
}

/** `SavedCpu.registers`. */
export function saveRegisters(s: System): Record<string, Hex> {
  const registers = collect(s, REGISTERS)
  registers['rflags'] = hex(s.cpu.materialiseFlags())
  return registers
}

/** The processor's state between two instructions. */
export function saveState(s: System): SavedCpu {
  const segments: Record<string, SavedSegment> = {}
  for (const [i, name] of SEGMENTS.entries()) {
    segments[name] = {
      selector: s.segmentField(i, SEG_SELECTOR),
      base: hexAt(s, S_SEGMENTS + SEG_BYTES * i + SEG_BASE, 8),
      limit: s.segmentField(i, SEG_LIMIT),
      attributes: s.segmentField(i, SEG_ATTRIBUTES),
    }
  }
  const pending = collect(s, PENDING)
  // That its owner wants it to come back is not the processor's state.
  pending['events'] = hex(s.get(S_EVENTS) & ~EVENT_STOP)
  // A trap that the instruction has suppressed is not to come.
  if (s.get(S_STEP_SUPPRESSED) !== 0) pending['stepping'] = hex(0)
  pending['monitorArmed'] = hex(s.get(S_MONITOR_LINE) === 0 ? 0 : 1)
  return {
    version: 4,
    model: modelOf(s),
    registers: saveRegisters(s),
    segments,
    x87: collect(s, X87),
    x87Registers: Array.from({ length: 8 }, (_, i) => bytesOf(s, S_FPR + 16 * i, 10)),
    ymm: Array.from({ length: 16 }, (_, i) => bytesOf(s, S_XMM + 64 * i, 32)),
    pending,
  }
}

function lookUp<T>(record: Readonly<Record<string, T>>, name: string): T {
  const value = record[name]
  if (value === undefined) throw new X86CpuError('ERR_SAVED_STATE', `saved processor state has no ${name}`)
  return value
}

/** @throws X86CpuError `ERR_SAVED_STATE` for what {@link hex} has not made */
/** The halves of a saved number. @throws X86CpuError `ERR_SAVED_STATE` */
function halvesOf(name: string, value: Hex): { readonly lo: number; readonly hi: number } {
  if (!/^0x[\da-f]{1,16}$/.test(value))
    throw new X86CpuError(
      'ERR_SAVED_STATE',
      `saved ${name} ${String(value)}: expected 0x and at most 16 hexadecimal digits`,
    )
  const lo = Number.parseInt(value.slice(2).slice(-8), 16)
  return { lo, hi: value.length > 10 ? Number.parseInt(value.slice(2, -8), 16) : 0 }
}

function spread(s: System, fields: Fields, from: Readonly<Record<string, Hex>>): void {
  for (const [name, offset, bytes] of fields) {
    const { lo, hi } = halvesOf(name, lookUp(from, name))
    s.set(offset, lo)
    if (bytes === 8) s.set(offset + 4, hi)
  }
}

function spreadBytes(s: System, offset: number, count: number, text: string = ''): void {
  for (let i = 0; i < count; i++) {
    const byte = BYTES.get(text.slice(2 * i, 2 * i + 2))
    if (byte === undefined || text.length !== 2 * count)
      throw new X86CpuError('ERR_SAVED_STATE', `saved register of ${count} bytes: ${text}`)
    s.u8[offset + i] = byte
  }
}

/** Arms the monitored line again: its frame may be another one now. Where there is none any more, a wait ends. */
function rearm(s: System, armed: boolean): void {
  const gpa = s.get(S_MONITOR_ADDRESS + 4) * 0x1_0000_0000 + s.get(S_MONITOR_ADDRESS)
  s.cpu.armMonitor(gpa, armed ? s.host.ramAddress(gpa) : -1)
}

/**
 * Puts back what {@link saveState} returned.
 *
 * @throws X86CpuError `ERR_SAVED_STATE` if `saved` is of another version or lacks a field; `ERR_STATE_MODEL` if it is of
 *   another CPU model, and nothing has changed then
 */
export function restoreState(s: System, saved: SavedCpu): void {
  if (saved.version !== 4)
    throw new X86CpuError('ERR_SAVED_STATE', `saved processor state of version ${String(saved.version)}, expected 4`)
  if (saved.model !== undefined) checkModel(s, saved.model)
  s.cpu.endMonitor()
  spread(s, REGISTERS, saved.registers)
  s.cpu.setRflags(halvesOf('rflags', lookUp(saved.registers, 'rflags')).lo)
  for (const [i, name] of SEGMENTS.entries()) {
    const { selector, base, limit, attributes } = lookUp(saved.segments, name)
    const { lo, hi } = halvesOf(name, base)
    if (i < FIRST_TABLE) setSegment(s, i, selector, lo, hi, limit, attributes)
    else setTableRegister(s, i, lo, hi, limit)
  }
  if (!s.protectedMode) openSegmentsForRealMode(s)
  spread(s, X87, saved.x87)
  // Generated code takes it for an index as it is.
  s.set(S_FTOP, s.get(S_FTOP) & 7)
  for (let i = 0; i < 8; i++) spreadBytes(s, S_FPR + 16 * i, 10, saved.x87Registers[i])
  for (let i = 0; i < 16; i++) spreadBytes(s, S_XMM + 64 * i, 32, saved.ymm[i])
  spread(s, PENDING, saved.pending)
  s.set(S_STEP_SUPPRESSED, 0)
  s.host.controlChanged()
  s.cpu.flushTlb(true)
  s.cpu.modeChanged()
  rearm(s, halvesOf('monitorArmed', lookUp(saved.pending, 'monitorArmed')).lo !== 0)
}
