import type { InterruptLine } from '@retrap/device'
import {
  createIoRequest,
  type IoRequest,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
} from '@retrap/ioreq'
import type { InterruptFabric } from '@retrap/irqchip'
import type { X86Engine } from '@retrap/x86-cpu'
import { Domain } from '../domain.ts'
import { X86Architecture, type PciWire, type RomWrite, type X86DomainOptions } from './architecture.ts'
import type { SystemManagementMemory, X86Paravirtual } from './surroundings.ts'
import type { X86Vcpu } from './vcpu.ts'

/** A domain whose vCPUs are x86 processors, with the interrupt controllers of a PC. */
export class X86Domain extends Domain<X86Vcpu, X86Architecture> {
  /**
   * The wire of a PCI function's interrupt pin, for interrupts of the hypervisor's own. Its level must follow at once,
   * before the guest's EOI takes effect: not a wire that leads through another thread.
   */
  ownPciInterrupt: (device: number, pin: number) => InterruptLine

  /** @throws MemoryError if `memory` has no room */
  constructor(options: X86DomainOptions) {
    super(options, (domain) => new X86Architecture(domain, options))
    this.ownPciInterrupt = this.architecture.pciWire
  }

  /** Local APICs, I/O APIC and i8259 pair. */
  get interrupts(): InterruptFabric {
    return this.architecture.interrupts
  }

  /** Generated code and decoded instructions, which the vCPUs share. */
  get engine(): X86Engine {
    return this.architecture.engine
  }

  /** Rate of the time-stamp counters, in ticks per nanosecond. */
  get tscPerNs(): number {
    return this.architecture.tscPerNs
  }

  /** The wire of a PCI function's interrupt pin; a machine whose bridge routes the pins sets its own function. */
  get pciInterrupt(): PciWire {
    return this.architecture.pciWire
  }

  set pciInterrupt(wire: PciWire) {
    this.architecture.pciWire = wire
  }

  /** Handles guest writes to ROM; by default they are ignored. A board with ROM over RAM sets its own function. */
  get romWrite(): RomWrite {
    return this.architecture.romWrite
  }

  set romWrite(write: RomWrite) {
    this.architecture.romWrite = write
  }

  /** Memory that vCPUs see in system-management mode alone, which a chipset with SMRAM puts here; null for none. */
  get systemManagementMemory(): SystemManagementMemory | null {
    return this.architecture.systemManagementMemory
  }

  set systemManagementMemory(memory: SystemManagementMemory | null) {
    this.architecture.systemManagementMemory = memory
    for (const vcpu of this.vcpus) {
      vcpu.controlChanged()
      vcpu.mapChanged()
    }
  }

  /**
   * Whether address line 20 is enabled; default true. If disabled, bit 20 of all processor addresses is 0: addresses wrap at
   * 1 MiB. Accesses by devices are not affected.
   */
  get a20(): boolean {
    return this.architecture.a20
  }

  set a20(works: boolean) {
    this.architecture.a20 = works
  }

  /** The interface for guests that {@link X86Domain.plug} was given; null for none: hypercalls are #UD then. */
  get paravirtual(): X86Paravirtual | null {
    return this.architecture.paravirtual
  }

  /** Shows the guest a hypervisor's own interface: its CPUID leaves, MSRs, hypercalls and events. */
  override plug(paravirtual: X86Paravirtual): void {
    super.plug(paravirtual)
    this.architecture.paravirtual = paravirtual
  }

  /**
   * Makes a port access as vCPU 0 would, before the guest runs: one that firmware would have made.
   *
   * @param size - bytes: 1, 2 or 4
   */
  async writePort(port: number, size: number, value: number): Promise<void> {
    await this.access(portRequest(IOREQ_WRITE, port, size, value))
  }

  /** Reads a port likewise. @returns the answer, unsigned */
  async readPort(port: number, size: number): Promise<number> {
    await this.access(portRequest(IOREQ_READ, port, size, 0))
    return this.dispatch.lo
  }

  /** Writes a word of 32 bits to a device's memory likewise. */
  async writeDeviceMemory(gpa: number, value: number): Promise<void> {
    await this.access({ ...portRequest(IOREQ_WRITE, gpa, 4, value), type: IOREQ_TYPE_COPY })
  }
}

function portRequest(direction: number, port: number, size: number, value: number): IoRequest {
  const request = createIoRequest()
  request.type = IOREQ_TYPE_PIO
  request.direction = direction
  request.addressLo = port
  request.size = size
  request.dataLo = value
  return request
}

/** Words of a controller's saved state. */
type Words<N extends string> = Readonly<Record<N, number>>

/** Masks an entry of the I/O APIC or of a local vector table. */
const MASKED = 1 << 16
/** Bits of an i8259's ICW2 with the vector of its first interrupt. */
const BASE = 0xf8
/** Entries of the local vector table, by interrupt source. */
const LOCAL_SOURCES = ['timer', 'lint0', 'lint1', 'performance', 'thermal', 'cmci', 'error'] as const

/**
 * Says what has raised the interrupt that a vCPU has just acknowledged, for people.
 *
 * The controllers keep no record of it: it is found by the vector, which two sources may share. Then the first one is named
 * of: the hypervisor, the i8259 pair, the local APIC, inputs of the I/O APIC, and last messages of devices or processors.
 *
 * @returns such as `APIC timer`, `I/O APIC input 4`, `i8259 interrupt 0`, `message`
 */
export function interruptSource(domain: X86Domain, vcpu: number, vector: number): string {
  const { interrupts, paravirtual } = domain
  const { vectors, lvt } = interrupts.localApic(vcpu).save() as {
    readonly vectors: { readonly inService: readonly number[] }
    readonly lvt: Words<(typeof LOCAL_SOURCES)[number]>
  }
  const inService = ((vectors.inService[vector >>> 5]! >>> (vector & 31)) & 1) !== 0
  // A callback of Xen's and the i8259's interrupts leave no trace in the local APIC.
  if (!inService) return paravirtual === null ? `i8259 interrupt ${isaInterrupt(domain, vector)}` : 'Xen, or i8259'
  const matches = (entry: number): boolean => (entry & MASKED) === 0 && (entry & 0xff) === vector
  const local = LOCAL_SOURCES.find((name) => matches(lvt[name]))
  if (local !== undefined) return `APIC ${local}`
  const { entries } = interrupts.ioApic.save() as { readonly entries: readonly Words<'low'>[] }
  const pin = entries.findIndex(({ low }) => matches(low))
  return pin < 0 ? 'message' : `I/O APIC input ${pin}`
}

/** The ISA interrupt that a vector of the i8259 pair stands for: which of the two has it, the vectors' bases tell. */
function isaInterrupt({ interrupts }: X86Domain, vector: number): number {
  const { master, slave } = interrupts.i8259.save() as Record<'master' | 'slave', Words<'icw2'>>
  const isSlave = (slave.icw2 & BASE) === (vector & BASE) && (master.icw2 & BASE) !== (vector & BASE)
  return (vector & 7) + (isSlave ? 8 : 0)
}
