import type { SystemValue } from '@retrap/arm-cpu'
import type { DeviceOrder } from '@retrap/arm-mmio'
import type { Domain } from '../domain.ts'
import type { Paravirtual } from '../virtual-cpu.ts'
import type { ArmInterruptController } from './interrupt-controller.ts'
import type { PsciWorld } from './psci.ts'

/** The surroundings of an Arm vCPU, beside its processor. */
export interface ArmSurroundings {
  /** Domain: memory, devices, time. */
  readonly domain: Domain
  /** The hypervisor's own interface that the guest sees; null for none. */
  readonly paravirtual: ArmParavirtual | null
  /** Atomic accesses to devices, of all vCPUs. */
  readonly order: DeviceOrder
  /** The interrupt controller. */
  readonly gic: Pick<ArmInterruptController, 'banked' | 'systemRegisters'>
  /** Whether unclaimed reads at an address give ones, instead of an abort. */
  isOpenBus(gpa: number): boolean
  /** Reads a system register of the interrupt controller or the timers; as `ArmHost.readSystem`. */
  readSystem(vcpu: number, encoding: number, into: SystemValue): number
  /** Writes one. */
  writeSystem(vcpu: number, encoding: number, lo: number, hi: number): number
  /** WFE of a vCPU begins, or ceases, to wait for an event. */
  waitForEvent(vcpu: number, waits: boolean): void
  /** A vCPU has executed SEV. */
  eventSent(vcpu: number): void
  /** A vCPU is turned on, or off: interrupts reach it, or do not. */
  powerChanged(vcpu: number, isOn: boolean): void
  /** The part of the domain that PSCI calls of the vCPU act on. */
  psci(vcpu: number): PsciWorld
}

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
