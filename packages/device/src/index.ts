/**
 * The contract that device models are written against.
 *
 * @packageDocumentation
 */
export { DeviceError, savedState, type DeviceErrorCode } from './errors.ts'
export type {
  AccessRequest,
  AccessSize,
  CancelSignal,
  CancelSignalShape,
  Clock,
  DeviceContext,
  DeviceModel,
  InterruptLine,
  PciBus,
  RangeHandler,
  Region,
  RegionOptions,
  SynchronousRangeHandler,
  Timer,
  Word64,
} from './device.ts'
export type {
  DeviceDma,
  DeviceMemory,
  Dma,
  GuestMapping,
  GuestSegment,
  InvalidatedFrames,
  MappableDma,
  MappingsToEnd,
  ReadonlyGuestBytes,
  WritableGuestMapping,
  WritableGuestSegment,
} from './guest-memory.ts'
export type { PciBarOptions, PciFunction, PciFunctionOptions, PciFunctionState } from './pci-function.ts'
export { defineDevice, type DeviceDefinition, type DeviceHandlers, type DeviceRange } from './define-device.ts'
