import { XenPlatform } from '@retrap/devices'
import type { CreateChipset } from './board.ts'

/** PCI device number of Xen's platform device, as in machines of its own. */
const XEN_PLATFORM_DEVICE = 2

/** Has a chipset with Xen's platform device made. Loaded for a guest that sees Xen. */
export const withXenPlatform =
  (createChipset: CreateChipset): CreateChipset =>
  (...given) => ({ ...createChipset(...given), others: [new XenPlatform({ device: XEN_PLATFORM_DEVICE })] })
