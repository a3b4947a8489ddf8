/** A root port of PCI Express. */
export interface PcRootPort {
  /** Names it for the device behind it: a letter, and letters, digits, `_`, `.` and `-`. */
  readonly id: string
  /** PCI device number, 3 to 30; default the lowest free one. */
  readonly slot?: number | undefined
  /** Whether devices may be plugged in and out while the machine runs; default true. */
  readonly hotPlug?: boolean | undefined
}
