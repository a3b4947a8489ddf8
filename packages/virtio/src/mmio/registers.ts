// Registers that every transport has. Source: VIRTIO 1.2, §4.2.2, "MMIO Device Register Layout".

// Offsets.
export const MAGIC = 0x000
export const VERSION = 0x004
export const VENDOR_ID = 0x00c

/** "virt". */
export const MAGIC_VALUE = 0x7472_6976
/** Devices of virtio 1.0 and later. */
export const MODERN_VERSION = 2
export const VENDOR = 0x7274_7072
/** Bytes of a transport's registers. */
export const RANGE_BYTES = 0x200
