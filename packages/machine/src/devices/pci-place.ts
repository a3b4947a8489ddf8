/** Where a device lies on the PCI bus. */
export interface PcPciPlace {
  /** The `id` of a root port (`rootPorts`) that it is behind, in place of a number of its own; default none. */
  readonly port?: string | undefined
  /** PCI device number, 3 to 31 (from 4 on with Xen); default the lowest free one. */
  readonly slot?: number | undefined
}
