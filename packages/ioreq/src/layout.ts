/*
 * Constants of Xen's public device-model interface (public headers hvm/ioreq.h, hvm/dm_op.h). Every number here is
 * ABI: emulators written for Xen read and write these layouts.
 */

/** Bytes of one `ioreq_t`. */
export const IOREQ_BYTES = 32
/** Bytes of a page of requests, and of the buffered ring. */
export const IOREQ_PAGE_BYTES = 4096
/** Requests in a page: one for each vCPU, indexed by its id. */
export const IOREQ_SLOTS = 128

/** The slot is free. */
export const STATE_IOREQ_NONE = 0
/** The vCPU has published a request. */
export const STATE_IOREQ_READY = 1
/** The server has taken it. */
export const STATE_IOREQ_INPROCESS = 2
/** The server has answered. */
export const STATE_IORESP_READY = 3

/** A port access. */
export const IOREQ_TYPE_PIO = 0
/** A guest-physical (MMIO) access. */
export const IOREQ_TYPE_COPY = 1
/** A PCI configuration access; the address is {@link pciAddressHi}/register. */
export const IOREQ_TYPE_PCI_CONFIG = 2
/** A change of the guest's time offset (buffered, 8-byte data). */
export const IOREQ_TYPE_TIMEOFFSET = 7
/** The emulator must drop its mapcache. */
export const IOREQ_TYPE_INVALIDATE = 8

/** `dir`: the guest writes. */
export const IOREQ_WRITE = 0
/** `dir`: the guest reads. */
export const IOREQ_READ = 1

/** Fields of `ioreq_t`, as byte offsets. */
export const IOREQ_OFFSET = {
  addr: 0,
  data: 8,
  count: 16,
  size: 20,
  vp_eport: 24,
  pad: 28,
  flags: 30,
  type: 31,
} as const

/** Slots of the buffered ring. */
export const IOREQ_BUFFER_SLOTS = 511
/** The highest address that a ring entry can hold (20 bits). */
export const IOREQ_BUFFER_MAX_ADDRESS = 0xf_ffff

/** `handle_bufioreq` of a server: no ring. */
export const HVM_IOREQSRV_BUFIOREQ_OFF = 0
/** The consumer stores `read_pointer`. */
export const HVM_IOREQSRV_BUFIOREQ_LEGACY = 1
/** The consumer adds to `read_pointer` atomically, and the producer may canonicalise the pair. */
export const HVM_IOREQSRV_BUFIOREQ_ATOMIC = 2

/** Ioreq servers a domain can have. */
export const MAX_NR_IOREQ_SERVERS = 8
/** Ranges of one type a server can have. */
export const MAX_NR_IO_RANGES = 256

/** Range types of `map_io_range_to_ioreq_server`. */
export const XEN_DMOP_IO_RANGE_PORT = 0
/** Guest-physical addresses. */
export const XEN_DMOP_IO_RANGE_MEMORY = 1
/** PCI functions: segment·2^16 + BDF. */
export const XEN_DMOP_IO_RANGE_PCI = 2

/** High word of a PCI_CONFIG address: segment 31:16, bus 15:8, device 7:3, function 2:0. The low word is the register. */
export function pciAddressHi(segment: number, bus: number, device: number, fn: number): number {
  return ((segment << 16) | (bus << 8) | (device << 3) | fn) >>> 0
}
