import { STATUS_DONE, STATUS_UNHANDLED } from '@retrap/replay'
import { ArmEngine, type JitOptions, type SystemValue } from '@retrap/arm-cpu'
import { DeviceOrder, deviceOrderBytes } from '@retrap/arm-mmio'
import type { InterruptLine, PlainState } from '@retrap/device'
import { SharedLines } from '@retrap/device/host'
import { defaultAffinity, GenericTimers, type GenericTimersState, genericTimersStateBytes } from '@retrap/irqchip/gic'
import { Domain } from '../domain.ts'
import type { DomainOptions } from '../domain-options.ts'
import type { DomainState, SavedArchitecture } from '../checkpoints/saved-domain.ts'
import { GicV2Controller, type GicV2Place } from './gic-v2.ts'
import { GicV3Controller, type GicV3Place } from './gic-v3.ts'
import type { AllocateRegion, ArmInterruptController } from './interrupt-controller.ts'
import type { ArmParavirtual, ArmSurroundings } from './surroundings.ts'
import type { PsciWorld } from './psci.ts'
import { ArmVcpu, type ArmVcpuState } from './vcpu.ts'

/** A domain whose vCPUs are Arm processors, with a GIC. */
export class ArmDomain extends Domain<ArmVcpu, ArmArchitecture> {
  /** @throws MemoryError if `memory` has no room */
  constructor(options: ArmDomainOptions) {
    super({ stage2: {}, ...options }, (domain) => new ArmArchitecture(domain, options))
  }

  /** Shows the guest a hypervisor's own interface: its hypercalls and events. */
  override plug(paravirtual: ArmParavirtual): void {
    super.plug(paravirtual)
    this.architecture.paravirtual = paravirtual
  }

  /** Generated code and decoded instructions, which the vCPUs share. */
  get engine(): ArmEngine {
    return this.architecture.engine
  }

  /** Drives a vCPU's private interrupt, 16 to 31. */
  setPrivateInterrupt(vcpu: number, intid: number, level: boolean): void {
    this.architecture.gic.wires.setPpi(vcpu, intid, level)
  }
}

/** A range of guest-physical addresses. */
export interface AddressRange {
  /** The first. */
  readonly base: number
  /** Count. */
  readonly bytes: number
}

/** Addresses and version of a board's interrupt controller. */
export type GicPlace = GicV2Place | GicV3Place

/** The parts that an Arm domain is made of. */
export interface ArmDomainOptions extends DomainOptions {
  /** Interrupt controller: a GICv3, or a GICv2 for at most 8 vCPUs. */
  readonly gic: GicPlace
  /** Ranges in which unclaimed reads give ones and writes are ignored, as on PCI; elsewhere both abort. Default none. */
  readonly openBus?: readonly AddressRange[]
  /** Arena for decoded instructions; default that of `ArmEngine`. */
  readonly codeCacheBytes?: number
  /** Compile hot code; see `ArmEngineOptions.jit` of `@retrap/arm-cpu`. Default: all is interpreted. */
  readonly jit?: JitOptions
  /** The engine of another domain in this memory, which is shared: `codeCacheBytes` and `jit` are that one's. Default its own. */
  readonly engine?: ArmEngine | undefined
}

/** The interrupts of the GIC that pins of PCI functions lead to in turn, from this one, unless a bridge has its own. */
const FIRST_PCI = 35

/** The wire of a PCI function's interrupt pin: device number, and pin 1–4. */
export type PciWire = (device: number, pin: number) => InterruptLine

/** State of an `ArmDomain` without the contents of its RAM. */
export interface ArmDomainState extends DomainState {
  /** The vCPUs, by number. */
  readonly vcpus: readonly ArmVcpuState[]
  /** The interrupt controller. */
  readonly interrupts: PlainState
  /** The generic timers. */
  readonly timers: GenericTimersState
}

/** The vCPUs and interrupt controller of an Arm board, and the wires between them. */
export class ArmArchitecture implements SavedArchitecture<ArmDomainState>, ArmSurroundings {
  /** The domain of these vCPUs. */
  readonly domain: Domain
  /** By number. */
  readonly vcpus: readonly ArmVcpu[]
  /** Atomic accesses to devices, of all vCPUs. */
  readonly order: DeviceOrder
  /** Generated code and decoded instructions, which the vCPUs share. */
  readonly engine: ArmEngine
  /** The interrupt controller. */
  readonly gic: ArmInterruptController
  /** Nothing but PCI has ports. */
  readonly hasPortZero: boolean = true
  /** The generic timers. */
  readonly timers: GenericTimers
  /** The hypervisor's own interface that the guest sees; null for none. */
  paravirtual: ArmParavirtual | null = null
  /** The wire of a PCI function's interrupt pin; a board whose bridge routes the pins sets its own function. */
  pciWire: PciWire
  readonly #lines: SharedLines
  readonly #openBus: readonly AddressRange[]
  /** Parts of machine memory, beside the processors' own. */
  readonly #regions: number[] = []

  constructor(domain: Domain, options: ArmDomainOptions) {
    const { memory, clock, timers } = domain
    const { vcpus: count, gic, jit, codeCacheBytes } = options
    this.domain = domain
    this.#openBus = options.openBus ?? []
    this.pciWire = (device, pin) => this.#lines.line(FIRST_PCI + ((device + pin - 1) & 3))
    this.engine =
      options.engine ??
      new ArmEngine(memory, {
        ...(jit !== undefined && { jit }),
        ...(codeCacheBytes !== undefined && { codeCacheBytes }),
      })
    const { buffer } = memory
    const allocate: AllocateRegion = (bytes, purpose) => {
      const ma = memory.allocate(bytes, 8, purpose)
      this.#regions.push(ma)
      return ma
    }
    this.order = new DeviceOrder(count, buffer, allocate(deviceOrderBytes(count), 'device order'))
    const vcpus: ArmVcpu[] = []
    this.vcpus = vcpus
    const wiring = {
      cpus: count,
      allocate,
      signal: (cpu: number): void => {
        const { wires } = this.gic
        vcpus[cpu]?.setInterrupts(wires.irqPending(cpu), wires.fiqPending(cpu))
      },
    }
    this.gic = gic.version === 2 ? new GicV2Controller(domain, gic, wiring) : new GicV3Controller(domain, gic, wiring)
    this.timers = new GenericTimers({
      cpus: count,
      clock: { read: (into) => clock.read(into), timer: (callback) => timers.create(callback) },
      line: (cpu, intid, level) => this.gic.wires.setPpi(cpu, intid, level),
      event: (cpu) => vcpus[cpu]?.signalEvent(),
      state: { buffer, byteOffset: allocate(genericTimersStateBytes(count), 'generic timers') },
    })
    this.#lines = new SharedLines((intid, level) => this.gic.wires.setLine(intid, level))
    for (let id = 0; id < count; id++) vcpus.push(new ArmVcpu(this, id, this.engine))
  }

  /** Reads a system register of the timers or the interrupt controller. @returns a status */
  readSystem(vcpu: number, encoding: number, into: SystemValue): number {
    if (this.timers.readSystemRegister(vcpu, encoding, into)) return STATUS_DONE
    this.paravirtual?.beforeInterruptAccess(vcpu)
    return this.gic.systemRegisters?.readSystemRegister(vcpu, encoding, into) === true ? STATUS_DONE : STATUS_UNHANDLED
  }

  /** Writes a system register. @returns a status */
  writeSystem(vcpu: number, encoding: number, lo: number, hi: number): number {
    if (this.timers.writeSystemRegister(vcpu, encoding, lo, hi)) return STATUS_DONE
    this.paravirtual?.beforeInterruptAccess(vcpu)
    return this.gic.systemRegisters?.writeSystemRegister(vcpu, encoding, lo, hi) === true
      ? STATUS_DONE
      : STATUS_UNHANDLED
  }

  /** WFE of a vCPU begins, or ceases, to wait for an event. */
  waitForEvent(vcpu: number, waits: boolean): void {
    this.timers.waitForEvent(vcpu, waits)
  }

  /** A vCPU has executed SEV: the others see an event. */
  eventSent(vcpu: number): void {
    for (const each of this.vcpus) if (each.id !== vcpu) each.signalEvent()
  }

  /** A vCPU is turned on, or off: the firmware below the guest, whose part PSCI is, connects it to its redistributor. */
  powerChanged(vcpu: number, isOn: boolean): void {
    this.gic.connect(vcpu, isOn)
  }

  /** The part of the domain that PSCI calls of a vCPU act on. */
  psci(caller: number): PsciWorld {
    const { domain, vcpus } = this
    return {
      vcpuOf: (affinity) => vcpus.findIndex(({ id }) => defaultAffinity(id) === affinity),
      powerOf: (vcpu) => vcpus[vcpu]!.power,
      turnOn: (vcpu, entry, context) => vcpus[vcpu]!.start(entry, context),
      turnOff: () => vcpus[caller]!.stop(),
      standBy: () => vcpus[caller]!.standBy(),
      suspend: (entry, context) => vcpus[caller]!.suspend(entry, context),
      isCode: (address) => {
        const gpa = Number(address)
        return domain.secondLevel.peek(gpa) >= 0 && domain.p2m.translateExecute(gpa) >= 0
      },
      powerOff: () => domain.stop({ reason: 'power-off' }),
      reset: () => domain.stop({ reason: 'reset' }),
    }
  }

  /** The wire to a shared interrupt, by its number in the GIC, from 32. */
  interruptLine(irq: number): InterruptLine {
    return this.#lines.line(irq)
  }

  /** The wire of a PCI function's interrupt pin. */
  pciInterrupt(device: number, pin: number): InterruptLine {
    return this.pciWire(device, pin)
  }

  /** Whether unclaimed reads at an address return ones. */
  isOpenBus(gpa: number): boolean {
    return this.#openBus.some(({ base, bytes }) => gpa >= base && gpa < base + bytes)
  }

  /** Delivers a device's message through the interrupt controller; messages to other addresses have no receiver. */
  signalMsi(address: number, data: number, requester: number): void {
    this.gic.signalMsi(address, data, requester)
  }

  /** Saves vCPUs, interrupt controller and timers. */
  save(): Pick<ArmDomainState, 'vcpus' | 'interrupts' | 'timers'> {
    return {
      vcpus: this.vcpus.map((vcpu) => vcpu.save()),
      interrupts: this.gic.save(),
      timers: this.timers.save(),
    }
  }

  /** See `SavedArchitecture.inspect`. */
  inspect(): Pick<ArmDomainState, 'vcpus' | 'interrupts' | 'timers'> {
    return this.save()
  }

  /** See `SavedArchitecture.restoreInterrupts`. */
  restoreInterrupts({ interrupts, timers }: ArmDomainState): void {
    this.gic.restore(interrupts)
    this.timers.restore(timers)
  }

  /** See `SavedArchitecture.restoreVcpus`. */
  restoreVcpus({ vcpus }: ArmDomainState): void {
    for (const [id, saved] of vcpus.entries()) this.vcpus[id]!.restore(saved)
  }

  /** Gives the parts of machine memory back that are the vCPUs', the interrupt controller's and the timers'. */
  free(): void {
    for (const { processor } of this.vcpus) processor.close()
    for (const ma of this.#regions.splice(0)) this.domain.memory.free(ma)
  }

  /** Power-on of the interrupt controller and the timers. */
  reset(): void {
    this.gic.reset()
    this.timers.reset()
  }
}
