/**
 * The contract that device models are written against.
 *
 * @packageDocumentation
 */
export { DeviceError } from './errors.ts'
export { restoreDeadline, savedDeadline, savedState, shapeFault } from './saved-state.ts'
export { fieldsPart, listed, type PlainState, Stateful, type StatePart, viewed } from './stateful.ts'
export type {
  AccessRequest,
  AccessSize,
  CancelSignal,
  RangeHandler,
  Region,
  RegionOptions,
  SynchronousRangeHandler,
  Word64,
} from './access.ts'
export type { DeviceContext, DeviceModel } from './device-model.ts'
export { LateAnswers, type LateRequest } from './late-answers.ts'
export { SpareBuffers } from './spare-buffers.ts'
export { Instant } from './instant.ts'
export type { Clock, InterruptLine, Timer, TimerCallback } from './wires.ts'
export { MEMORY_PAGE_BYTES, type MemoryMode, type OwnedMemory, type OwnedMemoryOptions } from './memory.ts'
export type {
  DeviceDma,
  DeviceMemory,
  Dma,
  GuestMapping,
  GuestSegment,
  InvalidatedFrames,
  MappingsToEnd,
  WritableGuestMapping,
} from './guest-memory.ts'
export type {
  MsixOptions,
  PciBarOptions,
  PciBridgeOptions,
  PciCapability,
  PciFunction,
  PciFunctionOptions,
  PciFunctionState,
  PciSlot,
  PciSlotEvents,
  PciMessages,
  PciRomOptions,
} from './pci-function.ts'
export {
  BlockError,
  type BlockBackend,
  type BlockErrorCode,
  type BlockProperties,
  type BlockRequest,
  type BlockTray,
  type BlockTrayClient,
  type BlockTrayState,
  type DiskGeometry,
} from './backends/block.ts'
export type { AudioBackend, AudioFormat, InputBackend, InputClient, InputEvent } from './backends/input.ts'
export { checksumOf, foldSum, sumWords, type PacketBackend, type PacketClient } from './backends/packets.ts'
export type { ByteStreamBackend, ByteStreamClient, ModemInputs, ModemOutputs } from './backends/byte-stream.ts'
export type {
  CursorImage,
  DisplayBackend,
  DisplayClient,
  DisplayMode,
  DisplayRectangle,
  DisplayText,
  PixelFormat,
} from './backends/display.ts'

export { behindPort, defineDevice, type DeviceDefinition } from './define-device.ts'
