/**
 * A PC composed out of the other packages.
 *
 * @packageDocumentation
 */
export { type GuestTrouble, GuestWatch } from './lifecycle/guest-trouble.ts'
export { buildAcpiTables } from './acpi/index.ts'
export type { AcpiBoard, AcpiTables } from './acpi/index.ts'
export { describeThrown } from '@retrap/device/host'
export { REFUSALS, refusalOf, requireSupported } from './refusals/refusals.ts'
export type {
  CombinationRule,
  DeviceTrait,
  MachineBoard,
  MachineRun,
  MachineTrait,
  MachineVerb,
} from './refusals/refusals.ts'
export { getsThreads, traitsOf, type ComposedOptions } from './refusals/traits.ts'
export type { PcForkOptions } from './fork/fork-options.ts'
export { MachineError } from './errors.ts'
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
export type { GuestMemoryWriter, GuestRange, KernelRom, LoadedKernel, PcMemoryMap } from './loaders/index.ts'
export type { BoardDescription } from './board/board.ts'
export { isRemovable } from './devices/removable-drive.ts'
export { preparePc } from './pc/pc-board.ts'
export type { FirmwareAreaState } from './firmware/firmware-area.ts'
export type { OptionRom } from './firmware/option-roms.ts'
export type { PcGdbOptions } from './debugger/pc-debugger.ts'
export type { PcVapicOptions } from './firmware/vapic.ts'
export { serveControllers } from './controllers-worker/serve-controllers.ts'
export type { BoardServerOptions, StartBoardServer } from './board/start.ts'
export { historyOf, openBundle, requireImage } from './recording/bundle.ts'
export type { BundleNotes, FoundImage, NamedImage } from './recording/bundle.ts'
export { bundleOptions, optionsOfBundle, type BundledOptions } from './recording/bundled-options.ts'
export { recordClone, recordPc, replayPc, type PcRecorder, type RecordPcOptions } from './recording/pc-runs.ts'
export type { Checkpoints, LogPosition } from './recording/checkpoints.ts'
export type { LiveDebugOptions } from './recording/live-run.ts'
export type { PluggedServer, PlugServer } from './recording/server-starts.ts'
export type { PcReplay } from './recording/replay.ts'
export type { Direction } from './recording/call-steps.ts'
export type { DeviceRequest, ReplayDebugger, StepOptions } from './recording/replay-debugger.ts'
export type { ReplayStop } from './recording/travelling-machine.ts'
export type { LastWriter } from './recording/who-wrote.ts'
export { serveBoard } from './board/serve-board.ts'
export type { MachineType } from './machine-type.ts'
export { HostPacing, type PacedDomain } from './lifecycle/host-pacing.ts'
export { Pc, createPc } from './pc/pc.ts'
export type { PcOptions } from './options/pc-options.ts'
export type { PcSnapshot, PcSnapshotSource, PcSnapshotState } from './options/pc-snapshot.ts'
export { stateOnClock, stateWithMemory } from './pc/state-on-clock.ts'
export type { PcStatistics } from './lifecycle/statistics.ts'
export type * from './both-boards.ts'
