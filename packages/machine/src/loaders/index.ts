export { writeBiosData } from './boot-area.ts'
export { LoaderError, type LoaderErrorCode } from './errors.ts'
export type { FirmwareKernel, LoadedPiece } from './firmware-kernel.ts'
export { belowOneMib, loadFirmware, type FirmwareRegion, type LoadedFirmware } from './firmware.ts'
export { type GuestMemoryWriter } from './guest-memory.ts'
export { realModeState, resetState, type InitialState, type SegmentState, type TableState } from './guest.ts'
export { isMultibootKernel, kernelRom, loadKernel, type KernelImages, type KernelRom } from './kernel.ts'
export { loadLinux, type LinuxImages, type LoadedKernel } from './linux.ts'
export {
  E820,
  PCI_HOLE_BASE,
  PCI_HOLE_LAST,
  pcMemoryMap,
  type E820Entry,
  type GuestRange,
  type PcMemoryMap,
} from './memory-map.ts'
export { loadMultiboot } from './multiboot.ts'
export { loadPvh, type BootImages, type BootModule } from './pvh.ts'
