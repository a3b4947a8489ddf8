// Virtual interrupts that a guest gets. Source: Xen's public/xen.h, VIRQ_*.
export const VIRQ_TIMER = 0
const VIRQ_DEBUG = 1
const VIRQ_XENOPROF = 7
const VIRQ_XENPMU = 13
/** Number of virtual interrupts, those of other domains included. */
export const NR_VIRQS = 24

const PER_VCPU = [VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU]

/** Tells whether each vCPU has the interrupt for itself; the others are the domain's. */
export function isPerVcpu(virq: number): boolean {
  return PER_VCPU.includes(virq)
}
