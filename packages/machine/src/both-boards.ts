/**
 * The types that both entry points have: of machines, whatever their board, and of what is in them.
 */
export type { SerialPort } from './board/serial-port.ts'
export type { PartServerOptions, StartPartServer } from './board/start.ts'
export type { CpuStop, MachineWatchKind, PlaceAccess, PlaceRange } from './debugger/debugged-cpu.ts'
export type { CpuResume, MachineDebugger } from './debugger/machine-debugger.ts'
export type { MachineStop, Removable, StopHandler } from './debugger/stop-points.ts'
export type { AccessedPlace, ExceptionPlace, MachinePlace } from './debugger/stop-places.ts'
export type { MachineGdbOptions } from './debugger/machine-gdb-target.ts'
export type { MonitorCommand } from './debugger/monitor.ts'
export type { MachineEjectOptions, MachineRemovableDrive } from './devices/removable-drive.ts'
export type { MachineFlash } from './firmware/flash.ts'
export type { MachineSmbios } from './firmware/smbios.ts'
export type { UsedInputs } from './input/input-switch.ts'
export type { CrashDetail } from './life/crash.ts'
export type { MachineExit } from './life/machine-exit.ts'
export type {
  MachineActivity,
  MachineRestoreOptions,
  MachineRunOptions,
  MachineSaveOptions,
  StartDeviceServer,
  StopSignal,
} from './life/machine-life.ts'
export type { GuestSample, SampledMemory, SamplingOptions } from './life/sampling.ts'
export type { MachineKind, MachineParts } from './machine/board.ts'
export type { MachinePluggable, MachineUnplugOptions } from './machine/hot-plug.ts'
export type { GatedMachine, GatedSnapshots, MachineGate } from './machine/machine-gate.ts'
export type { Machine } from './machine/machine.ts'
export type {
  MachineBootOptions,
  MachineDrive,
  MachineNvmePlace,
  MachineScsiPlace,
  MachineVirtioDisk,
} from './options/drives.ts'
export type { MachineForks } from './options/fork-room.ts'
export type { MachineGeneration } from './options/machine-options.ts'
export type { MachineForkOptions, MachineOptions } from './options/machine-options.ts'
export type { MachineNetworkCard, MachineNetworkPlace } from './options/network-card.ts'
export type {
  MachinePciPlace,
  MachineRootPort,
  MachineSoundDevice,
  MachineUsb,
  MachineUsbDevice,
  MachineVirtioPlace,
} from './options/pci-options.ts'
export type { MachineConsolePort, MachineVirtioDevice } from './options/virtio-device.ts'
export type { GuestConsole } from './machine/machine-gate.ts'
export type { GuestTime, NamedPlaces, ReplayPlace } from './recording/guest-time.ts'
export type { ReplayExit } from './recording/replay-exit.ts'
export type { Divergence } from './recording/replay-gate.ts'
export type { RecordOptions, RunRecorder } from './recording/record.ts'
export type { RecordingSource, RunReplay } from './recording/run-replay.ts'
export type { CheckpointOptions, MachineCheckpoint } from './snapshot/checkpoint.ts'
export type { FormerPages, MachineSnapshot, MachineSnapshotSource, MachineState } from './snapshot/snapshots.ts'
export type {
  NotedGate,
  NotedMachine,
  RunFailure,
  RunHistoryKeeper,
  RunMark,
  RunSample,
  SavedHistory,
} from './recording/run-history.ts'
