import type { PcPciPlace } from './pci-place.ts'

/** How a virtio device lies on the PCI bus. */
export interface PcVirtioPlace extends PcPciPlace {
  /** Whether drivers of version 1.0 and later find their interface. Default true. */
  readonly modern?: boolean | undefined
  /** Whether legacy drivers find theirs. Default: where the device type has one. */
  readonly legacy?: boolean | undefined
  /** Whether queues may be packed rings. Default false. */
  readonly packed?: boolean | undefined
  /** MSI-X vectors, 0 for none; default one for each queue and one more. */
  readonly vectors?: number | undefined
}
