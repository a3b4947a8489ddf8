import {
  APIC_APR,
  APIC_DFR,
  APIC_EOI,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR2,
  APIC_RRD,
  APIC_SELF_IPI,
  APIC_SVR,
  APIC_TDCR,
  APIC_TMICT,
  APIC_TPR,
  ICR_WRITABLE,
  isApicRegister,
  LVT_READ_ONLY,
  LVT_WRITABLE,
} from './apic-registers.ts'

/*
 * Which MSRs the x2APIC has and what may be written to them. Source: Intel SDM vol. 3A, "x2APIC Register Address
 * Space", "Reserved Bit Checking".
 */

/** Whether a register of the page, by its offset, is an MSR of the x2APIC (but for LVT CMCI, which is optional). */
export function isX2apicRegister(offset: number): boolean {
  switch (offset) {
    case APIC_SELF_IPI:
      return true
    // The format is fixed, the ICR is one register, and the APIC bus is gone.
    case APIC_DFR:
    case APIC_ICR2:
    case APIC_APR:
    case APIC_RRD:
      return false
    default:
      return isApicRegister(offset)
  }
}

/**
 * Whether a value may be written: the register is writable, and no reserved bit is set.
 *
 * @param svrWritable - bits of the spurious-vector register that there are
 */
export function x2apicWriteAllowed(offset: number, lo: number, hi: number, svrWritable: number): boolean {
  // Delivery status is gone from the ICR; software that writes it back is forgiven.
  if (offset === APIC_ICR) return (lo & ~(ICR_WRITABLE | (1 << 12))) === 0
  if (hi !== 0) return false
  switch (offset) {
    case APIC_TPR:
    case APIC_SELF_IPI:
      return (lo & ~0xff) === 0
    case APIC_EOI:
    case APIC_ESR:
      return lo === 0
    case APIC_SVR:
      return (lo & ~svrWritable) === 0
    case APIC_TDCR:
      return (lo & ~0xb) === 0
    case APIC_TMICT:
      return true
    default: {
      const writable = LVT_WRITABLE[offset]
      return writable !== undefined && (lo & ~(writable | LVT_READ_ONLY)) === 0
    }
  }
}
