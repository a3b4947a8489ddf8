import { S_FAULT_VECTOR } from './state/state-layout.ts'
import { X86CpuError } from './errors.ts'
import { readMsr, writeMsr } from './system/msr.ts'
import { restoreState, saveRegisters, saveState } from './system/saved-state.ts'
import type { SavedCpu } from './system/saved-state.ts'
import { Abandon } from './system/system.ts'
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
    vcpu.i32[S_FAULT_VECTOR >>> 2] = -1
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
  return saveState(vcpu.system)
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

/**
 * The state of {@link saveVcpu} at any time between two runs. Where an instruction waits for a device, the state is that before it: nothing of
 * it is in force before it retires. Not for {@link restoreVcpu} then, which would have the device asked again.
 */
export function inspectVcpu(vcpu: Vcpu): SavedCpu {
  return saveState(vcpu.system)
}

/**
 * Puts back what {@link saveVcpu} returned, on any vCPU of the same CPU model. An access that waits for a device is cancelled.
 *
 * @throws X86CpuError `ERR_SAVED_STATE` if `saved` is of another version or lacks a field; `ERR_STATE_MODEL` if it was
 *   saved by another vendor's processor, or one with other features or another width of guest-physical addresses
 */
export function restoreVcpu(vcpu: Vcpu, saved: SavedCpu): void {
  vcpu.cancel()
  restoreState(vcpu.system, saved)
}
