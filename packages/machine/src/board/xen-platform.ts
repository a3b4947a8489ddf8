import { XenPlatform } from '@retrap/devices'
import type { CreateChipset } from './board.ts'

/** PCI device number of Xen's platform device, as in Xen's machines. */
const XEN_PLATFORM_DEVICE = 2

/** Wraps a chipset so that it has Xen's platform device. Loaded for a guest that sees Xen. */
export const withXenPlatform =
  (createChipset: CreateChipset): CreateChipset =>
  (...given) => ({ ...createChipset(...given), others: [new XenPlatform({ device: XEN_PLATFORM_DEVICE })] })
