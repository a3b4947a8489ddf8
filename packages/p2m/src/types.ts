/**
 * Types of guest frames of x86 guests. They stand in leaves' bits 57:52.
 *
 * The numbers are Xen's p2m types. The types that a toolstack may set are `hvmmem_type_t` of
 * xen/include/public/hvm/hvm_op.h.
 */
export const P2mType = {
  /** Ordinary RAM. */
  RAM_RW: 0,
  /** Neither memory nor a device. */
  INVALID: 1,
  /** RAM whose first write is to be noticed. */
  RAM_LOGDIRTY: 2,
  /** ROM: writes are discarded. */
  RAM_RO: 3,
  /** A hole: a device model answers. Addresses that no leaf covers are of this type. */
  MMIO_DM: 4,
  /** A real device's page. Writes to ranges that have been declared read-only are discarded. */
  MMIO_DIRECT: 5,
  /** RAM that gets its machine frame at its first access. */
  POPULATE_ON_DEMAND: 6,
  /** A frame that another guest granted, to be read and written. */
  GRANT_MAP_RW: 7,
  /** A frame that another guest granted, to be read; writes are discarded. */
  GRANT_MAP_RO: 8,
  /** RAM that a pager is about to evict; it still has its frame. */
  RAM_PAGING_OUT: 9,
  /** RAM whose contents are held by a pager. */
  RAM_PAGED: 10,
  /** RAM that a vCPU waits for until the pager has loaded it. Its frame may exist already. */
  RAM_PAGING_IN: 11,
  /** RAM whose frame has other users with equal contents: the first write makes a copy. */
  RAM_SHARED: 12,
  /** A frame that failed: any party that touches it ends the domain. */
  RAM_BROKEN: 13,
  /** Another guest's frame. */
  MAP_FOREIGN: 14,
  /** RAM whose writes go to one device model, while the model claims them. */
  IOREQ_SERVER: 15,
} as const

/** A value of `P2mType`. */
export type P2mType = (typeof P2mType)[keyof typeof P2mType]

/**
 * Types of guest frames of Arm guests. They stand in leaves' bits 58:55; a frame that no leaf covers is INVALID.
 *
 * The numbers up to 11 are Xen's p2m types.
 */
export const ArmP2mType = {
  /** Nothing, or a device model's. */
  INVALID: 0,
  RAM_RW: 1,
  /** ROM. */
  RAM_RO: 2,
  /** A real device's page: device memory, normal memory that is not cached, and normal memory. */
  MMIO_DIRECT_DEV: 3,
  MMIO_DIRECT_NC: 4,
  MMIO_DIRECT_C: 5,
  /** Another guest's frame. */
  FOREIGN_MAP_RW: 6,
  FOREIGN_MAP_RO: 7,
  /** A frame granted by another guest. */
  GRANT_MAP_RW: 8,
  GRANT_MAP_RO: 9,
  /** A granted frame where the guest's devices see it, which are behind no IOMMU. */
  IOMMU_MAP_RW: 10,
  IOMMU_MAP_RO: 11,
  /** RAM whose first write is to be noticed. Not Xen's, which has no logs of Arm guests. */
  RAM_LOGDIRTY: 12,
  /** RAM whose frame has other users: the first write makes a copy. Not Xen's, which shares frames of x86 guests alone. */
  RAM_SHARED: 13,
} as const

/** A value of `ArmP2mType`. */
export type ArmP2mType = (typeof ArmP2mType)[keyof typeof ArmP2mType]

/** Rights of a leaf, as in an EPT entry's low bits. */
export const P2M_READ = 1
/** See {@link P2M_READ}. */
export const P2M_WRITE = 2
/** See {@link P2M_READ}. */
export const P2M_EXECUTE = 4

/** Counts as RAM of the guest's: with a frame, or with a claim to one. */
export const KIND_RAM = 1
/** The guest's own frame: referenced by the leaf, and released with it. */
export const KIND_OWN = 2
/** Another guest's frame, to be unmapped by its own call before an entry replaces it. */
export const KIND_FOREIGN = 4
/** Entries without a machine frame. */
export const KIND_HOLE = 8
/** May be a leaf of more than 4 KiB, and be merged to one. */
export const KIND_LARGE = 16
/** Cannot be without a frame. */
export const KIND_FRAME = 32
/** RAM that can be inserted, populated and retyped freely. */
export const KIND_PLAIN = 64
/** A device's frame: no domain's RAM, not counted, replaced by its own call only. */
export const KIND_DEVICE = 128

/** Device models may map and hold the frame; they are notified at the mapping's end. */
export const KIND_REACHABLE = 256

/** The types that maps of all architectures have: their numbers. */
export interface CommonTypes {
  /** Ordinary RAM. */
  readonly ram: number
  /** ROM: writes are discarded. */
  readonly rom: number
  /** RAM whose first write is to be noticed. */
  readonly logged: number
  /** RAM whose frame has other users with equal contents: the first write makes a copy. */
  readonly shared: number
  /** A device model answers: the type of frames that no leaf covers. */
  readonly hole: number
  /** Nothing, and no device either. Of an Arm guest a hole. */
  readonly nothing: number
  /** A frame that another guest granted, to be read and written. */
  readonly granted: number
  /** A frame that another guest granted, to be read. */
  readonly grantedReadOnly: number
}

/** The types of an architecture, by type number. */
export interface TypeTable extends CommonTypes {
  /** `KIND_` bits. */
  readonly kinds: readonly number[]
  /** `P2M_` bits. */
  readonly rights: readonly number[]
}

const OWN_RAM = KIND_RAM | KIND_OWN | KIND_FRAME
const PLAIN = OWN_RAM | KIND_LARGE | KIND_PLAIN | KIND_REACHABLE

/** Kinds and rights of the x86 types. */
export const X86_TYPES: TypeTable = {
  kinds: [
    PLAIN,
    KIND_HOLE | KIND_LARGE,
    PLAIN,
    PLAIN,
    KIND_HOLE | KIND_LARGE,
    KIND_DEVICE | KIND_FRAME | KIND_LARGE,
    KIND_LARGE,
    KIND_FOREIGN | KIND_FRAME,
    KIND_FOREIGN | KIND_FRAME,
    OWN_RAM,
    KIND_RAM | KIND_HOLE,
    KIND_RAM | KIND_OWN | KIND_HOLE,
    OWN_RAM | KIND_LARGE | KIND_REACHABLE,
    KIND_OWN | KIND_FRAME,
    KIND_FOREIGN | KIND_FRAME,
    OWN_RAM | KIND_REACHABLE,
  ],
  rights: [7, 0, 5, 5, 0, 7, 0, 3, 1, 0, 0, 0, 5, 0, 3, 7],
  ram: P2mType.RAM_RW,
  rom: P2mType.RAM_RO,
  logged: P2mType.RAM_LOGDIRTY,
  shared: P2mType.RAM_SHARED,
  hole: P2mType.MMIO_DM,
  nothing: P2mType.INVALID,
  granted: P2mType.GRANT_MAP_RW,
  grantedReadOnly: P2mType.GRANT_MAP_RO,
}

const DEVICE = KIND_DEVICE | KIND_FRAME | KIND_LARGE
const FOREIGN = KIND_FOREIGN | KIND_FRAME

/** Arm: RAM can be executed, and nothing else. Source: as {@link X86_TYPES}. */
export const ARM_TYPES: TypeTable = {
  kinds: [
    KIND_HOLE | KIND_LARGE,
    PLAIN,
    PLAIN,
    DEVICE,
    DEVICE,
    DEVICE,
    FOREIGN,
    FOREIGN,
    FOREIGN,
    FOREIGN,
    FOREIGN,
    FOREIGN,
    PLAIN,
    OWN_RAM | KIND_LARGE | KIND_REACHABLE,
  ],
  rights: [0, 7, 5, 3, 3, 3, 3, 1, 3, 1, 3, 1, 5, 5],
  ram: ArmP2mType.RAM_RW,
  rom: ArmP2mType.RAM_RO,
  logged: ArmP2mType.RAM_LOGDIRTY,
  shared: ArmP2mType.RAM_SHARED,
  hole: ArmP2mType.INVALID,
  nothing: ArmP2mType.INVALID,
  granted: ArmP2mType.GRANT_MAP_RW,
  grantedReadOnly: ArmP2mType.GRANT_MAP_RO,
}

/** Rights that an x86 type gives. IOREQ_SERVER loses write access while its writes are claimed. */
export function rightsOf(type: number): number {
  return X86_TYPES.rights[type] ?? 0
}

/** Whether an x86 type is RAM of the guest's own, with a frame or, paged out, without. */
export function isRam(type: number): boolean {
  return ((X86_TYPES.kinds[type] ?? 0) & KIND_RAM) !== 0
}

/** Whether an x86 type is another guest's frame, for as long as that guest permits: neither the guest's RAM nor a hole. */
export function isForeign(type: number): boolean {
  return ((X86_TYPES.kinds[type] ?? 0) & KIND_FOREIGN) !== 0
}

/** "No machine frame". */
export const INVALID_MFN = -1

/** Guest-physical addresses have at most 48 bits: four levels of tables. */
export const MAX_GFN: number = 2 ** 36
