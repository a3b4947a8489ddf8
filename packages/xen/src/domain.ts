/** A guest of x86 processors as the hypercalls see it: all that this package needs of the domain that it stands on. */
import type { InterruptLine } from '@retrap/device'
import type { Vcpu } from '@retrap/x86-cpu'
import type { XenDomainCalls, XenHost } from './architecture.ts'

/** A guest's vCPU, as the hypercalls see it. */
export interface XenDomainVcpu {
  /** Number. */
  readonly id: number
  /** Processor: registers, time-stamp counter, TLB. */
  readonly cpu: Vcpu
  /** Local APIC. */
  readonly apic: {
    /** Takes a fixed interrupt from another agent. @returns false while the APIC is disabled */
    accept(vector: number, level: boolean): boolean
    /** Takes a non-maskable interrupt. */
    nmi(): void
  }
  /** Linear addresses. */
  readonly translation: {
    /**
     * Translates a linear address for the hypervisor's own copies, through the vCPU's present tables.
     *
     * @param access - `ACCESS_*` of `@retrap/paging`
     * @returns the guest-physical address; −1 where the access is not allowed or would reach the local APIC
     */
    guestPhysical(lo: number, hi: number, access: number): number
  }
  /** Ends the vCPU's turn early if another vCPU can run. */
  pause(): void
  /** Looks again at what is pending for the vCPU. */
  updateEvents(): void
}

/** The calls that a domain makes to the interface that is plugged into it. */
export interface XenCalls extends XenDomainCalls {
  /** Answers a CPUID leaf. @returns false for leaves outside this interface */
  cpuid(vcpu: number, leaf: number, subleaf: number, into: Uint32Array): boolean
  /** Reads an MSR. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  readMsr(vcpu: number, index: number, into: { lo: number; hi: number }): number
  /** Writes an MSR. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  writeMsr(vcpu: number, index: number, lo: number, hi: number): number
  /** Makes the hypercall that a vCPU's registers describe. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  hypercall(vcpu: number): number
  /** Returns the vector to deliver before those of the vCPU's local APIC; 0: none. */
  pendingVector(vcpu: number): number
  /** Ends a vCPU's wait in a hypercall: something has happened that it must look at. */
  eventsChanged(vcpu: number): void
  /** INIT has reset a vCPU's local APIC. */
  apicReset(vcpu: number): void
  /** A start-up IPI has started a vCPU. */
  started(vcpu: number): void
  /** The guest has moved a time-stamp counter. */
  timeMoved(): void
}

/** A guest of x86 processors, as the hypercalls see it. `X86Domain` of `@retrap/hvm` is one. */
export interface XenDomain extends XenHost {
  /** Rate of the time-stamp counters. */
  readonly tscPerNs: number
  /** By number; the first is the bootstrap processor. */
  readonly vcpus: readonly XenDomainVcpu[]
  /** Interrupt controllers. */
  readonly interrupts: {
    /** The I/O APIC, whose inputs the wires lead to. */
    readonly ioApic: { readonly pins: number }
    /** A wire to one of the interrupt controllers' inputs. */
    line(gsi: number): InterruptLine
    /** Whether a wire is up. */
    asserted(gsi: number): boolean
    /** Delivers a device's message. */
    signalMsi(address: number, data: number): void
    /** Asked before an interrupt of a wire is delivered: true takes it away from the controllers. */
    intercept: (gsi: number) => boolean
    /** Called before an end of interrupt takes effect. */
    beforeEndOfInterrupt: () => void
  }
  /** The wire of a PCI function's interrupt pin, for device models. */
  pciInterrupt(device: number, pin: number): InterruptLine
  /** The same for the hypervisor's own interrupts, whose level must follow at once. */
  ownPciInterrupt(device: number, pin: number): InterruptLine
  /** Has the domain make these calls from now on. */
  plug(calls: XenCalls): void
}
