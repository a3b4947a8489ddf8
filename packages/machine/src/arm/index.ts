/**
 * The Arm board `virt`: where its devices are, their models, its device tree and ACPI tables, and how kernels are loaded.
 *
 * @packageDocumentation
 */
export { buildArmAcpiTables, relocatableArmAcpi } from './firmware-configuration.ts'
export type { AcpiTables } from '../acpi/image.ts'
export type { RelocatableAcpi } from '../acpi/relocatable.ts'
export { affinityOf, checkArmBoard, gsiOfPpi, gsiOfSpi, POWER_BUTTON_LINE, PPI, VIRT } from './layout.ts'
export type { ArmBoard, ArmDevicePlace, ArmLayout, ArmPlace, ArmPrivateInterrupts } from './layout.ts'
export { armDeviceTree, type ArmChosen } from './device-tree.ts'
export type { ArmFirmwareKernel, ArmFirmwareSettings } from './firmware-configuration.ts'
export { createArmModels, type ArmBoardModels, type ArmModelsOptions } from './models.ts'
export { serveArmBoard } from './placed-board.ts'
export type { ArmBoardDescription, ArmBoardServerOptions, StartArmBoardServer } from './placed-board.ts'
export type { PartServerOptions, StartPartServer } from '../board/start.ts'
export { loadArmKernel } from './load-kernel.ts'
export type { ArmInitialState, ArmKernelImages, ArmRamWriter, LoadedArmKernel } from './load-kernel.ts'
export type { CpuStop, MachineWatchKind } from '../debugger/debugged-cpu.ts'
export type { CpuResume, MachineDebugger, MachineStop, Removable, StopHandler } from '../debugger/machine-debugger.ts'
export type { ArmGdbOptions } from './debugger/arm-gdb-target.ts'
export type { MachineGdbOptions } from '../debugger/machine-gdb-target.ts'
export type { MonitorCommand } from '../debugger/monitor.ts'
export type { CrashDetail } from '../life/crash.ts'
export type { MachineExit } from '../life/machine-exit.ts'
export { prepareArmMachine } from './prepare.ts'
export type {
  MachineRunOptions,
  MachineRestoreOptions,
  MachineSaveOptions,
  MachineActivity,
  StopSignal,
} from '../life/machine-life.ts'
export type { StartDeviceServer } from '../life/machine-life.ts'
export type { SerialPort } from '../board/serial-port.ts'
export type { GuestRange } from '../loaders/memory-map.ts'
export type { Decompress } from './kernel-image.ts'
export type { ArmBackEnds, ArmPciOptions } from './earlier-names.ts'
export type * from '../earlier-names.ts'
export type { MachineKind, MachineParts } from '../machine/board.ts'
export type { Machine } from '../machine/machine.ts'
export type { GatedMachine, GatedSnapshots, MachineGate } from '../machine/machine-gate.ts'
export type { FormerPages, MachineSnapshot, MachineSnapshotSource, MachineState } from '../snapshot/snapshots.ts'
export type { MachineForkOptions, MachineOptions } from '../options/machine-options.ts'
export type { MachinePluggable, MachineUnplugOptions } from '../machine/hot-plug.ts'
export type { ArmKind } from './virt-board.ts'
export type {
  MachineBootOptions,
  MachineDrive,
  MachineNvmePlace,
  MachineScsiPlace,
  MachineVirtioDisk,
} from '../options/drives.ts'
export type { MachineFlash } from '../firmware/flash.ts'
export type { MachineNetworkCard, MachineNetworkPlace } from '../options/network-card.ts'
export type { MachinePciPlace } from '../options/pci-options.ts'
export type { MachineEjectOptions, MachineRemovableDrive } from '../devices/removable-drive.ts'
export type { MachineRootPort } from '../options/pci-options.ts'
export type { MachineSoundDevice } from '../options/pci-options.ts'
export type { MachineUsb, MachineUsbDevice } from '../options/pci-options.ts'
export type { MachineVirtioDevice } from '../options/virtio-device.ts'
export type { MachineVirtioPlace } from '../options/pci-options.ts'
export { ArmMachine, createArmMachine } from './machine.ts'
export type { ArmGate } from './machine.ts'
export type { ArmForkOptions, ArmMachineOptions } from './machine-options.ts'
export {
  recordArmMachine,
  replayArmMachine,
  type ArmRecorder,
  type ArmReplay,
  type RecordArmOptions,
} from './recording.ts'
export type { RecordingSource } from '../recording/replay.ts'
export type { ReplayExit } from '../recording/replay-exit.ts'
export type { Divergence } from '../recording/replay-gate.ts'
export type { MachineForks } from '../options/fork-room.ts'
export type { CheckpointOptions, MachineCheckpoint } from '../snapshot/checkpoint.ts'
export type { UsedInputs } from '../input/input-switch.ts'
export type { ArmSnapshot, ArmSnapshotMachine, ArmSnapshotSource, ArmSnapshotState } from './snapshot.ts'
export type { GuestSample, SampledMemory, SamplingOptions } from '../life/sampling.ts'
export type { ArmStatistics } from './statistics.ts'
