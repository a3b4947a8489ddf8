/** The local APIC's interface for its processor: the register page, MSRs, and CPUID bits. */
import {
  APIC_TPR,
  type LocalApic,
  MSR_APIC_BASE,
  MSR_TSC_DEADLINE,
  MSR_X2APIC_FIRST,
  MSR_X2APIC_LAST,
} from '@retrap/irqchip'
import { STATUS_DONE, STATUS_FAULT, STATUS_UNHANDLED } from '@retrap/replay'
import type { Processor, RegisterPage, Words } from '@retrap/x86-cpu'

// The page: registers of 32 bits, at multiples of 16 (SDM vol. 3A, "Local APIC Registers").

const APIC_PAGE_BYTES = 0x1000

/** Accesses to the page, counted for statistics. */
export interface ApicPageCounts {
  apicAccesses: number
  taskPriorityAccesses: number
}

/** Reads from the page; an access that is narrower or not aligned sees part of a register. */
export function readApicPage(
  apic: LocalApic,
  counts: ApicPageCounts,
  gpa: number,
  size: number,
  into: Words,
): typeof STATUS_DONE {
  const offset = gpa & (APIC_PAGE_BYTES - 1)
  count(counts, offset)
  into.hi = 0
  into.lo = (offset & 0xf) === 0 && size >= 4 ? apic.read(offset) : readPart(apic, offset, size)
  return STATUS_DONE
}

function readPart(apic: LocalApic, offset: number, size: number): number {
  const value = apic.read(offset & ~0xf)
  const shift = (offset & 0xf) * 8
  if (shift >= 32) return 0
  const part = value >>> shift
  return size === 1 ? part & 0xff : size === 2 ? part & 0xffff : part
}

/** Writes to the page: aligned 32-bit stores alone are architectural, and narrower ones are dropped. */
export function writeApicPage(
  apic: LocalApic,
  counts: ApicPageCounts,
  gpa: number,
  size: number,
  lo: number,
): typeof STATUS_DONE {
  const offset = gpa & (APIC_PAGE_BYTES - 1)
  count(counts, offset)
  if ((offset & 0xf) === 0 && size >= 4) apic.write(offset, lo >>> 0)
  return STATUS_DONE
}

/** Describes the page, most registers of which are words in machine memory. @returns false for another page */
export function describeApicPage(apic: LocalApic, gpa: number, into: RegisterPage): boolean {
  if (!apic.decodes(gpa)) return false
  const { byteOffset, lo, hi } = apic.storedRegisters
  into.ma = byteOffset
  into.storedLo = lo
  into.storedHi = hi
  return true
}

function count(counts: ApicPageCounts, offset: number): void {
  counts.apicAccesses++
  if (offset === APIC_TPR) counts.taskPriorityAccesses++
}

/** Reads an MSR. @returns a status: `STATUS_UNHANDLED` if the MSR does not belong to the local APIC */
export function readApicMsr(apic: LocalApic, index: number, into: Words): number {
  if (index === MSR_APIC_BASE) {
    into.lo = apic.apicBaseLo
    into.hi = apic.apicBaseHi
    return STATUS_DONE
  }
  if (index === MSR_TSC_DEADLINE) {
    into.lo = apic.tscDeadlineLo
    into.hi = apic.tscDeadlineHi
    return STATUS_DONE
  }
  if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST) return STATUS_UNHANDLED
  return apic.readMsr(index, into) ? STATUS_DONE : STATUS_FAULT
}

/** Writes an MSR. @returns a status: `STATUS_UNHANDLED` if the MSR does not belong to the local APIC */
export function writeApicMsr(apic: LocalApic, index: number, lo: number, hi: number): number {
  if (index === MSR_APIC_BASE) return apic.setApicBase(lo, hi) ? STATUS_DONE : STATUS_FAULT
  if (index === MSR_TSC_DEADLINE) {
    apic.setTscDeadline(lo, hi)
    return STATUS_DONE
  }
  if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST) return STATUS_UNHANDLED
  return apic.writeMsr(index, lo, hi) ? STATUS_DONE : STATUS_FAULT
}

/** CPUID leaf 1, EDX: several logical processors share the package; a local APIC exists. */
const HTT = 1 << 28
const APIC = 1 << 9
/** AMD's leaf 8000_0001H, ECX: the logical processors of the package are cores. */
const CMP_LEGACY = 1 << 1

/**
 * Adds to a CPUID leaf what depends on the domain: APIC ID, processors in the package, the local APIC's presence.
 *
 * Source: SDM vol. 2A, "CPUID—CPU Identification", leaves 1, 4 and 0BH; AMD APM vol. 3, appendix E, "Multiple
 * Processor Calculation".
 */
export function describeTopology(
  processor: Processor,
  apic: LocalApic,
  cpus: number,
  leaf: number,
  subleaf: number,
  into: Uint32Array,
): void {
  const id = apic.apicId
  const known = processor.answeringLeaf(leaf)
  if (known === 1) {
    into[1] = (into[1]! & 0xff00) | (Math.min(cpus, 255) << 16) | ((id & 0xff) << 24)
    if (cpus > 1) into[3]! |= HTT
    if (!apic.present) into[3]! &= ~APIC
  } else if (known === 4 && into[0]! !== 0) {
    into[0]! |= (Math.min(cpus, 64) - 1) << 26
  } else if (known === 0xb) {
    if (subleaf === 1) {
      into[0] = Math.ceil(Math.log2(Math.max(cpus, 2)))
      into[1] = cpus
    }
    into[3] = id
  } else if (processor.amd && known === 0x8000_0001) {
    if (cpus > 1) into[2]! |= CMP_LEGACY
    if (!apic.present) into[3]! &= ~APIC
  } else if (processor.amd && known === 0x8000_0008) {
    // Number of cores less one, and number of APIC ID bits for cores.
    into[2]! |= (Math.min(cpus, 256) - 1) | (Math.ceil(Math.log2(cpus)) << 12)
  }
}
