import type { Domain } from '../domain.ts'
import type { X86Paravirtual } from './paravirtual.ts'
import type { SystemManagementMemory } from './system-management.ts'

/** The surroundings of an x86 vCPU, beside its processor and its local APIC. */
export interface X86Surroundings {
  /** Its domain: memory, devices, time. */
  readonly domain: Domain
  /** vCPUs of the domain. */
  readonly cpus: number
  /** The hypervisor's own interface that the guest sees; null for none. */
  readonly paravirtual: X86Paravirtual | null
  /** Memory that vCPUs see in system-management mode; null: what they see otherwise. */
  readonly systemManagementMemory: SystemManagementMemory | null
  /** 32 random bits a call. */
  random(): number
  /** Takes a guest's write to ROM. */
  romWrite(gpa: number, size: number, lo: number, hi: number): void
  /** Asserts FERR#. */
  numericError(): void
}
