import { checkInteger, checkMethod, checkObject, regionFor, type StateRegion } from '../arguments.ts'
import { Controller } from '../saved-words.ts'
import { Arbiter, type Forwarding } from './arbiter.ts'
import { GicV2Distributor } from './gicv2-distributor.ts'
import { FIQ_ENABLE, GicV2Interface } from './gicv2-interface.ts'
import { InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'
import { stateBytes } from './layout.ts'
import { GICD_CTLR_GROUPS } from './registers.ts'
import { savedTable } from './saved-table.ts'
import { SgiSources } from './sgi-sources.ts'

/** Most vCPUs of a GICv2, whose masks of vCPUs are bytes. */
const MOST_CPUS = 8
const MOST_SPIS = 988
/** SGIs are always enabled. */
const SGIS = 0xffff

/** Options of a {@link GicV2}. */
export interface GicV2Options {
  /** vCPUs, 1–8. */
  readonly cpus: number
  /** Shared interrupts, 32–988. Default 256. */
  readonly spis?: number
  /** Called when IRQ or FIQ of a vCPU has changed: `irqPending` and `fiqPending` return the new levels. */
  signal(cpu: number): void
  /** `gicV2StateBytes(cpus)` of machine memory, zeroed; default a new buffer. */
  readonly state?: StateRegion
}

/** Counts the bytes of machine memory that the state of a {@link GicV2} takes. */
export function gicV2StateBytes(cpus: number): number {
  checkInteger('cpus', cpus, 1, MOST_CPUS)
  return stateBytes(cpus)
}

/**
 * A GICv2 without the Security Extensions: distributor and CPU interfaces in memory, each vCPU with its view of both.
 *
 * Group 1 is signalled as IRQ; group 0 too, unless GICC_CTLR.FIQEn says FIQ. Priorities have five bits.
 *
 * Source: Arm IHI 0048 (issue B.b).
 */
export class GicV2 extends Controller {
  /** vCPUs. */
  readonly cpus: number
  readonly #table: InterruptTable
  readonly #arbiter: Arbiter
  readonly #sources: SgiSources
  readonly #distributor: GicV2Distributor
  readonly #interface: GicV2Interface

  /** @throws IrqchipError `ERR_INVALID` for a wrong argument, and for more than 8 vCPUs */
  constructor(options: GicV2Options) {
    super()
    checkObject('options', options)
    const { cpus, spis = 256 } = options
    const bytes = gicV2StateBytes(cpus)
    checkInteger('spis', spis, 32, MOST_SPIS)
    checkMethod(options, 'signal')
    const state = regionFor(bytes, options.state)
    this.cpus = cpus
    const table = new InterruptTable(state, cpus, spis)
    const { words } = table
    const forwarding: Forwarding = {
      forwardedGroups: () => words[L.DISTRIBUTOR_CONTROL]! & GICD_CTLR_GROUPS,
      // A machine with one vCPU has no target registers.
      isRoutedTo: (intid, cpu) => cpus === 1 || ((words[L.ROUTES + intid]! >>> cpu) & 1) !== 0,
      signalOf: (cpu, group) =>
        group === 0 && (words[table.block(cpu) + L.INTERFACE_CONTROL]! & FIQ_ENABLE) !== 0
          ? L.SIGNAL_FIQ
          : L.SIGNAL_IRQ,
      offerOthers: () => undefined,
      acknowledged: () => undefined,
    }
    this.#table = table
    this.#arbiter = new Arbiter(table, forwarding, (cpu) => options.signal(cpu))
    this.#sources = new SgiSources(table)
    this.keeps(
      {
        version: 1,
        ...savedTable(table),
        // For each vCPU the senders of each pending SGI.
        sgiSources: Array.from({ length: cpus }, (_, cpu) => this.#sources.savedMasks(cpu)),
      },
      { device: 'GICv2', settled: () => this.#arbiter.updateAll() },
    )
    this.#distributor = new GicV2Distributor(table, this.#arbiter, this.#sources)
    this.#interface = new GicV2Interface(table, this.#arbiter, this.#sources)
    this.reset()
  }

  /** Reads 1, 2 or 4 bytes of the distributor for a vCPU; 0 for unknown registers. */
  readDistributor(cpu: number, offset: number, size: number): number {
    return this.#distributor.read(cpu, offset, size)
  }

  /** Writes the distributor. */
  writeDistributor(cpu: number, offset: number, size: number, value: number): void {
    this.#distributor.write(cpu, offset, size, value)
  }

  /** Reads a vCPU's interface, of two pages; 0 for unknown registers. */
  readInterface(cpu: number, offset: number, size: number): number {
    return this.#interface.read(cpu, offset, size)
  }

  /** Writes a vCPU's interface. */
  writeInterface(cpu: number, offset: number, size: number, value: number): void {
    this.#interface.write(cpu, offset, size, value)
  }

  /** Whether a vCPU's IRQ is asserted. */
  irqPending(cpu: number): boolean {
    return (this.#table.words[this.#table.block(cpu) + L.SIGNALS]! & L.SIGNAL_IRQ) !== 0
  }

  /** Whether a vCPU's FIQ is asserted. */
  fiqPending(cpu: number): boolean {
    return (this.#table.words[this.#table.block(cpu) + L.SIGNALS]! & L.SIGNAL_FIQ) !== 0
  }

  /**
   * Drives the input of a shared interrupt.
   *
   * @param intid - 32 and up
   * @throws IrqchipError `ERR_INVALID` for an unknown interrupt
   */
  setLine(intid: number, level: boolean): void {
    checkInteger('INTID of an SPI', intid, 32, this.#table.end - 1)
    if (this.#table.drive(0, intid, level)) this.#arbiter.updateAll()
  }

  /**
   * Drives the input of a private interrupt of a vCPU.
   *
   * @param intid - 16–31
   * @throws IrqchipError `ERR_INVALID` for an unknown interrupt or vCPU
   */
  setPpi(cpu: number, intid: number, level: boolean): void {
    checkInteger('INTID of a PPI', intid, 16, 31)
    checkInteger('vCPU', cpu, 0, this.cpus - 1)
    if (this.#table.drive(cpu, intid, level)) this.#arbiter.update(cpu)
  }

  /** Power-on state. Inputs keep the levels that their drivers give them; IRQ and FIQ are low. */
  override reset(): void {
    this.#table.reset()
    this.#arbiter.reset()
    for (let cpu = 0; cpu < this.cpus; cpu++) this.#table.words[this.#table.block(cpu) + L.ENABLED] = SGIS
    this.#arbiter.updateAll()
  }
}
