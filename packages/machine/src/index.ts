/**
 * A PC composed out of the other packages.
 *
 * @packageDocumentation
 */
export { ACPI_DEFAULT_BASE, buildAcpiTables } from './acpi/index.ts'
export type { AcpiBoard, AcpiHpet, AcpiSerialPort, AcpiTables } from './acpi/index.ts'
export { describeThrown } from '@retrap/device/host'
export { REFUSALS, refusalOf, requireSupported } from './combinations/combinations.ts'
export type {
  CombinationRule,
  DeviceTrait,
  MachineBoard,
  MachineRun,
  MachineTrait,
  MachineVerb,
} from './combinations/combinations.ts'
export { traitsOf } from './combinations/traits.ts'
export type { ComposedOptions } from './combinations/traits.ts'
export type { CrashDetail } from './life/crash.ts'
export type { PcForkOptions } from './fork/fork-options.ts'
export type { MachineForks } from './options/fork-room.ts'
export { MachineError } from './errors.ts'
export type { MachineErrorCode } from './errors.ts'
export {
  E820,
  LoaderError,
  isMultibootKernel,
  kernelRom,
  loadFirmware,
  loadKernel,
  loadLinux,
  loadMultiboot,
  loadPvh,
  pcMemoryMap,
} from './loaders/index.ts'
export type {
  BootImages,
  BootModule,
  E820Entry,
  FirmwareKernel,
  FirmwareRegion,
  GuestMemoryWriter,
  GuestRange,
  InitialState,
  KernelImages,
  KernelRom,
  LinuxImages,
  LoadedFirmware,
  LoadedKernel,
  LoadedPiece,
  LoaderErrorCode,
  PcMemoryMap,
  SegmentState,
  TableState,
} from './loaders/index.ts'
export type { BoardDescription } from './board/board.ts'
export type {
  MachineBootOptions,
  MachineDrive,
  MachineNvmePlace,
  MachineScsiPlace,
  MachineVirtioDisk,
} from './options/drives.ts'
export { isRemovable } from './devices/removable-drive.ts'
export type { MachineEjectOptions, MachineRemovableDrive } from './devices/removable-drive.ts'
export { preparePc } from './pc/pc-board.ts'
export type { PcKind } from './pc/pc-board.ts'
export type { FirmwareAreaState } from './firmware/firmware-area.ts'
export type { MachineFlash } from './firmware/flash.ts'
export type { FirmwareConfiguration } from './firmware/firmware-configuration.ts'
export type { OptionRom } from './firmware/option-roms.ts'
export type { CpuStop, MachineWatchKind } from './debugger/debugged-cpu.ts'
export type { CpuResume, MachineDebugger, MachineStop, Removable, StopHandler } from './debugger/machine-debugger.ts'
export type { PcGdbOptions } from './debugger/gdb-target.ts'
export type { MachineGdbOptions } from './debugger/machine-gdb-target.ts'
export type { MonitorCommand } from './debugger/monitor.ts'
export type { MachinePluggable, MachineUnplugOptions } from './machine/hot-plug.ts'
export type { MachineUsb, MachineUsbDevice } from './options/pci-options.ts'
export type { PcVapicOptions } from './firmware/vapic.ts'
export type { MachineNetworkCard, MachineNetworkPlace } from './options/network-card.ts'
export type { MachinePciPlace } from './options/pci-options.ts'
export type { MachineRootPort } from './options/pci-options.ts'
export type { MachineSoundDevice } from './options/pci-options.ts'
export type { MachineVirtioDevice } from './options/virtio-device.ts'
export type { MachineVirtioPlace } from './options/pci-options.ts'
export { serveControllers } from './elsewhere/serve-controllers.ts'
export type {
  BoardServerOptions,
  ControllerDescription,
  ControllerServerOptions,
  PartServerOptions,
  StartBoardServer,
  StartControllerServer,
  StartPartServer,
} from './board/start.ts'
export { recordClone, recordPc } from './recording/record.ts'
export type { Checkpoints, LogPosition, RecordedAnswer } from './recording/checkpoints.ts'
export type { LiveDebugOptions } from './recording/live-run.ts'
export type { MachineKind, MachineParts } from './machine/board.ts'
export type { Machine } from './machine/machine.ts'
export type { GatedMachine, GatedSnapshots, MachineGate } from './machine/machine-gate.ts'
export type { FormerPages, MachineSnapshot, MachineSnapshotSource, MachineState } from './snapshot/snapshots.ts'
export type { PcRecorder, RecordPcOptions } from './recording/record.ts'
export { replayPc } from './recording/replay.ts'
export type { PcReplay, RecordingSource, ReplayPcOptions } from './recording/replay.ts'
export { describeDivergence, type ReplayExit } from './recording/replay-exit.ts'
export type { ReplayDebugger, ReplayStop, TravellingMachine, WhoWroteOptions } from './recording/replay-debugger.ts'
export type { LastWriter } from './recording/who-wrote.ts'
export type { Divergence } from './recording/replay-gate.ts'
export { serveBoard } from './board/serve-board.ts'
export type { MachineType } from './machine-type.ts'
export { HostPacing, type PacedDomain } from './life/host-pacing.ts'
export type { MachineExit } from './life/machine-exit.ts'
export type {
  MachineRunOptions,
  MachineRestoreOptions,
  MachineSaveOptions,
  MachineActivity,
  StartDeviceServer,
  StopSignal,
} from './life/machine-life.ts'
export { Pc, createPc } from './pc/pc.ts'
export type { PcInputs } from './pc/pc.ts'
export type { MachineForkOptions, MachineOptions } from './options/machine-options.ts'
export type { PcGeneration, PcOptions } from './options/pc-options.ts'
export type { GuestSample, SampledMemory, SamplingOptions } from './life/sampling.ts'
export type { CheckpointOptions, MachineCheckpoint } from './snapshot/checkpoint.ts'
export type { UsedInputs } from './input/input-switch.ts'
export type { PcSnapshot, PcSnapshotMachine, PcSnapshotSource, PcSnapshotState } from './options/pc-snapshot.ts'
export type { SerialPort } from './board/serial-port.ts'
export type { SmramPage, SmramState } from './firmware/smram.ts'
export type { PcStatistics } from './life/statistics.ts'
export type * from './earlier-names.ts'
