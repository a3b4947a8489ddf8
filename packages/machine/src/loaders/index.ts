export { writeBiosData } from './boot-area.ts'
export { LoaderError } from './errors.ts'
export type { FirmwareKernel } from './firmware-kernel.ts'
export { belowOneMib, loadFirmware } from './firmware.ts'
export { type GuestMemoryWriter } from './guest-memory.ts'
export { realModeState, resetState, type InitialState } from './guest.ts'
export { isMultibootKernel, kernelRom, loadKernel, type KernelImages, type KernelRom } from './kernel.ts'
export { loadLinux, type LoadedKernel } from './linux.ts'
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
export { loadPvh, type BootModule } from './pvh.ts'
