import type { TprAccess } from '@retrap/vapic'
import type { Words } from '@retrap/x86-cpu'
import type { Domain } from '../domain.ts'
import type { Paravirtual } from '../virtual-cpu.ts'

/** The interfaces of an x86 vCPU besides its processor and its local APIC. */
export interface X86Surroundings {
  /** Domain: memory, devices, time. */
  readonly domain: Domain
  /** vCPUs of the domain. */
  readonly cpus: number
  /** Threads of the vCPUs; absent: they take turns. */
  readonly threads?: object | undefined
  /** The hypervisor's own interface that the guest sees; null for none. */
  readonly paravirtual: X86Paravirtual | null
  /** Memory visible to vCPUs only in system-management mode; null: none. */
  readonly systemManagementMemory: SystemManagementMemory | null
  /** 32 random bits a call. */
  random(): number
  /** Takes a guest's write to ROM. */
  romWrite(gpa: number, size: number, lo: number, hi: number): void
  /** Asserts FERR# for a vCPU, which stands still until an interrupt. */
  numericError(vcpu: number): void
}

/** A hypervisor's own interface for guests, as x86 processors call it. `@retrap/xen` has one. */
export interface X86Paravirtual extends Paravirtual {
  /** Answers a CPUID leaf. @returns false for leaves outside this interface */
  cpuid(vcpu: number, leaf: number, subleaf: number, into: Uint32Array): boolean
  /** Reads an MSR that no other part has. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  readMsr(vcpu: number, index: number, into: Words): number
  /** Writes an MSR that no other part has. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  writeMsr(vcpu: number, index: number, lo: number, hi: number): number
  /** Makes the hypercall that a vCPU's registers describe. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  hypercall(vcpu: number): number
  /** Returns the vector to deliver before those of the vCPU's local APIC; 0: none. */
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

/**
 * Memory that a vCPU sees in system-management mode alone, in place of what the guest's map has there: a chipset's SMRAM.
 *
 * It is the chipset's to say what is visible and when. After a change that does not come with an SMI or RSM it has all
 * vCPUs forget their translations (`VirtualCpu.mapChanged`).
 */
export interface SystemManagementMemory {
  /** Machine address of the RAM behind a guest-physical address in system-management mode; −1: as in any other mode. */
  machineAddress(gpa: number): number
}

/** Receives a vCPU's accesses to its task priority register, and other events for a TPR patcher. */
export interface TprWatch {
  /** Whether accesses are reported. */
  readonly reporting: boolean
  /** Whether an access must be reported. */
  watches(gpa: number): boolean
  /** Notes an access of a logged pass. */
  accessed(access: TprAccess, gpa: number): void
  /** Takes a write to the patcher's port. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  portWrite(size: number, value: number, logged: boolean): number
  /** Handles a hypercall. @returns false if the call is not for the patcher */
  hypercall(): boolean
  /** Passes noted accesses to the patcher, when the vCPU has returned to its domain. */
  settle(): void
}
