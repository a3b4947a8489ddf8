export { IoreqError, type IoreqErrorCode } from './errors.ts'
export type {
  AccessRequest,
  AccessSize,
  CancelSignal,
  CancelSignalShape,
  Clock,
  DeviceContext,
  DeviceModel,
  Dma,
  InterruptLine,
  PciBus,
  RangeHandler,
  Region,
  RegionOptions,
  SynchronousRangeHandler,
  Timer,
  Word64,
} from './device.ts'
export type { PciBarOptions, PciFunction, PciFunctionOptions, PciFunctionState } from './pci-function.ts'
export { defineDevice, type DeviceDefinition, type DeviceHandlers, type DeviceRange } from './define-device.ts'
