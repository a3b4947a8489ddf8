/** The MSRs that reach a local APIC. */
import { type LocalApic, MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_X2APIC_FIRST, MSR_X2APIC_LAST } from '@retrap/irqchip'
import { STATUS_DONE, STATUS_FAULT, type Words } from '@retrap/x86-cpu'

/** The MSR is not a local APIC's. */
export const NOT_THE_APICS = -1

/** Reads an MSR. @returns a `STATUS_*`, or {@link NOT_THE_APICS} */
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
  if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST) return NOT_THE_APICS
  return apic.readMsr(index, into) ? STATUS_DONE : STATUS_FAULT
}

/** Writes an MSR. @returns a `STATUS_*`, or {@link NOT_THE_APICS} */
export function writeApicMsr(apic: LocalApic, index: number, lo: number, hi: number): number {
  if (index === MSR_APIC_BASE) return apic.setApicBase(lo, hi) ? STATUS_DONE : STATUS_FAULT
  if (index === MSR_TSC_DEADLINE) {
    apic.setTscDeadline(lo, hi)
    return STATUS_DONE
  }
  if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST) return NOT_THE_APICS
  return apic.writeMsr(index, lo, hi) ? STATUS_DONE : STATUS_FAULT
}
