/**
 * The Arm board `virt`: where its devices are, their models, its device tree and ACPI tables, and how kernels are loaded.
 *
 * @packageDocumentation
 */
export { buildArmAcpiTables, relocatableArmAcpi } from './acpi.ts'
export type { AcpiTables } from '../acpi/image.ts'
export type { RelocatableAcpi } from '../acpi/relocatable.ts'
export { affinityOf, checkArmBoard, gsiOfPpi, gsiOfSpi, POWER_BUTTON_LINE, PPI, VIRT } from './layout.ts'
export type { ArmBoard, ArmDevicePlace, ArmLayout, ArmPlace, ArmPrivateInterrupts } from './layout.ts'
export { armDeviceTree, type ArmChosen } from './device-tree.ts'
export { createArmModels, type ArmModels, type ArmModelsOptions } from './models.ts'
export { loadArmKernel } from './load-kernel.ts'
export type { ArmInitialState, ArmKernelImages, ArmRamWriter, LoadedArmKernel } from './load-kernel.ts'
export type { CrashDetail } from '../crash.ts'
export type { MachineExit } from '../machine-exit.ts'
export type { MachineRunOptions, PcState, StopSignal } from '../machine-life.ts'
export type { StartDeviceServer } from '../pc-options.ts'
export type { SerialPort } from '../serial-port.ts'
export type { GuestRange } from '../loaders/memory-map.ts'
export type { Decompress } from './kernel-image.ts'
export { ArmMachine, createArmMachine, type ArmMachineOptions } from './machine.ts'
export type { ArmStatistics } from './statistics.ts'
