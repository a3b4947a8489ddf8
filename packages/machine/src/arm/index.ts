/**
 * The Arm board `virt`: where its devices are, their models, its device tree and ACPI tables, and how kernels are loaded.
 *
 * @packageDocumentation
 */
export { buildArmAcpiTables, relocatableArmAcpi } from './firmware-configuration.ts'
export type { AcpiTables } from '../acpi/image.ts'
export type { RelocatableAcpi } from '../acpi/relocatable.ts'
export { affinityOf, checkArmBoard, gsiOfPpi, gsiOfSpi, POWER_BUTTON_LINE, PPI, VIRT } from './layout.ts'
export type { ArmBoard, ArmDeviceNode, ArmDevicePlace, ArmLayout, ArmPlace, ArmPrivateInterrupts } from './layout.ts'
export { armDeviceTree, type ArmChosen } from './device-tree.ts'
export type { ArmFirmwareKernel, ArmFirmwareSettings } from './firmware-configuration.ts'
export { createArmModels, type ArmBoardModels, type ArmModelsOptions } from './models.ts'
export { serveArmBoard } from './placed-board.ts'
export type { ArmBoardDescription, ArmBoardServerOptions, StartArmBoardServer } from './placed-board.ts'
export { loadArmKernel } from './load-kernel.ts'
export type { ArmInitialState, ArmKernelImages, ArmRamWriter, LoadedArmKernel } from './load-kernel.ts'
export type { ArmGdbOptions } from './debugger/arm-gdb-target.ts'
export { prepareArmMachine } from './prepare.ts'
export type { GuestRange } from '../loaders/memory-map.ts'
export type { Decompress } from './kernel-image.ts'
export type { ArmKind } from './virt-board.ts'
export { ArmMachine, createArmMachine } from './machine.ts'
export type { ArmForkOptions, ArmMachineOptions } from './machine-options.ts'
export {
  recordArmMachine,
  replayArmMachine,
  type ArmRecorder,
  type ArmReplay,
  type RecordArmOptions,
} from './recording.ts'
export type { ArmSnapshot, ArmSnapshotMachine, ArmSnapshotSource, ArmSnapshotState } from './snapshot.ts'
export type { ArmStatistics } from './statistics.ts'
export type * from '../both-boards.ts'
