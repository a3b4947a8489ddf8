/** The embedded guest's memory map, in GPAs. */

/** The image below 1 MiB; the same bytes end at 4 GiB. */
export const ROM = { base: 0xf_0000, bytes: 0x1_0000, segment: 0xf000 } as const

/** The address of the processor's first fetch after reset: F000:FFF0. */
export const RESET_VECTOR = 0xf_fff0

/** Page tables: one PML4, one PDPT, four page directories of 2 MiB pages: an identity map of 4 GiB. */
export const PAGE_TABLES = { pml4: 0x1000, pdpt: 0x2000, directories: 0x3000, gibibytes: 4, end: 0x7000 } as const

export const VARIABLES = 0x8000

/** Top of the stack, which grows down. */
export const STACK_TOP = 0x7_0000

/** The memory-mapped devices that every PC has in the same places. */
export const MMIO = { ioApic: 0xfec0_0000, hpet: 0xfed0_0000, localApic: 0xfee0_0000 } as const

/** First page that is mapped uncached: the last GiB below 4 GiB is where devices are. */
export const UNCACHED_FROM_GIBIBYTE = 3

/** I/O ports. */
export const PORT = {
  pic1Command: 0x20,
  pic1Data: 0x21,
  pitChannel2: 0x42,
  pitControl: 0x43,
  systemControlB: 0x61,
  cmosIndex: 0x70,
  cmosData: 0x71,
  systemControlA: 0x92,
  pic2Command: 0xa0,
  pic2Data: 0xa1,
  com1: 0x3f8,
  powerManagement: 0x600,
  pciAddress: 0xcf8,
  pciData: 0xcfc,
} as const

/** Selectors of the descriptor table in `descriptors.ts`. */
export const SELECTOR = { code32: 0x08, data: 0x10, code64: 0x18 } as const
