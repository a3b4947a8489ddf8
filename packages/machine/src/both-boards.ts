/** Types exported by both entry points: of machines on any board and of their parts. */
export type { SerialPort } from './board/serial-port.ts'
export type { ControllerDescription, StartControllerServer, StartPartServer } from './board/start.ts'
export type { PlaceAccess } from './debugger/debugged-cpu.ts'
export type { MachineDebugger } from './debugger/machine-debugger.ts'
export type { MachineStop, Removable } from './debugger/stop-points.ts'
export type { MachinePlace } from './debugger/stop-places.ts'
export type { MachineRemovableDrive } from './devices/removable-drive.ts'
export type { MachineFlash } from './firmware/flash.ts'
export type { MachineSmbios } from './firmware/smbios.ts'
export type { CrashDetail } from './lifecycle/crash.ts'
export type { MachineExit } from './lifecycle/machine-exit.ts'
export type {
  MachineRestoreOptions,
  MachineRunOptions,
  MachineSaveOptions,
  StartDeviceServer,
} from './lifecycle/machine-life.ts'
export type { GuestSample, SampledMemory } from './lifecycle/sampling.ts'
export type { MachineParts } from './machine/board.ts'
export type { MachinePluggable, MachineUnplugOptions } from './machine/hot-plug.ts'
export type { Machine } from './machine/machine.ts'
export type {
  MachineBootOptions,
  MachineDrive,
  MachineNvmePlace,
  MachineScsiPlace,
  MachineVirtioDisk,
} from './options/drives.ts'
export type { MachineForks, MachineGeneration, MachineOptions } from './options/machine-options.ts'
export type { ResetImages } from './lifecycle/machine-life.ts'
export type { MachineNetworkCard } from './options/network-card.ts'
export type {
  MachinePciPlace,
  MachineRootPort,
  MachineSoundDevice,
  MachineUsb,
  MachineVirtioPlace,
} from './options/pci-options.ts'
export type { MachineVirtioDevice } from './options/virtio-device.ts'
export type { GuestConsole } from './machine/machine-gate.ts'
export type { GuestTime, ReplayPlace } from './recording/guest-time.ts'
export type { ReplayExit } from './recording/replay-hits.ts'
export type { RecordingSource } from './recording/run-replay.ts'
export type { MachineCheckpoint } from './snapshot/checkpoint.ts'
export type { MachineSnapshot, MachineSnapshotSource, MachineState } from './snapshot/snapshots.ts'
export type {
  NotedGate,
  RunFailure,
  RunHistoryKeeper,
  RunMark,
  RunSample,
  SavedHistory,
} from './recording/run-history.ts'
