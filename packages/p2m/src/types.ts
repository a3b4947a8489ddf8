/** What a guest frame is. The numbers are Xen's (xen/arch/x86/include/asm/p2m.h), which go into leaves' bits 57:52. */
export const P2mType = {
  /** Ordinary RAM. */
  RAM_RW: 0,
  /** Nothing, and no device either. */
  INVALID: 1,
  /** RAM whose first write is to be noticed. */
  RAM_LOGDIRTY: 2,
  /** ROM: writes are discarded. */
  RAM_RO: 3,
  /** A hole: a device model answers. What no leaf covers is of this type. */
  MMIO_DM: 4,
  /** A real device's page. Reserved: there are none yet. */
  MMIO_DIRECT: 5,
  /** A frame that another guest granted, to be read and written. */
  GRANT_MAP_RW: 7,
  /** A frame that another guest granted, to be read; writes are discarded. */
  GRANT_MAP_RO: 8,
  /** Another guest's frame. */
  MAP_FOREIGN: 14,
} as const

/** One of the `P2mType` numbers. */
export type P2mType = (typeof P2mType)[keyof typeof P2mType]

/** Rights of a leaf, as in an EPT entry's low bits. */
export const P2M_READ = 1
/** See {@link P2M_READ}. */
export const P2M_WRITE = 2
/** See {@link P2M_READ}. */
export const P2M_EXECUTE = 4

/** By type. */
const RIGHTS: readonly number[] = [7, 0, 5, 5, 0, 7, 0, 3, 1, 0, 0, 0, 0, 0, 3]

/** Rights that a type gives. */
export function rightsOf(type: number): number {
  return RIGHTS[type] ?? 0
}

/** Whether a type is RAM of the guest's own. */
export function isRam(type: number): boolean {
  return type === P2mType.RAM_RW || type === P2mType.RAM_LOGDIRTY || type === P2mType.RAM_RO
}

/** Whether a type is somebody else's frame, for as long as he lets it be: neither the guest's RAM nor a hole. */
export function isForeign(type: number): boolean {
  return type === P2mType.MAP_FOREIGN || type === P2mType.GRANT_MAP_RW || type === P2mType.GRANT_MAP_RO
}

/** "No machine frame". */
export const INVALID_MFN = -1

/** Guest-physical addresses have at most 48 bits: four levels of tables. */
export const MAX_GFN: number = 2 ** 36
