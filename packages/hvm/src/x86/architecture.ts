import type { InterruptLine, Word64 } from '@retrap/device'
import { APIC_BASE_ADDRESS, InterruptFabric, interruptFabricBytes, type InterruptFabricState } from '@retrap/irqchip'
import { MOST_NEIGHBOURS } from '@retrap/memory'
import { inspectVcpu, restoreVcpu, saveVcpu, X86Engine } from '@retrap/x86-cpu'
import type { CpuClocks, CpuModel, JitOptions, SavedCpu } from '@retrap/x86-cpu'
import type { Domain } from '../domain.ts'
import type { DomainOptions } from '../domain-options.ts'
import type { DomainState, SavedArchitecture } from '../checkpoints/saved-domain.ts'
import type { ThreadedVcpus } from '../scheduling/threaded-vcpus.ts'
import type { MakeVcpuThreads } from './threads/vcpu-threads.ts'
import type { SystemManagementMemory, X86Paravirtual, X86Surroundings } from './surroundings.ts'
import { X86Vcpu } from './vcpu.ts'

/** The TSC and the local APIC timers count nanoseconds. */
export const TSC_HZ = 1_000_000_000

/** Arena for decoded instructions of a vCPU in a thread of its own: it executes a part of what the guest does. */
const THREAD_CODE_CACHE_BYTES: number = 32 << 20
/** vCPUs that may have threads. */
export const MOST_THREADS: number = MOST_NEIGHBOURS
/** Machine memory that a vCPU in a thread of its own takes beside what each vCPU takes. */
export const THREAD_BYTES: number = THREAD_CODE_CACHE_BYTES + (4 << 20)

/** IA32_APIC_BASE: the local APIC is on. */
const APIC_BASE_EN = 1 << 11

/** ISA interrupt 13: an x87 exception with CR0.NE clear. */
const FERR_IRQ = 13

/** The parts that an x86 domain is made of. */
export interface X86DomainOptions extends DomainOptions {
  /** 32 random bits a call: RDRAND and RDSEED. */
  readonly random: () => number
  /** Generated code and decoded instructions, shared with another domain in this memory with the same processor; default new ones. */
  readonly engine?: X86Engine | undefined
  /** Arena for decoded instructions; default that of `X86Engine`. */
  readonly codeCacheBytes?: number
  /** Inputs of the I/O APIC, 24–48: a guest of Xen finds 48. Default 24. */
  readonly ioApicPins?: number | undefined
  /** Counts how often each instruction form runs (X86Engine.executionCounts). Slower. */
  readonly profile?: boolean
  /** Compile hot code; see `X86EngineOptions.jit` of `@retrap/x86-cpu`. Default false. */
  readonly jit?: boolean | JitOptions | undefined
  /** The processor that its vCPUs are: a model, or a text for `cpuModel` of `@retrap/x86-cpu`. Default `max`. */
  readonly cpu?: CpuModel | string
  /** Makes threads of the vCPUs: then they execute at the same time while two of them are up. Default: they take turns. */
  readonly threads?: MakeVcpuThreads | undefined
  /** A vCPU stands still before an x87 instruction: CR0.NE is clear, and interrupts, which alone would end that, are off. */
  readonly onStandstill?: (vcpu: number) => void
}

/** The wire of a PCI function's interrupt pin: device number, and pin 1–4. */
export type PciWire = (device: number, pin: number) => InterruptLine

/** Takes a guest's write to ROM: 1 to 8 bytes at a guest-physical address, as two words. */
export type RomWrite = (gpa: number, size: number, lo: number, hi: number) => void

/** State of an `X86Domain` without the contents of its RAM. */
export interface X86DomainState extends DomainState {
  /** Processors, by number. */
  readonly vcpus: readonly SavedCpu[]
  /** Local APICs, I/O APIC and i8259 pair. */
  readonly interrupts: InterruptFabricState
  /** FERR# is asserted. */
  readonly numericError: boolean
  /** Address line 20 works. */
  readonly a20: boolean
}

/** The vCPUs and interrupt controllers of a PC, and the wires between them. */
export class X86Architecture implements SavedArchitecture<X86DomainState>, X86Surroundings {
  /** The domain of these vCPUs. */
  readonly domain: Domain
  /** By number; the first is the bootstrap processor. */
  readonly vcpus: readonly X86Vcpu[]
  /** Number of vCPUs. */
  readonly cpus: number
  /** Time-stamp counter ticks per nanosecond. */
  readonly tscPerNs: number = TSC_HZ / 1e9
  /** 32 random bits a call. */
  readonly random: () => number
  /** Local APICs, I/O APIC and i8259 pair. */
  readonly interrupts: InterruptFabric
  /** Generated code and decoded instructions, which the vCPUs share. */
  readonly engine: X86Engine
  /** The hypervisor's own interface that the guest sees; null for none. */
  paravirtual: X86Paravirtual | null = null
  /** Memory that vCPUs see in system-management mode alone; null for none. */
  systemManagementMemory: SystemManagementMemory | null = null
  /** The wire of a PCI function's interrupt pin. */
  pciWire: PciWire = (device, pin) => this.interrupts.line(pciLine(device, pin))
  /** Called for each message of a device: its data, and the device by bus, device and function. Null: nothing observes it. */
  onMessage: ((data: number, requester: number) => void) | null = null
  /** Takes guest writes to ROM. */
  romWrite: RomWrite = () => undefined
  /** Reset together with the interrupt controllers: the TPR patcher, if present. */
  vapic: { reset(): void } | null = null
  /** Threads of the vCPUs; absent: they take turns. */
  readonly threads: ThreadedVcpus | undefined
  readonly #interruptState: number
  readonly #ferr: InterruptLine
  readonly #onStandstill: X86DomainOptions['onStandstill']
  #ferrAsserted = false
  #a20 = true

  constructor(domain: Domain, options: X86DomainOptions) {
    const { memory, clock, timers } = domain
    this.domain = domain
    this.cpus = options.vcpus
    this.random = options.random
    this.#onStandstill = options.onStandstill
    this.engine =
      options.engine ??
      new X86Engine(memory, {
        ...(options.cpu !== undefined && { cpu: options.cpu }),
        ...(options.jit !== undefined && { jit: options.jit }),
        ...(options.codeCacheBytes !== undefined && { codeCacheBytes: options.codeCacheBytes }),
        profile: options.profile ?? false,
      })
    const { processor } = this.engine
    this.#interruptState = memory.allocate(interruptFabricBytes(options.vcpus), 8, 'interrupt controllers')
    const vcpus: X86Vcpu[] = []
    this.vcpus = vcpus
    this.interrupts = new InterruptFabric({
      cpus: options.vcpus,
      clock: { read: (into) => clock.read(into), timer: (callback) => timers.create(callback) },
      wake: (cpu) => {
        vcpus[cpu]?.updateEvents()
        domain.wake()
      },
      timerHz: TSC_HZ,
      tscHz: TSC_HZ,
      tscToNs: (cpu, lo, hi, into) => this.#tscToNs(cpu, lo, hi, into),
      physicalBits: processor.paging.maxPhysicalBits,
      x2apic: processor.has('X2APIC'),
      ioApicPins: options.ioApicPins,
      state: {
        buffer: memory.buffer,
        byteOffset: this.#interruptState,
      },
    })
    const clocks: CpuClocks = { tscHz: TSC_HZ, crystalHz: TSC_HZ }
    for (let id = 0; id < options.vcpus; id++) {
      const vcpu = new X86Vcpu(this, id, this.engine, clocks, this.interrupts.localApic(id))
      vcpus.push(vcpu)
      // The guest may have used up the machine's memory before this vCPU executes. For clones there is some set aside.
      if (options.engine === undefined) vcpu.cpu.takeMemory()
    }
    this.#ferr = this.interrupts.line(FERR_IRQ)
    this.#mapInterruptControllers()
    this.#withoutApics()
    const { jit = false, cpu = 'max' } = options
    this.threads = options.threads?.(domain, vcpus, this.interrupts, {
      cpu,
      jit: typeof jit === 'object' ? { ...(jit.threshold !== undefined && { threshold: jit.threshold }) } : jit,
      codeCacheBytes: THREAD_CODE_CACHE_BYTES,
      tscHz: TSC_HZ,
      interrupts: this.#interruptState,
    })
  }

  /** Switches the local APICs off permanently where the model has none: the i8259 pair then interrupts the processor. */
  #withoutApics(): void {
    if (this.engine.processor.has('APIC')) return
    for (const apic of this.interrupts.localApics) apic.setApicBase((apic.apicBaseLo & ~APIC_BASE_EN) >>> 0, 0)
  }

  /** The counter that a vCPU's TSC is an offset from is the clock. */
  #tscToNs(cpu: number, lo: number, hi: number, into: Word64): void {
    this.domain.clock.read(into)
    this.vcpus[cpu]?.cpu.tscDeadline(lo, hi, into)
  }

  /** Puts the controllers that Xen keeps inside the hypervisor into the address space: I/O APIC and i8259 pair. */
  #mapInterruptControllers(): void {
    const { ioApic, i8259 } = this.interrupts
    const { dispatch } = this.domain
    dispatch.reserve('mmio', 'local APIC', APIC_BASE_ADDRESS, 0x1000)
    dispatch.mapInternalMmio('ioapic', 0xfec0_0000, 0x1000, {
      read: (offset) => ioApic.read(offset),
      write: (offset, _size, value) => ioApic.write(offset, value),
    })
    dispatch.mapInternalPorts('i8259 master', 0x20, 2, i8259.masterPorts)
    dispatch.mapInternalPorts('i8259 slave', 0xa0, 2, i8259.slavePorts)
    dispatch.mapInternalPorts('i8259 elcr', 0x4d0, 2, i8259.elcrPorts)
    // A write clears the latched FERR#, and asserts IGNNE#; of the processors, a PC connects the first.
    dispatch.mapInternalPorts('coprocessor error', 0xf0, 1, {
      read: () => 0xff,
      write: () => {
        this.ferr = false
        this.vcpus[0]?.cpu.ignoreNumericError()
      },
    })
  }

  /** A wire to one of the interrupt controllers' inputs. */
  interruptLine(irq: number): InterruptLine {
    return this.interrupts.line(irq)
  }

  /** The wire of a PCI function's interrupt pin. */
  pciInterrupt(device: number, pin: number): InterruptLine {
    return this.pciWire(device, pin)
  }

  /** Delivers a device's message to the local APICs. */
  signalMsi(address: number, data: number, requester: number): void {
    this.onMessage?.(data, requester)
    this.interrupts.signalMsi(address, data)
  }

  /** Asserts FERR#. */
  numericError(vcpu: number): void {
    this.ferr = true
    if (this.vcpus[vcpu]?.cpu.interruptsEnabled === false) this.#onStandstill?.(vcpu)
  }

  /** Whether FERR# is asserted. */
  get ferr(): boolean {
    return this.#ferrAsserted
  }

  set ferr(asserted: boolean) {
    this.#ferrAsserted = asserted
    this.#ferr.set(asserted)
  }

  /** See `X86Domain.a20`. */
  get a20(): boolean {
    return this.#a20
  }

  set a20(works: boolean) {
    if (works === this.#a20) return
    this.#a20 = works
    for (const vcpu of this.vcpus) vcpu.setA20(works)
  }

  /** Saves vCPUs and interrupt controllers. */
  save(): Pick<X86DomainState, 'vcpus' | 'interrupts' | 'numericError' | 'a20'> {
    return this.#stateWith(saveVcpu)
  }

  /** See `SavedArchitecture.inspect`. */
  inspect(): ReturnType<X86Architecture['save']> {
    return this.#stateWith(inspectVcpu)
  }

  #stateWith(save: typeof saveVcpu): ReturnType<X86Architecture['save']> {
    return {
      vcpus: this.vcpus.map(({ cpu }) => save(cpu)),
      interrupts: this.interrupts.save(),
      numericError: this.ferr,
      a20: this.#a20,
    }
  }

  /** See `SavedArchitecture.restoreInterrupts`. */
  restoreInterrupts({ interrupts, numericError }: X86DomainState): void {
    this.interrupts.restore(interrupts)
    this.ferr = numericError
  }

  /** See `SavedArchitecture.restoreMap`. */
  restoreMap({ a20 }: X86DomainState): void {
    this.a20 = a20
  }

  /** See `SavedArchitecture.restoreVcpus`: a processor that waits for a write watches the line in its RAM. */
  restoreVcpus({ vcpus }: X86DomainState): void {
    for (const [id, saved] of vcpus.entries()) {
      const vcpu = this.vcpus[id]!
      restoreVcpu(vcpu.cpu, saved)
      vcpu.updateEvents()
    }
  }

  /** Gives the parts of machine memory back that are the vCPUs' and the interrupt controllers'. */
  free(): void {
    for (const { cpu } of this.vcpus) cpu.close()
    this.domain.memory.free(this.#interruptState)
  }

  /** Power-on of interrupt controllers and TPR patcher. */
  reset(): void {
    this.ferr = false
    this.vapic?.reset()
    this.interrupts.reset()
    this.#withoutApics()
  }
}

/** The usual swizzle: pins of devices in turn on I/O APIC inputs 16–19. */
function pciLine(device: number, pin: number): number {
  return 16 + ((device + pin - 1) & 3)
}
