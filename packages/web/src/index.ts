/// <reference lib="dom" preserve="true" />
/**
 * A PC in a web page.
 *
 * @packageDocumentation
 */
export type { GuestTrouble } from '@retrap/machine'
export type { KeyboardLayoutName } from '@retrap/display'
export type {
  CallView,
  DeviceRequest,
  MachineChange,
  MemoryPlace,
  PageDebugger,
  PrintedPlace,
  RegisterPlace,
  RegisterView,
  RunHistory,
  RunMark,
  RunPosition,
  RunSample,
  StopPlace,
  TaskView,
  TravelStop,
  WriterView,
} from './debugger.ts'
export { defineMachineElement, type MachineElement } from './element.ts'
export { WebError } from './errors.ts'
export { deleteFetched, fetchedBytes, type FileEntry } from './files.ts'

export type {
  AddressView,
  ArmBoardView,
  ArmVcpuView,
  CompiledView,
  FrameView,
  Impairment,
  InterruptView,
  MachineView,
  MapView,
  PcView,
  VcpuView,
  WaitView,
} from './inspection.ts'
export { deleteKeptDisk, exportKeptDisk, importKeptDisk, type KeptDisk, keptDisks } from './kept-disks.ts'
export { createMachine, Machine } from './machine.ts'
export type { DriveOptions, MachineOptions, NetworkOptions, Progress, Source } from './options.ts'
export type { KeyChange, MachineState, MachineStatistics, PointerChange } from './protocol.ts'
export type { TerminalLike } from './terminal.ts'
export { prepareArmBoard, startMachineWorker } from './worker-link.ts'
