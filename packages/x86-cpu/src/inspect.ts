import * as S from './state/state-layout.ts'
import { S_STEP_SUPPRESSED } from './state/system-state.ts'
import { X86CpuError } from './errors.ts'
import { readMsr, writeMsr } from './system/msr.ts'
import {
  bytesOf,
  type Fields,
  FIRST_TABLE,
  type Hex,
  PENDING,
  REGISTERS,
  type SavedCpu,
  type SavedModel,
  type SavedSegment,
  SEGMENTS,
  spreadBytes,
  X87,
} from './system/saved-state.ts'
import { openSegmentsForRealMode, setSegment, setTableRegister } from './system/segments/segment-cache.ts'
import { Abandon, type System } from './system/system.ts'
import type { Vcpu } from './vcpu.ts'

/** Runs what a system instruction would do; false where the instruction would fault. */
function attempt(vcpu: Vcpu, action: () => void): boolean {
  requireIdle(vcpu)
  try {
    action()
    return true
  } catch (error) {
    if (!(error instanceof Abandon)) throw error
    // No instruction has raised the fault.
    vcpu.i32[S.S_FAULT_VECTOR >>> 2] = -1
    return false
  }
}

function requireIdle(vcpu: Vcpu): void {
  if (vcpu.log.active)
    throw new X86CpuError('ERR_BUSY', 'an instruction waits for a device: answer it, or cancel it by INIT or reset')
}

/**
 * Reads a model-specific register as RDMSR at CPL 0 does: for tools and loaders.
 *
 * @returns undefined where RDMSR raises #GP
 * @throws X86CpuError `ERR_BUSY` while an instruction waits for a device
 */
export function readModelSpecificRegister(vcpu: Vcpu, index: number): bigint | undefined {
  const { system } = vcpu
  if (!attempt(vcpu, () => readMsr(system, index))) return undefined
  return (BigInt(system.hi) << 32n) | BigInt(system.lo)
}

/**
 * Writes a model-specific register as WRMSR at CPL 0 does: for what firmware leaves behind.
 *
 * @returns false where WRMSR raises #GP; nothing has changed then
 * @throws X86CpuError `ERR_BUSY` while an instruction waits for a device
 */
export function writeModelSpecificRegister(vcpu: Vcpu, index: number, value: bigint): boolean {
  const lo = Number(BigInt.asUintN(32, value))
  const hi = Number(BigInt.asUintN(32, value >> 32n))
  return attempt(vcpu, () => writeMsr(vcpu.system, index, lo, hi))
}

/**
 * The architectural state between two instructions, as plain data: for snapshots, debuggers and people.
 *
 * @throws X86CpuError `ERR_BUSY` while an instruction waits for a device
 */
export function saveVcpu(vcpu: Vcpu): SavedCpu {
  requireIdle(vcpu)
  return inspectVcpu(vcpu)
}

/**
 * The registers of {@link saveVcpu} alone, which takes a fraction of its time: for logs.
 *
 * @throws X86CpuError `ERR_BUSY` while an instruction waits for a device
 */
export function saveVcpuRegisters(vcpu: Vcpu): SavedCpu['registers'] {
  requireIdle(vcpu)
  return saveRegisters(vcpu.system)
}

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

/** Saved forms of processor models: each fork of a machine saves them, and compares them. */
const savedModels = new WeakMap<object, SavedModel>()

function modelOf(s: System): SavedModel {
  const { model } = s.cpu.processor
  const known = savedModels.get(model)
  if (known !== undefined) return known
  const { name, vendor, features, physicalAddressBits } = model
  const saved = { name, vendor, features: [...features].toSorted(), physicalAddressBits }
  savedModels.set(model, saved)
  return saved
}

/** @throws X86CpuError `ERR_STATE_MODEL` where the processor is of another model; `ERR_SAVED_STATE` */
function checkModel(s: System, saved: SavedModel): void {
  if (!Array.isArray(saved.features)) {
    throw new X86CpuError('ERR_SAVED_STATE', `features of the saved model: ${String(saved.features)}, expected a list`)
  }
  const here = modelOf(s)
  if (saved === here) return
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
function saveRegisters(s: System): Record<string, Hex> {
  const registers = collect(s, REGISTERS)
  registers['rflags'] = hex(s.cpu.materialiseFlags())
  return registers
}

/**
 * The state of {@link saveVcpu} at any time between two runs. Where an instruction waits for a device, the state is that before it: nothing of
 * it is in force before it retires. Not for {@link restoreVcpu} then, which would have the device asked again.
 */
export function inspectVcpu(vcpu: Vcpu): SavedCpu {
  const s = vcpu.system
  const segments: Record<string, SavedSegment> = {}
  for (const [i, name] of SEGMENTS.entries()) {
    segments[name] = {
      selector: s.segmentField(i, S.SEG_SELECTOR),
      base: hexAt(s, S.S_SEGMENTS + S.SEG_BYTES * i + S.SEG_BASE, 8),
      limit: s.segmentField(i, S.SEG_LIMIT),
      attributes: s.segmentField(i, S.SEG_ATTRIBUTES),
    }
  }
  const pending = collect(s, PENDING)
  // That its owner wants it to come back is not the processor's state.
  pending['events'] = hex(s.get(S.S_EVENTS) & ~S.EVENT_STOP)
  // A trap that the instruction has suppressed is not to come.
  if (s.get(S_STEP_SUPPRESSED) !== 0) pending['stepping'] = hex(0)
  pending['monitorArmed'] = hex(s.get(S.S_MONITOR_LINE) === 0 ? 0 : 1)
  const { processor } = s.cpu
  const extended = processor.extension?.save(processor, s)
  return {
    version: 4,
    model: modelOf(s),
    registers: saveRegisters(s),
    segments,
    x87: collect(s, X87),
    x87Registers: Array.from({ length: 8 }, (_, i) => bytesOf(s, S.S_FPR + 16 * i, 10)),
    ymm: Array.from({ length: 16 }, (_, i) => bytesOf(s, S.S_XMM + 64 * i, 32)),
    ...(extended && { extended }),
    pending,
  }
}

function lookUp<T>(record: Readonly<Record<string, T>>, name: string): T {
  const value = record[name]
  if (value === undefined) throw new X86CpuError('ERR_SAVED_STATE', `saved processor state has no ${name}`)
  return value
}

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

/** Arms the monitored line again: its frame may be another one now. Where there is none any more, a wait ends. */
function rearm(s: System, armed: boolean): void {
  const gpa = s.get(S.S_MONITOR_ADDRESS + 4) * 0x1_0000_0000 + s.get(S.S_MONITOR_ADDRESS)
  s.cpu.armMonitor(gpa, armed ? s.host.ramAddress(gpa) : -1)
}

/**
 * Puts back what {@link saveVcpu} returned, on any vCPU of the same CPU model. An access that waits for a device is cancelled.
 *
 * @throws X86CpuError `ERR_SAVED_STATE` if `saved` is of another version or lacks a field; `ERR_STATE_MODEL` if it was
 *   saved by another vendor's processor, or one with other features or another width of guest-physical addresses
 */
export function restoreVcpu(vcpu: Vcpu, saved: SavedCpu): void {
  vcpu.cancel()
  const s = vcpu.system
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
  s.set(S.S_FTOP, s.get(S.S_FTOP) & 7)
  for (let i = 0; i < 8; i++) spreadBytes(s, S.S_FPR + 16 * i, 10, saved.x87Registers[i])
  for (let i = 0; i < 16; i++) spreadBytes(s, S.S_XMM + 64 * i, 32, saved.ymm[i])
  s.cpu.processor.extension?.restore(s.cpu.processor, s, saved.extended ?? {})
  spread(s, PENDING, saved.pending)
  s.set(S_STEP_SUPPRESSED, 0)
  s.host.controlChanged()
  s.cpu.flushTlb(true)
  s.cpu.modeChanged()
  rearm(s, halvesOf('monitorArmed', lookUp(saved.pending, 'monitorArmed')).lo !== 0)
}
