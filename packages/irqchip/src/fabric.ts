import { type InterruptLine, type PlainState, viewed, type Word64 } from '@retrap/device'
import { SharedLines } from '@retrap/device/host'
import { describeArgument } from '@retrap/basics'
import { ApicBus } from './apic-bus.ts'
import { checkInteger, checkMethod, checkObject, IrqchipError, regionFor, type StateRegion } from './arguments.ts'
import type { LocalApicOptions } from './local-apic-options.ts'
import { I8259_STATE_BYTES, I8259Pair } from './i8259.ts'
import { IOAPIC_STATE_BYTES, IoApic } from './ioapic.ts'
import { LOCAL_APIC_STATE_BYTES, wideDestination } from './apic-registers.ts'
import { LocalApic } from './local-apic.ts'
import { Controller } from './saved-words.ts'

/** Options of an {@link InterruptFabric}. */
export interface InterruptFabricOptions extends Pick<
  LocalApicOptions,
  'clock' | 'timerHz' | 'tscHz' | 'x2apic' | 'physicalBits'
> {
  /** vCPUs, 1–255. The first is the bootstrap processor. */
  readonly cpus: number
  /**
   * The result of a local APIC's `events` has changed: the vCPU is to look at it, and to leave HLT if it is in it. Also
   * called where an interrupt can no longer be delivered. May be called while the vCPU accesses its own APIC.
   */
  wake(cpu: number): void
  /**
   * Reads the time at which a vCPU's TSC reaches a value: nanoseconds of the clock, 64 bits; a time that has passed if it
   * has. Default: TSCs that were 0 at time 0.
   */
  tscToNs?(cpu: number, lo: number, hi: number, into: Word64): void
  /** APIC ID of each vCPU; default its index. */
  readonly apicIds?: readonly number[]
  /** Inputs of the I/O APIC, 24–48. Default 24. */
  readonly ioApicPins?: number | undefined
  /** `interruptFabricBytes(cpus)` of machine memory, zeroed; default a new buffer. */
  readonly state?: StateRegion
}

/** Saved state of an {@link InterruptFabric}. */
export type InterruptFabricState = PlainState

/** Where the state of a vCPU's local APIC begins, in that of all controllers. */
export function localApicOffset(cpu: number): number {
  return I8259_STATE_BYTES + IOAPIC_STATE_BYTES + cpu * LOCAL_APIC_STATE_BYTES
}

/** Counts the bytes of machine memory that the state of all controllers takes. */
export function interruptFabricBytes(cpus: number): number {
  checkInteger('cpus', cpus, 1, 255)
  return localApicOffset(cpus)
}

/**
 * All interrupt controllers of a PC and the wires between them.
 *
 * ISA interrupt n drives input n of the i8259 pair and of the I/O APIC, but for interrupt 0, which is input 2 there
 * (the MADT's interrupt source override says so). Inputs from 16 on are the I/O APIC's alone. The i8259's output drives
 * LINT0 of every local APIC.
 */
export class InterruptFabric extends Controller {
  /** Local APICs, by vCPU. */
  readonly localApics: readonly LocalApic[]
  /** The I/O APIC. */
  readonly ioApic: IoApic
  /** The i8259 pair. */
  readonly i8259: I8259Pair
  readonly #bus: ApicBus
  readonly #lines = new SharedLines(
    (irq, level) => this.#drive(irq, level),
    (irq) => this.#pulse(irq),
  )
  /** Input 0 is that of LINT1 of all processors. */
  readonly #nmi = new SharedLines((_input, level) => {
    for (const apic of this.localApics) apic.setLint(1, level)
  })
  /**
   * Called before an interrupt that a level has raised ends: a line whose level depends on something in memory is
   * brought up to date here, for if it is still up the interrupt comes again.
   */
  beforeEndOfInterrupt: () => void = () => undefined
  /**
   * Called where an input of the I/O APIC is asserted; true if it has been dealt with, and the I/O APIC is not to see it.
   * ISA interrupts reach the i8259 either way. Default: nobody takes any.
   */
  intercept: (pin: number) => boolean = () => false

  constructor(options: InterruptFabricOptions) {
    super()
    checkObject('options', options)
    const { cpus } = options
    const bytes = interruptFabricBytes(cpus)
    checkMethod(options, 'wake')
    checkMethod(options, 'tscToNs', 'optional')
    if (options.apicIds !== undefined) checkObject('apicIds', options.apicIds)
    const region = regionFor(bytes, options.state)
    const { buffer, byteOffset } = region
    let at = byteOffset
    const take = (size: number): StateRegion => {
      const region = { buffer, byteOffset: at }
      at += size
      return region
    }
    this.#bus = new ApicBus(options.wake.bind(options), () => this.i8259.acknowledge())
    const apics: LocalApic[] = []
    this.localApics = apics
    this.i8259 = new I8259Pair((level) => {
      for (const apic of apics) apic.setLint(0, level)
    }, take(I8259_STATE_BYTES))
    this.i8259.beforeEndOfInterrupt = () => this.beforeEndOfInterrupt()
    this.ioApic = new IoApic(
      (mode, vector, destination, logical, level) =>
        this.#bus.send(mode, vector, wideDestination(destination), logical, level),
      take(IOAPIC_STATE_BYTES),
      options.ioApicPins,
    )
    this.ioApic.beforeEndOfInterrupt = () => this.beforeEndOfInterrupt()
    this.#bus.connect(this.ioApic)
    for (let cpu = 0; cpu < cpus; cpu++) {
      const apic = new LocalApic({
        cpu,
        apicId: options.apicIds?.[cpu] ?? cpu,
        bootstrap: cpu === 0,
        bus: this.#bus,
        clock: options.clock,
        timerHz: options.timerHz ?? 1e9,
        tscHz: options.tscHz ?? 1e9,
        ...(options.tscToNs && { tscToNs: (lo, hi, into) => options.tscToNs!(cpu, lo, hi, into) }),
        x2apic: options.x2apic ?? true,
        physicalBits: options.physicalBits ?? 40,
        state: take(LOCAL_APIC_STATE_BYTES),
      })
      apics.push(apic)
      this.#bus.add(apic)
    }
    this.keeps(
      {
        version: 1,
        localApics: apics,
        ioApic: this.ioApic,
        i8259: this.i8259,
        // Index of the APIC that comes first in the next arbitration among equals.
        arbitrationTurn: viewed(
          () => this.#bus.turn,
          (turn) => (this.#bus.turn = turn),
        ),
      },
      { device: 'interrupts' },
    )
  }

  /** The local APIC of a vCPU. */
  localApic(cpu: number): LocalApic {
    const apic = this.localApics[cpu]
    if (apic === undefined)
      throw new IrqchipError('ERR_INVALID', `vCPU ${describeArgument(cpu)}: the machine has ${this.localApics.length}`)
    return apic
  }

  /**
   * A wire to interrupt `irq`: ISA 0–15, or another input of the I/O APIC. Several holders of one line are ORed.
   *
   * @throws IrqchipError `ERR_INVALID` for another number, and for 2, the cascade input
   */
  line(irq: number): InterruptLine {
    const { pins } = this.ioApic
    if (!Number.isInteger(irq) || irq < 0 || irq >= pins || irq === 2) {
      throw new IrqchipError(
        'ERR_INVALID',
        `interrupt line ${describeArgument(irq)}: expected 0–${pins - 1}, and not 2`,
      )
    }
    return this.#lines.line(irq)
  }

  /** Whether anybody asserts interrupt `irq`: the wire's level. */
  asserted(irq: number): boolean {
    return this.#lines.isAsserted(irq)
  }

  #drive(irq: number, level: boolean): void {
    const pin = pinOf(irq)
    if (!level || !this.intercept(pin)) this.ioApic.setPin(pin, level)
    if (irq < 16) this.i8259.setLine(irq, level)
  }

  #pulse(irq: number): void {
    const pin = pinOf(irq)
    if (!this.intercept(pin)) {
      this.ioApic.setPin(pin, true)
      this.ioApic.setPin(pin, false)
    }
    if (irq < 16) this.i8259.pulse(irq)
  }

  /** A wire to the NMI inputs (LINT1) of all processors. */
  nmiLine(): InterruptLine {
    return this.#nmi.line(0)
  }

  /** A write of `data` to a message address; whether any APIC took it. */
  signalMsi(address: number, data: number): boolean {
    return this.#bus.signalMsi(address, data)
  }

  /** Power-on state of every controller. Wires keep the levels that their drivers give them. */
  override reset(): void {
    this.ioApic.reset()
    for (const apic of this.localApics) apic.reset()
    this.i8259.reset()
    for (const apic of this.localApics) {
      apic.setLint(0, this.i8259.output)
      apic.setLint(1, this.#nmi.isAsserted(0))
    }
    this.#bus.turn = 0
  }
}

/** The I/O APIC's input of an interrupt. */
function pinOf(irq: number): number {
  return irq === 0 ? 2 : irq
}
