import type { Paravirtual } from '../paravirtual.ts'

/** A hypervisor's own interface for guests, as Arm processors call it. `@retrap/xen/arm` has one. */
export interface ArmParavirtual extends Paravirtual {
  /** The number in the HVC instructions that are its hypercalls; not 0, which is the SMC Calling Convention's. */
  readonly hypercallTag: number
  /** Makes the hypercall that a vCPU's registers describe. @returns whether HVC is to be executed again */
  hypercall(vcpu: number): boolean
  /** The interrupt controller has an interrupt for a vCPU: it waits in a hypercall no longer. */
  interrupted(vcpu: number): void
  /** Called before a vCPU reads or writes a register of the interrupt controller: levels are brought up to date. */
  beforeInterruptAccess(vcpu: number): void
}
