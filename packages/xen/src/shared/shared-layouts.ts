/* struct shared_info and struct vcpu_info (public headers xen.h, arch-x86/xen.h, arch-arm.h), in bytes from their beginnings. */

/** Bytes that a `vcpu_info` takes at most. */
export const MOST_VCPU_INFO_BYTES = 64

/** Offsets of the fields, for one kind of guest. */
export interface SharedLayout {
  /** Number of vCPUs with a place in the page itself: XEN_LEGACY_MAX_VCPUS. */
  readonly placedVcpus: number
  /** Of struct vcpu_info. */
  readonly vcpuInfoBytes: number
  /** evtchn_pending_sel within vcpu_info. */
  readonly selector: number
  /** vcpu_time_info within vcpu_info, behind arch_vcpu_info. */
  readonly time: number
  /** Ports that the bitmaps hold. */
  readonly ports: number
  /** log2 of the ports that one bit of the selector stands for. */
  readonly wordShift: number
  readonly pending: number
  readonly mask: number
  readonly wallClock: number
  /** Upper half of the wall clock's seconds. */
  readonly wallClockHi: number
}

/** The layouts of one architecture, for 64-bit guests and 32-bit ones. */
export interface SharedLayouts {
  readonly native: SharedLayout
  readonly compat: SharedLayout
}

/** x86: arch_vcpu_info has 16 bytes in 64-bit guests, 24 in others; vcpu_info has 64 in both. */
const X86: SharedLayout = {
  placedVcpus: 32,
  vcpuInfoBytes: 64,
  selector: 8,
  time: 32,
  ports: 4096,
  wordShift: 6,
  pending: 2048,
  mask: 2560,
  wallClock: 3072,
  wallClockHi: 3084,
}

export const X86_LAYOUTS: SharedLayouts = {
  native: X86,
  // wallClockHi is in arch_shared_info, behind six words.
  compat: { ...X86, selector: 4, ports: 1024, wordShift: 5, mask: 2176, wallClock: 2304, wallClockHi: 2340 },
}

/** Arm, 64-bit as for all its guests: arch_vcpu_info and arch_shared_info are empty, and one vCPU has a place in the page. */
const ARM: SharedLayout = {
  placedVcpus: 1,
  vcpuInfoBytes: 48,
  selector: 8,
  time: 16,
  ports: 4096,
  wordShift: 6,
  pending: 48,
  mask: 560,
  wallClock: 1072,
  wallClockHi: 1084,
}

export const ARM_LAYOUTS: SharedLayouts = { native: ARM, compat: ARM }
