/**
 * The Arm board `virt`: addresses and models of its devices, its device tree and ACPI tables, and how kernels are loaded.
 *
 * @packageDocumentation
 */
export { buildArmAcpiTables, relocatableArmAcpi } from './firmware-configuration.ts'
export type { AcpiTables } from '../acpi/image.ts'
export { affinityOf, gsiOfSpi, PPI, VIRT, type ArmBoard, type ArmDeviceNode } from './layout.ts'
export { armDeviceTree } from './device-tree.ts'
export { createArmModels, type ArmBoardModels, type ArmModelsOptions } from './models.ts'
export { serveArmBoard } from './placed-board.ts'
export type { ArmBoardDescription, ArmBoardServerOptions, StartArmBoardServer } from './placed-board.ts'
export { openArmEmitter } from '@retrap/arm-cpu'
export { loadArmKernel, type ArmKernelImages, type ArmRamWriter } from './load-kernel.ts'
export { prepareArmMachine } from './prepare.ts'
export type { GuestRange } from '../loaders/memory-map.ts'
export { ArmMachine, createArmMachine, type ArmStatistics } from './machine.ts'
export type { ArmForkOptions, ArmMachineOptions } from './machine-options.ts'
export { recordArmClone, recordArmMachine, replayArmMachine, type ArmRecorder, type ArmReplay } from './recording.ts'
export type { ArmSnapshot, ArmSnapshotSource, ArmSnapshotState } from './snapshot.ts'
export type * from '../both-boards.ts'
