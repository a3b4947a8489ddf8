import { XEN_MAJOR, XEN_MINOR } from './numbers.ts'

/** First of Xen's CPUID leaves, and of its MSRs. */
export const XEN_CPUID_BASE = 0x4000_0000
/** The MSR that writes the hypercall page. */
export const XEN_MSR_HYPERCALL_PAGE = 0x4000_0000

/** "XenVMMXenVMM" */
const SIGNATURE = [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e] as const
/** Leaves there are after the first; the last is for PV guests. */
const LAST_LEAF = 5

// Leaf 3: the TSC is reliable, RDTSCP is there; TSC mode "default".
const TSC_RELIABLE = 1 << 1
const TSC_RDTSCP = 1 << 2
// Leaf 4.
const IOMMU_MAPPINGS = 1 << 2
const VCPU_ID_PRESENT = 1 << 3
const DOMID_PRESENT = 1 << 4
/** Event channel upcall vectors per vCPU are supported. */
const UPCALL_VECTOR = 1 << 6

/** Facts that Xen's leaves tell. */
export interface CpuidFacts {
  readonly vcpu: number
  readonly domainId: number
  readonly tscKhz: number
  /** Offset to the host's time-stamp counter, as two words. */
  readonly tscOffsetLo: number
  readonly tscOffsetHi: number
}

/**
 * Xen's CPUID leaves, from 40000000H on (public header arch-x86/cpuid.h).
 *
 * @param into - receives EAX, EBX, ECX, EDX; zero for unknown leaves
 */
export function xenCpuid(leaf: number, subleaf: number, facts: CpuidFacts, into: Uint32Array): void {
  into.fill(0)
  switch ((leaf >>> 0) - XEN_CPUID_BASE) {
    case 0:
      into.set([XEN_CPUID_BASE + LAST_LEAF, ...SIGNATURE])
      return
    case 1:
      into[0] = (XEN_MAJOR << 16) | XEN_MINOR
      return
    case 2:
      // One page, through the MSR; no features that hardware guests have.
      into.set([1, XEN_MSR_HYPERCALL_PAGE])
      return
    case 3:
      if (subleaf === 0) into.set([TSC_RELIABLE | TSC_RDTSCP, 0, facts.tscKhz, 0])
      else if (subleaf === 1) into.set([facts.tscOffsetLo, facts.tscOffsetHi, ...tscScale(facts.tscKhz)])
      else if (subleaf === 2) into[0] = facts.tscKhz
      return
    case 4:
      if (subleaf === 0)
        into.set([IOMMU_MAPPINGS | VCPU_ID_PRESENT | DOMID_PRESENT | UPCALL_VECTOR, facts.vcpu, facts.domainId])
      return
    default:
  }
}

/**
 * How ticks become nanoseconds: shifted left by the second number (right, if it is negative), then times the first over
 * 2^32. The first has its top bit set, as in `vcpu_time_info`.
 */
export function tscScale(khz: number): readonly [multiplier: number, shift: number] {
  let hz = khz * 1000
  let shift = 0
  while (hz > 2e9) {
    hz /= 2
    shift--
  }
  while (hz <= 1e9) {
    hz *= 2
    shift++
  }
  return [Math.floor((1e9 / hz) * 2 ** 32) >>> 0, shift]
}
