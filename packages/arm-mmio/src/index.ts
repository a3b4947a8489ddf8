/**
 * Finishes ARM data aborts on device memory: decodes the syndrome or, where it is not valid, the instruction; makes the
 * accesses, each once, whatever time a device takes; puts the result into registers.
 *
 * @packageDocumentation
 */
export { faultIpa, hpfarValid, type ArmAbort } from './abort.ts'
export { describeSyndrome, type DescribedField, type DescribedSyndrome } from './describe.ts'
export { ArmEmulator } from './emulator.ts'
export type { ArmEmulatorOptions } from './emulator-options.ts'
export { ArmMmioError } from './checks.ts'
export { kvmMmio, type MmioExit } from './kvm-exit.ts'
export { type DeviceMonitor, DeviceOrder, deviceOrderBytes } from './serialise.ts'
export {
  decodeAbortSyndrome,
  encodeAbortSyndrome,
  faultKind,
  faultName,
  type AbortSyndrome,
  type FaultKind,
  type SyndromeFormat,
} from './syndrome.ts'
export { aarch32Register, createArmVcpu, type ArmVcpu } from './vcpu.ts'
export {
  type AccessStatus,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_UNHANDLED,
} from '@retrap/replay'
export { Region, type ArmWorld } from './world.ts'
