import type { Words } from '@retrap/x86-cpu'
import type { Paravirtual } from '../paravirtual.ts'

/** A hypervisor's own interface for guests, as x86 processors call it. `@retrap/xen` has one. */
export interface X86Paravirtual extends Paravirtual {
  /** Answers a CPUID leaf. @returns false for one that is not this interface's */
  cpuid(vcpu: number, leaf: number, subleaf: number, into: Uint32Array): boolean
  /** Reads an MSR that no other part has. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  readMsr(vcpu: number, index: number, into: Words): number
  /** Writes an MSR that no other part has. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  writeMsr(vcpu: number, index: number, lo: number, hi: number): number
  /** Makes the hypercall that a vCPU's registers describe. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  hypercall(vcpu: number): number
  /** The vector that a vCPU is to take before those of its local APIC; 0 for none. */
  pendingVector(vcpu: number): number
  /** Something has happened that a vCPU must look at: it waits in a hypercall no longer. */
  eventsChanged(vcpu: number): void
  /** INIT has reset a vCPU's local APIC. */
  apicReset(vcpu: number): void
  /** A start-up IPI has started a vCPU. */
  started(vcpu: number): void
  /** The guest has moved a time-stamp counter. */
  timeMoved(): void
}
